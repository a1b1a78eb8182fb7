"""The recipes: networks, augmentation, optimiser, training."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ee411 import bonus
from ee411.bonus import (
    ALL_RECIPES,
    BLACK,
    CHANGES,
    NETWORKS,
    RECIPES,
    Bfloat16,
    Recipe,
    Residual,
    Views,
    augment,
    change,
    draw_kinds,
    erase,
    fold,
    has_bfloat16,
    make_adamw,
    make_schedule,
    orthogonal,
    train_recipe,
    with_batch_norm,
)
from ee411.data import Part, load_parts
from ee411.models import count_parameters
from ee411.training import Checkpoint, Place

RECIPE = Recipe("MLP 256-128", epochs=2, batch_size=63, lr=0.003, weight_decay=0.01, dataset="synthetic")


@pytest.fixture(scope="module")
def parts():
    return load_parts("synthetic")


def make_images(count=300):
    """Return images of which no two pixels are equal, brighter than the background."""
    random = torch.Generator().manual_seed(0)
    return Part(torch.rand(count, 1, 28, 28, generator=random), torch.arange(count))


# Networks.


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("MLP 100-100", 89_610),
        ("MLP 256-128", 235_146),
        ("CNN 16-32-64", 29_066),
        ("ResNet 32-64", 70_330),
        ("ResNet 64-128", 278_890),
        ("ResNet 48-128-256", 1_123_154),
        ("ResNet 128-256-512", 4_654_282),
    ],
)
def test_networks(name, parameters):
    network = NETWORKS[name]()
    assert count_parameters(network) == parameters
    assert network(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_residual():
    layers = nn.Linear(5, 5), nn.Tanh()
    x = torch.randn(2, 5)
    assert torch.equal(Residual(*layers)(x), x + layers[1](layers[0](x)))


@pytest.mark.parametrize("name", ["MLP 100-100", "MLP 256-128", "CNN 16-32-64"])
def test_folded_batch_norm(name):
    """The homework's own architecture and number of parameters, and the outputs of what was trained."""
    plain = NETWORKS[name]()
    trained = with_batch_norm(plain)
    random = torch.Generator().manual_seed(0)
    for layer in trained:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):  # as training leaves it, and worse
            for values in layer.parameters():
                nn.init.uniform_(values, -1, 2, generator=random)
            nn.init.uniform_(layer.running_mean, -1, 1, generator=random)
            nn.init.uniform_(layer.running_var, 0.1, 2, generator=random)
    folded = fold(trained)
    assert count_parameters(trained) > count_parameters(folded) == count_parameters(plain)
    assert str(folded) == str(plain)
    images = 2 * torch.rand(50, 1, 28, 28, generator=random) - 1
    logits = trained.eval()(images)
    assert logits.std() > 0.1
    torch.testing.assert_close(folded(images), logits, rtol=0, atol=1e-5)
    assert not torch.allclose(plain(images), logits, atol=0.1)


def test_what_is_measured_has_no_batch_norm(parts, monkeypatch):
    """It is trained with it, and evaluated without."""
    seen = {"trained": [], "evaluated": []}
    evaluate, train_one_epoch = bonus.evaluate, bonus.train_one_epoch

    def note(name, function):
        return lambda model, *rest: seen[name].append("BatchNorm" in str(model)) or function(model, *rest)

    monkeypatch.setattr(bonus, "evaluate", note("evaluated", evaluate))
    monkeypatch.setattr(bonus, "train_one_epoch", note("trained", train_one_epoch))
    outcome = train_recipe(replace(RECIPE, batch_norm=True), parts)
    assert seen == {"trained": [True, True], "evaluated": [False, False]}
    assert outcome.parameters == 235_146
    assert outcome.accuracy > 0.5


def test_bfloat16():
    """Logits like float32's, but for bfloat16's 8 bits; the weights and their gradients stay float32."""
    network = NETWORKS["CNN 16-32-64"]()
    images = make_images(50).images
    logits = Bfloat16(network)(images)
    assert logits.dtype == torch.float32
    exact = network(images)
    assert not torch.equal(logits, exact)
    torch.testing.assert_close(logits, exact, rtol=0.05, atol=0.02)
    logits.sum().backward()
    assert {p.dtype for p in network.parameters()} | {p.grad.dtype for p in network.parameters()} == {
        torch.float32
    }


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_which_processors_have_bfloat16(monkeypatch, name):
    """The last is Arm's."""
    capabilities = {"avx512_bf16": False, "avx2": True, name: True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16(torch.device("cpu"))
    capabilities[name] = False
    assert not has_bfloat16(torch.device("cpu"))


def test_views():
    network = NETWORKS["MLP 256-128"]()
    images = make_images(4).images
    up_left, down_right = (torch.full_like(images, BLACK) for _ in range(2))
    down_right[..., 1:, 1:] = images[..., :-1, :-1]
    up_left[..., :-1, :-1] = images[..., 1:, 1:]
    views = [view for each in (images, up_left, down_right) for view in (each, each.flip(-1))]
    expected = sum(network(view) for view in views) / 6
    torch.testing.assert_close(Views(network)(images), expected)


# Augmentation.


def test_change():
    """What was there is where it was moved to, mirrored after that, and the rest is background."""
    images = make_images(3).images
    moved = change(images, (1, -2, 0))
    assert torch.equal(moved[..., 1:, :-2], images[..., :-1, 2:])
    assert torch.all(moved[..., 0, :] == BLACK)
    assert torch.all(moved[..., -2:] == BLACK)
    assert torch.equal(change(images, (1, -2, 1)), moved.flip(-1))
    assert torch.equal(change(images, (0, 0, 0)), images)


def test_augment():
    """Each image is changed in its own way, and keeps its label."""
    images = make_images(200)
    kinds = draw_kinds(torch.arange(200) % 2 == 1, 1, torch.Generator().manual_seed(0))
    augmented = augment(images, kinds)
    for index, kind in enumerate(map(tuple, kinds.tolist())):
        assert torch.equal(augmented.images[index], change(images.images[index : index + 1], kind)[0])
    assert torch.equal(augmented.labels, images.labels)


def test_kinds():
    """All shifts come, equally often; mirrored are those that are to be; the same seed draws the same."""
    mirrored = torch.arange(9000) % 3 == 0
    kinds = draw_kinds(mirrored, 1, torch.Generator().manual_seed(0))
    shifts, counts = kinds[:, :2].unique(dim=0, return_counts=True)
    assert shifts.tolist() == [[down, right] for down in (-1, 0, 1) for right in (-1, 0, 1)]
    assert all(850 < count < 1150 for count in counts.tolist())
    assert torch.equal(kinds[:, 2] == 1, mirrored)
    assert torch.equal(kinds, draw_kinds(mirrored, 1, torch.Generator().manual_seed(0)))
    assert draw_kinds(mirrored, 0, torch.Generator())[:, :2].abs().max() == 0


def test_erase():
    """A square of each image is background, in many places, and all else is as it was."""
    images = make_images(300)
    erased = erase(images, 8, torch.Generator().manual_seed(0))
    hidden = erased.images == BLACK
    assert torch.equal(erased.images, images.images.masked_fill(hidden, BLACK))
    assert torch.equal(erased.labels, images.labels)
    assert set(hidden.sum(dim=(1, 2, 3)).tolist()) == {64}
    rows, columns = hidden.any(dim=3).sum(dim=2), hidden.any(dim=2).sum(dim=2)
    assert set(rows.ravel().tolist()) == set(columns.ravel().tolist()) == {8}
    assert hidden.any(dim=0)[0, 2:-2, 2:-2].all()
    assert hidden.any(dim=3)[:, 0, 0].any()
    assert hidden.any(dim=3)[:, 0, -1].any()


# Optimiser.


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_weight_decay_is_for_matrices(muon):
    """It is for kernels as well, whoever steps with them."""
    network, recipe = NETWORKS["ResNet 32-64"](), replace(RECIPES["ResNet"], muon=muon)
    decayed, others, *kernels = make_adamw(network, recipe).param_groups
    assert recipe.weight_decay > 0
    assert all(group["weight_decay"] == recipe.weight_decay for group in (decayed, *kernels))
    assert others["weight_decay"] == 0
    axes = [{p.ndim for p in group["params"]} for group in (decayed, others, *kernels)]
    assert axes == ([{2}, {1}, {4}] if muon else [{2, 4}, {1}])
    counts = [len(group["params"]) for group in (decayed, others, *kernels)]
    assert sum(counts) == len(list(network.parameters()))


@pytest.mark.parametrize("shape", [(5, 5), (16, 9), (32, 144)])
def test_orthogonal(shape):
    """The singular vectors stay, and the singular values become what the polynomial makes of them."""
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = u * values @ v
    torch.testing.assert_close(orthogonal(matrix), expected, rtol=0, atol=1e-6)  # the norm is 1e-7 too large
    assert (values > 0.65).all()
    assert (values < 1.25).all()


def test_muon():
    """Kernels move as PyTorch's Muon moves matrices, which computes in bfloat16; all else as with AdamW."""
    recipe = Recipe("CNN 16-32-64", 1, 128, lr=0.006, weight_decay=0.5, muon=0.02)
    network, plain = NETWORKS["CNN 16-32-64"](), NETWORKS["CNN 16-32-64"]()
    plain.load_state_dict(network.state_dict())
    optimizer, adamw = make_adamw(network, recipe), make_adamw(plain, replace(recipe, muon=0))
    kernels = [p for p in network.parameters() if p.ndim == 4]
    matrices = [nn.Parameter(kernel.detach().clone().flatten(1)) for kernel in kernels]
    muon = torch.optim.Muon(matrices, recipe.muon, weight_decay=recipe.weight_decay, adjust_lr_fn="original")
    random = torch.Generator().manual_seed(0)
    for _ in range(4):
        for own, other in zip(network.parameters(), plain.parameters(), strict=True):
            own.grad = torch.randn(own.shape, generator=random)
            other.grad = own.grad.clone()
        for matrix, kernel in zip(matrices, kernels, strict=True):
            matrix.grad = kernel.grad.flatten(1).clone()
        before = [kernel.detach().clone() for kernel in kernels]
        for each in (optimizer, adamw, muon):
            each.step()
        for kernel, matrix, old in zip(kernels, matrices, before, strict=True):
            difference = (kernel.flatten(1) - matrix).norm() / (kernel - old).norm()
            assert difference < 0.02
            matrix.data.copy_(kernel.flatten(1))  # so that what bfloat16 rounds does not add up
    for own, other in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(own, other) == (own.ndim != 4)


@pytest.mark.parametrize("one_cycle", [True, False])
def test_schedule(one_cycle):
    """Up to the recipe's rate in a fifth of the steps, and down to nothing; or always the recipe's."""
    recipe = replace(RECIPE, one_cycle=one_cycle, muon=4 * RECIPE.lr)
    optimizer = make_adamw(NETWORKS["CNN 16-32-64"](), recipe)
    schedule, rates = make_schedule(optimizer, recipe, 100), []
    for _ in range(100):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert all(matrices == others == muon / 4 for matrices, others, muon in rates)
    first = [matrices for matrices, *_ in rates]
    if one_cycle:
        top = first.index(max(first))
        assert 18 <= top <= 21
        assert max(first) == pytest.approx(recipe.lr)
        assert first[:top] == sorted(first[:top])
        assert first[top:] == sorted(first[top:], reverse=True)
        assert first[-1] < 0.001 * recipe.lr
    else:
        assert set(first) == {recipe.lr}


# Training.


def test_training(parts):
    """It learns, twice in the same way, and in another way with another seed."""
    outcome, same, other = (train_recipe(replace(RECIPE, seed=seed), parts) for seed in (0, 0, 1))
    assert replace(outcome, seconds=0) == replace(same, seconds=0)
    assert (outcome.accuracy, outcome.accuracy_of_views) != (other.accuracy, other.accuracy_of_views)
    assert outcome.parameters == 235_146
    assert outcome.seconds > 0
    assert min(outcome.accuracy, outcome.accuracy_of_views) > 0.5
    assert outcome.setting.place == Place("cpu", 1, 1)


@pytest.fixture
def trained(monkeypatch):
    """Note the weights and statistics of each network when its training has ended."""
    states, fold = [], bonus.fold

    def noting(network):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return fold(network)

    monkeypatch.setattr(bonus, "fold", noting)
    return states


def die_at(epoch, monkeypatch):
    """Let training be killed at the beginning of an epoch, and return a list with an entry for each begun."""
    begun, train_one_epoch = [], bonus.train_one_epoch

    def dying(*arguments):
        begun.append(1)
        if len(begun) == epoch:
            raise SystemError("killed")
        return train_one_epoch(*arguments)

    monkeypatch.setattr(bonus, "train_one_epoch", dying)
    return begun


@pytest.mark.parametrize("changes", [{"hardest": 0.4}, {"network": "CNN 16-32-64", "muon": 0.02}])
def test_a_killed_training_goes_on(parts, tmp_path, monkeypatch, trained, changes):
    """From the last whole epoch, and comes to what it would have come to, bit for bit."""
    recipe = replace(RECIPE, epochs=3, batch_norm=True, **changes)
    checkpoint, begun = Checkpoint(tmp_path / "run.pt", "code"), die_at(3, monkeypatch)
    with pytest.raises(SystemError):
        train_recipe(recipe, parts, checkpoint=checkpoint)
    resumed = train_recipe(recipe, parts, checkpoint=checkpoint)
    assert len(begun) == 4
    assert replace(resumed, seconds=0) == replace(train_recipe(recipe, parts), seconds=0)
    first, second = trained
    assert all(torch.equal(first[name], second[name]) for name in first)


TAUGHT = replace(RECIPE, teacher=replace(RECIPE, network="ResNet 32-64", epochs=2))


@pytest.mark.parametrize("final", [True, False])
def test_teacher(parts, monkeypatch, final):
    """It sees what its pupil sees, which then learns what it answers to six views of each image."""
    sets, networks, fit = [], [], bonus.fit

    def noting(network, recipe, train, *rest):
        sets.append(train)
        networks.append(network)
        return fit(network, recipe, train, *rest)

    monkeypatch.setattr(bonus, "fit", noting)
    recipe = replace(TAUGHT, final=final, seed=3)
    outcome = train_recipe(recipe, parts)
    teacher, pupil = sets
    assert len(teacher) == (len(parts["train"]) + len(parts["validation"]) if final else len(parts["train"]))
    assert torch.equal(teacher.images, pupil.images)
    with torch.no_grad():
        teaching = bonus.in_low_precision(networks[0], torch.device("cpu")).eval()
        logits = torch.cat([Views(teaching)(images) for images, _ in teacher.batches(1000)])
    torch.testing.assert_close(pupil.labels, (2 * logits).softmax(dim=1))
    assert (pupil.labels.argmax(dim=1) == teacher.labels).float().mean() > 0.8
    assert outcome.parameters == count_parameters(networks[1]) == 235_146
    train_recipe(replace(recipe.teacher, seed=3, final=final), parts)  # by itself
    first, alone = networks[0].state_dict(), networks[2].state_dict()
    assert all(torch.equal(value, alone[name]) for name, value in first.items())


def test_a_killed_pupil_keeps_its_teacher(parts, tmp_path, monkeypatch):
    """The teacher is not trained again, its time counts, and the checkpoints of both go in the end."""
    checkpoint, begun = Checkpoint(tmp_path / "run.pt", "code"), die_at(4, monkeypatch)
    seconds, fit = [], bonus.fit
    monkeypatch.setattr(bonus, "fit", lambda *arguments: seconds.append(fit(*arguments)) or seconds[-1])
    with pytest.raises(SystemError):
        train_recipe(TAUGHT, parts, checkpoint=checkpoint)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.pt", "run.teacher.pt"]
    checkpoint = Checkpoint(tmp_path / "run.pt", "code")  # another process
    resumed = train_recipe(TAUGHT, parts, checkpoint=checkpoint)
    assert len(begun) == 5
    assert seconds[0] == seconds[1]
    assert resumed.seconds > sum(seconds[1:])  # by the time of the answers
    checkpoint.forget()
    assert not list(tmp_path.iterdir())
    assert replace(resumed, seconds=0) == replace(train_recipe(TAUGHT, parts), seconds=0)


def test_compiling_changes_nothing(parts, monkeypatch, trained):
    """The steps that it is warmed up with leave no trace, and come in all sizes of batches."""
    compiled, sizes = [], []

    def compile_nothing(model, **options):
        compiled.append(options)
        model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        return model

    recipe = replace(RECIPE, batch_norm=True, hardest=0.5)
    expected = train_recipe(recipe, parts)
    monkeypatch.setattr(torch, "compile", compile_nothing)
    outcome = train_recipe(replace(recipe, compiled=True), parts)
    assert replace(outcome, seconds=0, setting=recipe) == replace(expected, seconds=0)
    assert len(compiled) == 1
    first, second = trained
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(sizes[:9]) == {63, 2000 % 63, 1000 % 63}


def test_unknown_network(parts):
    with pytest.raises(ValueError, match=r"one of MLP 100-100, .*, got 'transformer'"):
        train_recipe(replace(RECIPE, network="transformer"), parts)


@pytest.mark.parametrize("final", [True, False])
def test_what_is_looked_at(parts, monkeypatch, final):
    """If it is final: all training images and, once a kind of view, the test images; else no test images."""
    seen = {"trained": [], "evaluated": []}
    augment, evaluate = bonus.augment, bonus.evaluate

    def note(name, function):
        def noting(*arguments):
            (images,) = (argument for argument in arguments if isinstance(argument, Part))
            seen[name].append(images.labels.tolist())
            return function(*arguments)

        return noting

    monkeypatch.setattr(bonus, "augment", note("trained", augment))
    monkeypatch.setattr(bonus, "evaluate", note("evaluated", evaluate))
    train_recipe(replace(RECIPE, final=final), parts)
    train, validation, test = (parts[name].labels.tolist() for name in ("train", "validation", "test"))
    assert seen["trained"] == [train + validation if final else train] * RECIPE.epochs
    assert seen["evaluated"] == [test if final else validation] * 2


@pytest.mark.parametrize("change", [{"flip": False}, {"shift": 0}])
def test_what_epochs_are_made_of(parts, monkeypatch, change):
    """Images are mirrored every other epoch, or never, and moved, or not."""
    drawn = []
    augment = bonus.augment
    monkeypatch.setattr(bonus, "augment", lambda *a: drawn.append(a[1]) or augment(*a))
    train_recipe(replace(RECIPE, **change), parts)
    first, second = drawn
    if change == {"flip": False}:
        assert not first[:, 2].any()
        assert not second[:, 2].any()
        assert first[:, :2].any()
    else:
        assert torch.equal(first[:, 2], 1 - second[:, 2])
        assert 0.4 < first[:, 2].double().mean() < 0.6
        assert not first[:, :2].any()
    assert not torch.equal(first, second)


@pytest.mark.parametrize("final", [True, False])
def test_the_hardest_are_learned_from(parts, monkeypatch, final):
    """After the first epoch those with the largest losses when they last came, always in a new order.

    Each is mirrored every other epoch, whether it was there in the one between or not.
    """
    recipe = replace(RECIPE, epochs=5, hardest=0.3, final=final, shift=0)
    everything = len(parts["train"]) + final * len(parts["validation"])
    count = round(0.3 * everything)
    random = torch.Generator().manual_seed(0)
    images = torch.rand(everything, 1, 28, 28, generator=random)  # no two begin alike, or as another ends
    labels = torch.cat([parts["train"].labels, parts["validation"].labels])[:everything]
    place_of = {image.item(): place for place, image in enumerate(images[:, 0, 0, 0])}
    size = len(parts["train"])
    parts = {
        "train": Part(images[:size], labels[:size]),
        "validation": Part(images[size:], labels[size:]) if final else parts["validation"],
        "test": parts["test"],
    }
    orders, mirrored, losses, train_one_epoch = [], [], [], bonus.train_one_epoch

    def judging(model, optimizer, batches, *arguments):
        batches = list(batches)
        rows = torch.cat([images[:, 0, 0] for images, _ in batches])
        mirrored.append([row[0].item() not in place_of for row in rows])
        orders.append([place_of[row[-end].item()] for row, end in zip(rows, mirrored[-1], strict=True)])
        assert torch.equal(torch.cat([own for _, own in batches]), labels[orders[-1]])
        result = train_one_epoch(model, optimizer, batches, *arguments)
        arguments[-1].copy_(torch.rand(len(arguments[-1]), generator=random))
        losses.append(arguments[-1])
        return result

    monkeypatch.setattr(bonus, "train_one_epoch", judging)
    steps, schedule = [], bonus.make_schedule
    monkeypatch.setattr(bonus, "make_schedule", lambda *a: steps.append(a[-1]) or schedule(*a))
    train_recipe(recipe, parts)
    assert [len(order) for order in orders] == [everything, count, count, count, count]
    assert steps == [sum(math.ceil(len(order) / recipe.batch_size) for order in orders)]
    first = dict(zip(orders[0], mirrored[0], strict=True))
    assert 0.4 < sum(mirrored[0]) / everything < 0.6
    for epoch, (order, now) in enumerate(zip(orders, mirrored, strict=True)):
        assert now == [first[place] ^ bool(epoch % 2) for place in order]
    last = torch.zeros(everything)
    for order, seen in zip(orders, losses, strict=True):
        assert len(set(order)) == len(order)
        rest = torch.ones(everything, dtype=torch.bool)
        rest[order] = False
        assert not rest.any() or last[order].min() > last[rest].max()
        assert order not in (sorted(order), last.topk(len(order)).indices.tolist())
        last[order] = seen


def test_recipes_of_the_project():
    """The homeworks' own networks are there, and no two recipes share a file."""
    assert {"MLP 256-128", "CNN 16-32-64"} <= {recipe.network for recipe in RECIPES.values()}
    for recipe in ALL_RECIPES.values():
        assert recipe.network in NETWORKS
    changed = [
        replace(ALL_RECIPES[name], **change)
        for name, changes in CHANGES.items()
        for change in changes.values()
    ]
    recipes = {*ALL_RECIPES.values(), *changed, replace(RECIPES["CNN"], final=False, seed=1)}
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    assert RECIPES["CNN"] in changed  # as what the taught one is compared with; so they share the runs
    assert len(recipes) == len(ALL_RECIPES) + len(changed)
    assert all(Path(recipe.name).name == recipe.name and len(recipe.name) < 250 for recipe in recipes)
