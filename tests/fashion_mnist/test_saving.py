"""``--save``: the weights of what was trained, for PyTorch and for NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from runs import draw_less, records_in

import fashion_mnist
from fashion_mnist import FashionMNIST, Results, Setting, build_model

pytestmark = pytest.mark.fast

TRAIN = ("--dataset", "synthetic", "--epochs", "2", "--batch-size", "50", "--lr", "0.05")
SHAPES = {
    "layers.0.weight": (256, 784), "layers.0.bias": (256,),
    "layers.2.weight": (128, 256), "layers.2.bias": (128,),
    "layers.4.weight": (10, 128), "layers.4.bias": (10,),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Save no figures, which take longer than all the rest."""
    draw_less(monkeypatch)
    monkeypatch.setattr(fashion_mnist, "plot", lambda *_: None)
    monkeypatch.setattr(Results, "save_figure", lambda *_: None)


def read(path):
    """Return a file of weights as NumPy or PyTorch reads it, where neither runs code from the file."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("models", [["custom"], ["pytorch"], ["pytorch", "custom"]])
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.npz"])
def test_weights(main, name, models):
    """A flat dictionary, of tensors or arrays; loaded, it is right as often as what was trained."""
    status, stdout, stderr = main(*TRAIN, "--models", *models, "--save", f"new/{name}")
    assert (status, stderr) == (0, "")
    assert f"saved {Path('new', name)}" in stdout
    assert [path.name for path in Path("new").iterdir()] == [name]
    state = read(Path("new", name))
    assert type(state) is dict
    beginnings = [f"{model}." for model in models] if len(models) > 1 else [""]
    assert list(state) == [beginning + key for beginning in beginnings for key in SHAPES]
    for key, value in state.items():
        assert type(value) is (np.ndarray if name == "w.npz" else torch.Tensor)
        assert value.dtype == (np.float32 if name == "w.npz" else torch.float32)
        assert value.shape == SHAPES[key[key.index("layers") :]]
    data = FashionMNIST(dataset="synthetic")
    records = {setting.model: record for setting, record in records_in("results/synthetic").items()}
    for model, beginning in zip(models, beginnings, strict=True):
        own = {key.removeprefix(beginning): it for key, it in state.items() if key.startswith(beginning)}
        for kind in ("pytorch", "custom"):
            if kind == "pytorch":
                own = {key: torch.as_tensor(value) for key, value in own.items()}
            loaded = build_model(Setting(kind, seed=5))
            loaded.load_state_dict(own)
            assert loaded.test(data) == pytest.approx(records[model].test_accuracy, abs=0.002)
        assert records[model].test_accuracy > 0.5


@pytest.mark.parametrize("name", ["w.txt", "w", "w.pt.gz", "w.npy", "pt", "."])
def test_other_endings(main, one_line, tmp_path, name):
    """They are refused before anything is trained."""
    status, stdout, stderr = main(*TRAIN, "--save", name)
    assert (status, stdout) == (2, "")
    one_line(stderr, "--save: expected", ".pt", ".npz", name)
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_written(main, one_line):
    """One line, and no part of a file; what was trained is kept."""
    Path("file").touch()
    status, _, stderr = main(*TRAIN, "--models", "custom", "--save", "file/w.pt")
    assert status == 2
    one_line(stderr, "file/w.pt")
    assert not list(Path().rglob("*.part"))


def test_runs_that_were_kept(main):
    """Their weights are gone: what is to be saved is trained again, to the same numbers, and nothing else."""
    rates = ("learning-rates", *TRAIN, "--models", "custom", "--seeds", "2")
    main(*rates)
    before = records_in("results/synthetic")
    status, stdout, _ = main(*rates, "--save", "w.npz")
    assert status == 0
    assert stdout.count("kept from before") == 5
    after = records_in("results/synthetic")
    assert after.keys() == before.keys()
    for setting, record in before.items():
        assert after[setting].train_losses == record.train_losses
        assert after[setting].test_accuracy == record.test_accuracy
    model = build_model(Setting("custom", seed=5))
    model.load_state_dict(read(Path("w.npz")))
    base = Setting("custom", lr=0.05, epochs=2, batch_size=50, dataset="synthetic")
    assert model.test(FashionMNIST(dataset="synthetic")) == after[base].test_accuracy


def test_old_file_is_replaced_whole(main):
    Path("w.pt").write_bytes(b"old")
    main(*TRAIN, "--models", "custom", "--save", "w.pt")
    assert list(read(Path("w.pt"))) == list(SHAPES)


def test_home_folder(main, monkeypatch, tmp_path):
    """``~`` is the home folder for every path, also where no shell has seen it, as in --save=~/w.pt."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    arguments = (*TRAIN, "--models", "custom", "--results-dir", "~/mine", "--save", "~/w.pt")
    status, stdout, stderr = main(*arguments)
    assert (status, stderr) == (0, "")
    assert "~" not in stdout
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["mine", "w.pt"]
    assert len(records_in(tmp_path / "home/mine")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
