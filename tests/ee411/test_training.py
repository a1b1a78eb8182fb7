"""Models, optimisers and training; test_processes.py has the training in several processes."""

import math
import platform
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ee411 import training
from ee411.data import Part, load_parts
from ee411.experiments import Experiments
from ee411.models import MODELS, count_parameters, make_cnn, make_mlp, make_model
from ee411.training import (
    ALONE,
    CURVES,
    OPTIMIZERS,
    Checkpoint,
    Place,
    Run,
    Workers,
    evaluate,
    find_dead_units,
    make_optimizer,
    train,
    train_one_epoch,
)

SETTING = Run("mlp", "nesterov", 0.01, batch_size=100, epochs=2, dataset="synthetic")


@pytest.fixture(scope="module")
def parts():
    return load_parts("synthetic")


# Models.


@pytest.mark.parametrize(("make", "count"), [(make_mlp, 89_610), (make_cnn, 29_066)])
def test_models(make, count):
    model = make()
    assert count_parameters(model) == count
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    model.requires_grad_(False)
    assert count_parameters(model) == 0


def test_layers():
    """What the handout prescribes, in its order."""
    linear = [(layer.in_features, layer.out_features) for layer in make_mlp() if isinstance(layer, nn.Linear)]
    assert linear == [(784, 100), (100, 100), (100, 10)]
    kinds = [type(layer).__name__ for layer in make_cnn()]
    assert kinds == [*["Conv2d", "ReLU", "MaxPool2d"] * 3, "Flatten", "Linear"]
    assert [layer.out_channels for layer in make_cnn() if isinstance(layer, nn.Conv2d)] == [16, 32, 64]


@pytest.mark.parametrize("name", MODELS)
def test_seeds(name):
    """They fix the weights, and leave PyTorch's global generator alone."""
    before = torch.get_rng_state()
    first, same, other = (make_model(name, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


# Optimisers.


def test_optimizers():
    """The handout's: plain SGD, Nesterov momentum 0.9, Adam."""
    weights = [nn.Parameter(torch.ones(3))]
    sgd, nesterov, adam = (make_optimizer(name, weights, 0.1) for name in ("sgd", "nesterov", "adam"))
    assert (sgd.defaults["lr"], sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.1, 0, False)
    assert (nesterov.defaults["lr"], nesterov.defaults["momentum"]) == (0.1, 0.9)
    assert nesterov.defaults["nesterov"]
    assert isinstance(adam, torch.optim.Adam)
    assert adam.defaults["lr"] == 0.1


@pytest.mark.parametrize(
    ("name", "lr", "message"),
    [
        ("rmsprop", 0.1, "one of sgd, nesterov, adam, got 'rmsprop'"),
        ("sgd", 0, "a finite number > 0, got 0"),
        ("adam", math.nan, "got nan"),
        ("sgd", math.inf, "got inf"),
    ],
)
def test_bad_optimizers(name, lr, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, make_mlp().parameters(), lr)


def test_unknown_model():
    with pytest.raises(ValueError, match="one of mlp, cnn, got 'transformer'"):
        make_model("transformer", 0)


# Training.


def small_part(count=250, seed=0):
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 28, 28, generator=random)
    return Part(images, torch.randint(10, (count,), generator=random))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_epoch_is_the_textbooks(name):
    """The same weights as a plain loop, and means over all images, those of the last small batch included."""
    part, each = small_part(), torch.zeros(250)
    own, plain = make_model("mlp", 0), make_model("mlp", 0)
    loss, accuracy = train_one_epoch(
        own, make_optimizer(name, own.parameters(), 0.01), part.batches(60), losses=each
    )
    optimizer, losses, correct = make_optimizer(name, plain.parameters(), 0.01), [], 0
    for images, labels in part.batches(60):
        logits = plain(images)
        batch_loss = cross_entropy(logits, labels)
        losses += cross_entropy(logits, labels, reduction="none").tolist()
        correct += (logits.argmax(1) == labels).sum().item()
        optimizer.zero_grad()
        batch_loss.backward()
        optimizer.step()
    for mine, theirs in zip(own.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert each.tolist() == pytest.approx(losses, rel=1e-4)
    assert accuracy == correct / 250


def test_evaluate():
    model, part = make_model("cnn", 0), small_part(1300)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    loss, accuracy = evaluate(model, part)
    logits = model(part.images)
    assert loss == pytest.approx(cross_entropy(logits, part.labels).item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == part.labels).float().mean().item())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_label_smoothing_reaches_the_loss():
    part, model = small_part(60), make_model("mlp", 0)
    expected = cross_entropy(model(part.images), part.labels, label_smoothing=0.3).item()
    steps = []
    loss, _ = train_one_epoch(
        model,
        make_optimizer("sgd", model.parameters(), 0.01),
        part.batches(60),
        after_step=lambda: steps.append(1),
        label_smoothing=0.3,
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(steps) == 1


def test_dead_units():
    """Of the layer that has most: 30 of 100 units of the second one, 2 of 16 channels of the first one."""
    part = small_part(1300)
    mlp, cnn = make_model("mlp", 0), make_model("cnn", 0)
    assert find_dead_units(mlp, part) == 0
    with torch.no_grad():
        for layer, count in ((mlp[1], 10), (mlp[3], 30), (cnn[0], 2)):
            layer.bias[:count] = -1e4
    assert find_dead_units(mlp, part) == pytest.approx(0.3)
    assert find_dead_units(cnn, part) == pytest.approx(2 / 16)
    one_is_enough = Part(torch.cat([part.images, torch.full((1, 1, 28, 28), 1e6)]), torch.zeros(1301))
    with torch.no_grad():
        mlp[3].weight.abs_()
        mlp[1].weight.abs_()
    assert find_dead_units(mlp, one_is_enough) == 0


def test_train(parts):
    """It learns, twice in the same way, in another way with another seed, and measures after each epoch."""
    record, same, other = (train(replace(SETTING, seed=seed), parts) for seed in (0, 0, 1))
    assert record.curves == same.curves
    assert record.curves != other.curves
    assert record.parameters == 89_610
    assert set(record.curves) == set(CURVES)
    assert all(len(curve) == 2 for curve in record.curves.values())
    assert record.curves["train_loss"][1] < record.curves["train_loss"][0]
    assert record.final("test_accuracy") > 0.3
    assert record.setting.place == Place("cpu", 1, 1)
    assert record.training_seconds > 0


def test_epochs_differ_in_order(parts, monkeypatch):
    orders = []
    batches = Part.batches

    def noting(part, batch_size, order=None):
        orders.extend([] if order is None else [order.tolist()])
        return batches(part, batch_size, order)

    monkeypatch.setattr(Part, "batches", noting)
    train(SETTING, parts)
    assert len(orders) == 2
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(len(parts["train"])))


# Where a run is done, and how it goes on.


def test_places(monkeypatch):
    """A GPU needs no threads, and no two places share a file."""
    assert ALONE.place() == Place("cpu", 1, 1)
    assert ALONE.place(threads=3) == Place("cpu", 1, 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    gpus = Workers(0, 2, torch.device("cuda:0"))
    places = [Place("cpu", 1, 3), Place("cpu", 3, 1), Place("cpu", 1, 1), gpus.place(3)]
    assert [str(place) for place in places] == [
        "cpu, 3 threads",
        "cpu x 3, 1 thread",
        "cpu, 1 thread",
        "NVIDIA H200 x 2",
    ]
    assert len({replace(SETTING, place=place).name for place in places}) == 4


def test_threads_are_as_many_as_the_record_says(parts, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    train(replace(SETTING, epochs=1, place=Place("cpu", 1, 2)), parts)
    assert asked == [2, 1]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is asked of the GNU C library")
def test_steps_use_memory_again(tmp_path):
    """Once there are experiments; else each such step asks the system for thousands of pages."""
    Experiments(tmp_path, "synthetic")
    network, images = make_cnn(), torch.zeros(512, 1, 28, 28)

    def pages_of_a_step():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        network(images).sum().backward()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(pages_of_a_step() for _ in range(5)) < 100


def train_until(epoch, setting, parts, checkpoint, monkeypatch):
    """Train, but end as a killed process does, with nothing tidied up, in the middle of an epoch."""
    begun = []

    def dying(*arguments):
        begun.append(1)
        if len(begun) == epoch:
            raise SystemError("killed")
        return train_one_epoch(*arguments)

    with monkeypatch.context() as context, pytest.raises(SystemError):
        context.setattr(training, "train_one_epoch", dying)
        train(setting, parts, checkpoint=checkpoint)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_killed_run_goes_on(parts, tmp_path, monkeypatch, name):
    """From the last whole epoch, and comes to what it would have come to, bit for bit."""
    setting = replace(SETTING, optimizer=name, epochs=3)
    checkpoint = Checkpoint(tmp_path / "run.pt", "code")
    train_until(3, setting, parts, checkpoint, monkeypatch)
    assert checkpoint.load()["epochs"] == 2
    epochs = []
    monkeypatch.setattr(training, "train_one_epoch", lambda *a: epochs.append(1) or train_one_epoch(*a))
    resumed = train(setting, parts, checkpoint=checkpoint)
    assert len(epochs) == 1
    assert resumed.curves == train(setting, parts).curves
    checkpoint.forget()
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_are_none(tmp_path, capsys):
    """Of other code; and what is not one, which is said."""
    path = tmp_path / "run.pt"
    Checkpoint(path, "old").save({"epochs": 1})
    assert Checkpoint(path, "old").load() == {"epochs": 1}
    assert Checkpoint(path, "new").load() is None
    assert capsys.readouterr().err == ""
    for content in (b"", b"no", path.read_bytes()[:200]):
        path.write_bytes(content)
        assert Checkpoint(path, "old").load() is None
        assert f"{path}: expected a checkpoint" in capsys.readouterr().err


def test_a_line_an_epoch_without_a_terminal(parts, capsys, monkeypatch):
    train(SETTING, parts)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", accuracy")[0] for line in lines] == [
        f"{SETTING}: epoch {n} of 2" for n in (1, 2)
    ]
    Workers(1, 2, torch.device("cpu")).report(SETTING, 1, "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ALONE.report(SETTING, 1, "")
    assert capsys.readouterr().err == ""
