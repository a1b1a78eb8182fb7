"""Tests that who looks right without the work gets no points for it: what that would be is in cheats/."""

from __future__ import annotations

from pathlib import Path

import dataset
import pytest
import test_fashion_mnist as graded
import torchvision_operators  # noqa: F401
from in_place_tests import install, messages_of

from autograder import checks

ROOT = Path(__file__).resolve().parents[2]
CHEATS = Path(__file__).parent / "cheats"


@pytest.fixture
def failures(monkeypatch):
    """Return a function that runs tests of section 3 on a folder's modules, and returns their messages."""

    def run(folder, names):
        for file in ("q1.py", "fashion_mnist.py"):
            install(monkeypatch, next(filter(Path.exists, (folder / file, ROOT / file))), graded)
        cases = {name: getattr(graded, name.partition(".")[0])(name.partition(".")[2]) for name in names}
        return {name: "\n".join(messages_of(case)) for name, case in cases.items()}

    return run


CUSTOM = [
    f"{group.__name__}.{name}"
    for group in (graded.TestArchitecture, graded.TestTraining, graded.TestTesting)
    for name in dir(group)
    if name.startswith("test_custom") or (name.startswith("test_") and name.endswith("_custom"))
    if "fashion_mnist" not in name  # which takes the data set
]


def test_a_model_that_delegates(failures):
    messages = failures(CHEATS / "delegate", CUSTOM)
    assert len(messages) == 10
    for name, message in messages.items():
        assert "does not use the `forward` of its `Dense` layers" in message, name


AUTOGRAD = """    def forward(self, images):
        x = np.asarray(images).reshape(len(images), -1)
        for place, layer in enumerate(self.shown):
            x = layer.forward(np.maximum(x, 0) if place else x)
        return torch.softmax(torch.tensor(x), 1).numpy()

    def train(self, data, lr=0.001):
        linears = self.model.layers[::2]
        with torch.no_grad():
            for linear, dense in zip(linears, self.shown, strict=True):
                linear.weight.copy_(torch.tensor(dense.W)), linear.bias.copy_(torch.tensor(dense.b))
        result = self.model.train(data, lr=lr)
        for linear, dense in zip(linears, self.shown, strict=True):
            dense.W, dense.b = linear.weight.detach().numpy(), linear.bias.detach().numpy()
        return result
"""


def test_a_model_that_has_its_gradients_computed(failures, tmp_path):
    """It goes through its own layers, and learns by autograd."""
    source = (CHEATS / "delegate" / "fashion_mnist.py").read_text(encoding="utf-8")
    head, _, tail = source.partition("    def forward(self, images):\n        return torch.softmax")
    source = head + AUTOGRAD + tail.partition("        return self.model.train(data, lr=lr)\n")[2]
    (tmp_path / "fashion_mnist.py").write_text("import numpy as np\n" + source, encoding="utf-8")
    messages = failures(tmp_path, CUSTOM)
    learning = [message for name, message in messages.items() if "TestTraining" in name]
    assert all("lets PyTorch compute the gradients" in message for message in learning)


def test_constants(failures):
    every = [
        f"{group.__name__}.{name}"
        for group in (graded.TestArchitecture, graded.TestTraining, graded.TestTesting, graded.TestPlot)
        for name in dir(group)
        if name.startswith("test_") and "fashion_mnist" not in name
    ]
    assert [name for name, message in failures(CHEATS / "constants", every).items() if not message] == []


def test_data(failures, tmp_path, monkeypatch):
    """What a submission yields is compared with what it was given, whatever it says it can do."""
    raw = tmp_path / "data" / dataset.RAW
    raw.mkdir(parents=True)
    dataset.make_up_files(raw, seed=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "submission_data", tmp_path / "data")
    monkeypatch.setattr(graded, "require_custom_model", lambda: None)  # there is but a data set
    name = "TestData.test_test_images"
    assert failures(ROOT, [name]) == {name: ""}
    assert (
        "10,000 images of the file `t10k-images-idx3-ubyte` are missing"
        in failures(CHEATS / "noise", [name])[name]
    )
