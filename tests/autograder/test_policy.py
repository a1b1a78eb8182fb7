"""Tests of what the handout forbids: found however it is reached, and nobody is accused who did not."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import numpy as np
import pytest
from adapters import LayerTest
from default_assignment import ASSIGNMENT

from autograder import policy
from autograder.grading import grade
from autograder.inside import bans

MODULES = ("q1", "q2", "fashion_mnist")
BANNED = LayerTest.banned_libraries, MODULES
ROOT = Path(__file__).resolve().parents[2]
HEADER = "import importlib, math, sys\nimport numpy as np\n"
METHOD = "class TanhLayer:\n    def forward(self, x):\n        return "

FORBIDDEN = {
    "np.tanh": METHOD + "np.tanh(x)",
    "a submodule": METHOD + "np.core.umath.tanh(x)",
    "math": METHOD + "math.tanh(x)",
    "a class attribute": "class TanhLayer:\n    f = staticmethod(math.tanh)",
    "another name for the module": "n = np\n" + METHOD + "n.tanh(x)",
    "from": "from numpy import tanh as f\n" + METHOD + "f(x)",
    "star": "from numpy import *\n" + METHOD + "tanh(x)",
    "scipy": "from scipy.special import tanh",
    "getattr": METHOD + "getattr(np, 'tanh')(x)",
    "getattr of two halves": METHOD + "getattr(np, 'ta' + 'nh')(x)",
    "__dict__": METHOD + "np.__dict__['tanh'](x)",
    "vars": METHOD + "vars(np)['tanh'](x)",
    "sys.modules": METHOD + "sys.modules['numpy'].tanh(x)",
    "__import__": METHOD + "__import__('numpy').tanh(x)",
    "import_module": METHOD + "importlib.import_module('numpy').tanh(x)",
    "eval": METHOD + "eval('np.tanh(x)')",
    "exec": METHOD + "exec('from numpy import tanh')",
    "a function of one's own": "def f(x):\n    return np.tanh(x)\n" + METHOD + "f(x)",
    "a base class": "class Base:\n    f = np.tanh\nclass TanhLayer(Base):\n    pass",
    "a method that comes later": "class TanhLayer:\n    pass\nTanhLayer.forward = lambda self, x: np.tanh(x)",
    "torch": "import torch\n" + METHOD + "torch.asarray(x)",
    "jax": "import jax.numpy as jnp\n" + METHOD + "jnp.where(x)",
    "torch by another name": "from torch import asarray as f\n" + METHOD + "f(x)",
    "torch in a method": "class TanhLayer:\n    def forward(self, x):\n        from torch import nn",
}
ALLOWED = {
    "torch that nobody uses": "import torch\ntorch.manual_seed(0)",
    "torch, if it is there": "try:\n    import torch.nn as nn\nexcept ImportError:\n    pass",
    "a comment": "class TanhLayer:  # np.tanh is not allowed\n    '''np.tanh(x)'''",
    "a function": "def tanh(x):\n    return np.exp(x)\n" + METHOD + "tanh(x)",
    "a function beside a star": "from numpy import *\ndef tanh(x):\n    return exp(x)\n" + METHOD + "tanh(x)",
    "a method": METHOD + "self.tanh(x) + x.tanh",
    "a variable": "tanh = {'tanh': 1}\nclass TanhLayer:\n    y = tanh['tanh']",
    "another class": "class Other:\n    f = np.tanh\nclass TanhLayer:\n    pass",
    "a test": "def test():\n    import torch\n    assert np.tanh(1)\nclass TanhLayer:\n    pass",
    "the main block": "class TanhLayer:\n    pass\nif __name__ == '__main__':\n    import torch\n    np.tanh",
    "a module of the assignment": "from q1 import tanh\n" + METHOD + "tanh(x)",
    "no Python": "class TanhLayer(:",
}


@pytest.mark.parametrize("source", FORBIDDEN.values(), ids=FORBIDDEN)
def test_forbidden_in_the_text(source):
    found = policy.violations(HEADER + source, "TanhLayer", ("tanh",), *BANNED)
    assert found
    lines = (HEADER + source).split("\n")
    for line, path in found:
        assert path in ("torch", "jax") or path.endswith(".tanh")
        assert set(re.findall(r"\w+", lines[line - 1])) & {"tanh", "ta", "torch", "jax", "jnp", "f"}


@pytest.mark.parametrize("source", ALLOWED.values(), ids=ALLOWED)
def test_allowed_in_the_text(source):
    assert policy.violations(HEADER + source, "TanhLayer", ("tanh",), *BANNED) == []


def reference(name):
    """Return the text of the repository's own module."""
    return (ROOT / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "source",
    [
        "np" + ".a" * 30_000,
        "f(np" + ".a" * 900 + ")" + "\nf(np" * 1 + ".a" * 900 + ")",
        "getattr(np, " + "'a' + " * 900 + "'b')",
        "x = " + " + ".join(["np.a.b.c"] * 10_000),
        "x = " + "(" * 150 + "np.a" + ")" * 150,
        "\n".join(f"x{n} = x{n - 1}.a" for n in range(1, 3_000)),
        "eval(" + "'" + "np.a " * 10_000 + "')",
        "\n".join(["np" + ".a" * 900] * 70),
    ],
    ids=range(8),
)
def test_time_does_not_explode(source):
    """Whatever is in a text, of at most a megabyte, looking at it takes seconds at most."""
    start = time.process_time()
    policy.violations(f"x0 = np\n{source}\nclass TanhLayer:\n    pass\n", "TanhLayer", ("tanh",), *BANNED)
    assert time.process_time() - start < 10


def test_the_reference_is_innocent():
    for name in ("Dense", "SoftmaxLayer", "TanhLayer", "ReLULayer", "CrossEntropyLossLayer"):
        assert policy.violations(reference("q1"), name, ("tanh", "softmax"), *BANNED) == []
    assert policy.violations(reference("q2"), "MLP", (), *BANNED) == []


@pytest.fixture
def forbidden():
    """Forbid tanh for a test."""
    bans.forbid(["tanh"], ["numpy", "math"], list(MODULES))
    yield
    bans.allow()


def run_as_q1(source, tmp_path):
    """Run a source as that of a file q1.py."""
    exec(compile(source, str(tmp_path / "q1.py"), "exec"), {"np": np})  # noqa: S102


def test_forbidden_while_it_runs(forbidden, tmp_path):
    run_as_q1("f = getattr(np, ''.join('tanh'))\ny = f(0.5)", tmp_path)
    run_as_q1("import math\nmath.tanh(1)", tmp_path)
    assert bans.forbidden_calls() == [("q1.py", 2, "numpy.tanh"), ("q1.py", 2, "math.tanh")]


def test_an_error_that_is_caught_is_still_taken_down(forbidden, tmp_path):
    with contextlib.suppress(TypeError):
        run_as_q1("np.tanh()", tmp_path)
    assert bans.forbidden_calls() == [("q1.py", 1, "numpy.tanh")]


def test_others_may_call_it(forbidden):
    np.tanh(0.5)
    assert bans.forbidden_calls() == []


def test_nothing_stays_behind(tmp_path):
    before = np.tanh
    bans.forbid(["tanh"], ["numpy"], list(MODULES))
    assert np.tanh is not before
    assert np.tanh.nin == 1
    run_as_q1("np.tanh(1)", tmp_path)
    bans.allow()
    assert np.tanh is before
    assert bans.forbidden_calls() == []


def lost(tmp_path, only, **sources):
    """Return the messages of the tests that a submission of these sources fails, by number."""
    for name in ("q1", "q2"):
        (tmp_path / f"{name}.py").write_text(sources.get(name, reference(name)), encoding="utf-8")
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=only)
    return {
        test.number: result.outcomes[test.id].message
        for test in result.tests
        if not result.outcomes[test.id].passed
    }


IMPORTS = """
import jax.numpy as jnp
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.special import expit
from torch import nn
from torch.utils.data import DataLoader

torch.manual_seed(33)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Compared(nn.Module):
    @torch.no_grad()
    def forward(self, x: torch.Tensor | pd.DataFrame) -> "torch.Tensor":
        return F.relu(x)


"""


def test_what_is_imported_and_not_used_costs_nothing(tmp_path):
    head, base, rest = reference("q1").partition("class Layer:")
    assert lost(tmp_path, ("1.1.4", "1.2c.1", "1.3.1", "2.1.1"), q1=head + IMPORTS + base + rest) == {}


def test_a_library_costs_the_items_that_use_it(tmp_path):
    source = reference("q1") + "\nimport torch\n\nhelp = torch.tensor\n"
    for name in ("ReLULayer", "CrossEntropyLossLayer"):
        head = f"class {name}(Layer):\n"
        source = source.replace(head, f"{head}    def unused(self):\n        return help(1)\n\n")
    failed = lost(tmp_path, ("1.1.4", "1.2c.1", "1.3.1", "2.1.1"), q1=source)
    assert list(failed) == ["1.2c.1", "1.3.1"]
    assert all("`torch` is not allowed" in message for message in failed.values())


def test_who_computes_with_it_all_the_same_gets_no_numbers(tmp_path):
    source = reference("q1") + "\nimport torch\nReLULayer.forward = lambda self, x: torch.relu(x)\n"
    failed = lost(tmp_path, ("1.1.4", "1.2c.1"), q1=source)
    assert list(failed) == ["1.2c.1"]
    assert "NotAvailable" in failed["1.2c.1"]


def test_a_library_in_one_class_costs_one_item(tmp_path):
    source = reference("q1")
    head = "class ReLULayer(Layer):\n"
    source = source.replace(head, f"{head}    def unused(self):\n        from jax import numpy\n\n")
    assert source.count("from jax") == 1
    failed = lost(tmp_path, ("1.1.4", "1.2c.1", "1.3.1"), q1=source)
    assert list(failed) == ["1.2c.1"]


def test_words_of_one_s_own_cost_nothing(tmp_path):
    source = reference("q1")
    own = (
        "def tanh(x):\n    return TanhLayer().forward(x)\n\n\nclass TanhLayer(Layer):\n    tanh = 'np.tanh'\n"
    )
    assert source.count("class TanhLayer(Layer):\n") == 1
    source = source.replace("class TanhLayer(Layer):\n", own)
    assert lost(tmp_path, ("1.2b.1", "1.2b.2"), q1=source) == {}
