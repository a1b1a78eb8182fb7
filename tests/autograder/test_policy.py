"""Tests of what the handout forbids: found however it is reached, and nobody is accused who did not."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from adapters import LayerTest
from default_assignment import ASSIGNMENT

from autograder import policy
from autograder.grading import grade

MODULES = ("q1", "q2", "fashion_mnist")
LIBRARIES = LayerTest.allowed_libraries
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
    "not main": METHOD + "x\nif __name__ != '__main__':\n    TanhLayer.forward = lambda self, x: np.tanh(x)",
    "main or so": METHOD + "x\nif __name__ == '__main__' or True:\n    TanhLayer.forward = np.tanh",
    "a main of one's own": "__name__ = '__main__'\nif __name__ == '__main__':\n    f = np.tanh",
    "TYPE_CHECKING of one's own": "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    f = np.tanh",
    "the body of another class": METHOD + "x\nclass Other:\n    TanhLayer.forward = np.tanh",
    "a default of another function": "def f(g=np.tanh):\n    TanhLayer.forward = g\n" + METHOD + "x",
    "another module": "from q2 import helper\n" + METHOD + "helper(x)",
    "another module's import": "import q2\n" + METHOD + "q2.numpy.tanh(x)",
    "this module": "import q1\n" + METHOD + "q1.np.tanh(x)",
    "mpmath": "import mpmath\n" + METHOD + "mpmath.exp(x)",
    "sympy": METHOD + "__import__('sympy').exp(x)",
    "jaxlib in a method": METHOD + "x\n    def backward(self, g):\n        import jaxlib",
    "the worker's helpers": "import probe\n" + METHOD + "x",
    "a star and a variable": "def f(tanh):\n    pass\nfrom numpy import *\n" + METHOD + "tanh(x)",
    "a star after a function": "def tanh(x):\n    pass\nfrom numpy import *\n" + METHOD + "tanh(x)",
}
HIDDEN = {
    "chr": METHOD + "getattr(np, 'tan' + chr(104))(x)",
    "join": METHOD + "getattr(np, ''.join(['t', 'a', 'n', 'h']))(x)",
    "getattr of self": METHOD + "getattr(self, input())(x)",
    "a default": "class TanhLayer:\n    def forward(self, x, f=getattr(np, 'tan' + chr(104))):\n        f(x)",
    "at import": "f = getattr(np, 'tan' + chr(104))\n" + METHOD + "f(x)",
    "getattr by another name": "g = getattr\n" + METHOD + "g(np, 'tanh')(x)",
    "getattr from builtins": "from builtins import getattr as g\n" + METHOD + "g(np, chr(104))(x)",
    "getattr handed on": METHOD + "list(map(getattr, [math], ['tan' + chr(104)]))[0](x)",
    "starred": METHOD + "getattr(*(np, 'tanh'))(x)",
    "a key that is computed": METHOD + "np.__dict__['tan' + chr(104)](x)",
    "a key of vars": METHOD + "vars(np)['tan' + chr(104)](x)",
    "a module in a list": METHOD + "[lib.tanh for lib in [np]][0](x)",
    "a module of the class": "class TanhLayer:\n    lib = np\n    def f(self, x):\n        self.lib.exp(x)",
    "the same, with an alias": "n = np\nclass TanhLayer:\n    n = np\n    f = lambda self: self.n.exp(1)",
    "an import in a class": "class TanhLayer:\n    import numpy as n\n    f = lambda self: self.n.exp(1)",
    "a module assigned to self": METHOD + "x\n    def __init__(self):\n        self.np = np",
    "two names at once": "a = b = np\n" + METHOD + "b.tanh(x)",
    "a walrus": METHOD + "(lib := np).tanh(x)",
    "aliases in the wrong order": "def f():\n    global n\n    n = np\nf()\nm = n\n" + METHOD + "m.tanh(x)",
    "sys.modules": METHOD + "sys.modules['num' + chr(112) + 'y'].tanh(x)",
    "modules": "from sys import modules\n" + METHOD + "modules[chr(109)].exp(x)",
    "sys of another module": "import warnings\n" + METHOD + "warnings.sys.modules[x]",
    "import_module": METHOD + "importlib.import_module('num' + chr(112) + 'y').exp(x)",
    "eval": METHOD + "eval('np.tan' + chr(104))(x)",
    "exec at import": "exec(bytes([110]).decode())\n" + METHOD + "x",
    "eval by another name": "e = eval\n" + METHOD + "e('np.tanh')(x)",
    "a class in exec": "exec('class TanhLayer:\\n lib = np\\n def f(self, x): self.lib.exp(x)')",
    "globals": "globals()[chr(102)] = 1\n" + METHOD + "f(x)",
    "inner attributes": METHOD + "self.forward.__func__.__globals__['np'].tanh(x)",
    "subclasses": METHOD + "object.__subclasses__()",
    "__self__": METHOD + "math.exp.__self__.tanh(x)",
    "frames": METHOD + "sys._getframe().f_globals['np'].tanh(x)",
    "ctypes": "import ctypes\n" + METHOD + "ctypes.CDLL('libm.so.6').exp(x)",
    "ctypes at import": "import ctypes\nf = ctypes.CDLL('libm.so.6')['tan' + chr(104)]\n" + METHOD + "f(x)",
    "pickle": "import pickle\nf = pickle.loads(b'cnumpy\\ntanh\\n.')\n" + METHOD + "f(x)",
    "NumPy's pickle": METHOD + "np.load(x, allow_pickle=True)",
    "attrgetter": "import operator\n" + METHOD + "operator.attrgetter(chr(104))(self)",
    "an exception's object": METHOD + "x\n    def f(self, x, e):\n        return e.obj.tanh(x)",
    "a long way": METHOD + "np" + ".lib" * 60 + ".exp(x)",
    "builtins": METHOD + "__builtins__['getattr']",
    "no Python": "class TanhLayer(:",
}
ALLOWED = {
    "torch that nobody uses": "import torch\ntorch.manual_seed(0)",
    "torch, if it is there": "try:\n    import torch.nn as nn\nexcept ImportError:\n    pass",
    "a comment": "class TanhLayer:  # np.tanh is not allowed\n    '''np.tanh(x)'''",
    "a function": "def tanh(x):\n    return np.exp(x)\n" + METHOD + "tanh(x)",
    "a function beside a star": "from numpy import *\ndef tanh(x):\n    return exp(x)\n" + METHOD + "tanh(x)",
    "a method": METHOD + "self.tanh(x) + super().tanh(x) + TanhLayer.tanh(x)",
    "a variable": "tanh = {'tanh': 1}\nclass TanhLayer:\n    y = tanh['tanh']",
    "another class": "class Other:\n    f = np.tanh\nclass TanhLayer:\n    pass",
    "a test": "def test():\n    import torch\n    assert np.tanh(1)\nclass TanhLayer:\n    pass",
    "the main block": "class TanhLayer:\n    pass\nif __name__ == '__main__':\n    import torch\n    np.tanh",
    "a module of the assignment": "from fashion_mnist import tanh\n" + METHOD + "tanh(x)",
    "computed names": "class TanhLayer:\n    def f(self, n):\n        setattr(self, n, 1)",
    "an alias": "xp = np\n" + METHOD + "xp.exp(x)",
    "numbers": METHOD + "np.finfo(float).max * sys.float_info.epsilon + np.pi + np.r_[1, x]",
    "a path, a seed, a filter": "import os, warnings\nsys.path.append(os.getcwd())\nnp.random.seed(3)\n"
    "warnings.filterwarnings('ignore')\nclass TanhLayer:\n    pass",
    "a look at what is there": "try:\n    import torch\nexcept:\n    torch = None\nX = torch is None",
    "SciPy": "from scipy.special import expit\n" + METHOD + "2 * expit(2 * x) - 1",
    "what is harmless": "from functools import partial\n" + METHOD + "partial(np.exp)(x)",
    "annotations": "from __future__ import annotations\n" + METHOD + "x\n    y: np.ndarray | None = None",
    "a function after a star": "from numpy import *\ndef tanh(x):\n    return exp(x)\n" + METHOD + "tanh(x)",
    "a lambda after a star": "from numpy import *\ntanh = lambda x: exp(x)\n" + METHOD + "tanh(x)",
    "checks": METHOD + "x if hasattr(self, 'x') and isinstance(x, np.ndarray) else f'{x.shape}'",
}


OTHERS = (
    ("fashion_mnist", b"def tanh(x):\n    return x\n"),
    ("q2", b"import numpy\ndef helper(x):\n    return numpy.tanh(x)\n"),
)


def uses_in(source, functions=("tanh",), tested="TanhLayer"):
    """Return what a source that is handed in as q1.py uses and may not."""
    source = source if isinstance(source, bytes) else (HEADER + source).encode()
    return policy.violations((("q1", source), *OTHERS), "q1", tested, functions, LIBRARIES, ("probe",))


@pytest.mark.parametrize("source", FORBIDDEN.values(), ids=FORBIDDEN)
def test_forbidden_in_the_text(source):
    found = uses_in(source)
    assert found
    for file, line, what, hidden in found:
        assert hidden is False
        assert what in ("torch", "jax", "jaxlib", "mpmath", "sympy", "probe") or what.endswith(".tanh")
        text = HEADER + source if file == "q1.py" else OTHERS[1][1].decode()
        words = set(re.findall(r"\w+", text.split("\n")[line - 1]))
        assert words & {"tanh", "ta", "torch", "jax", "jnp", "f", "mpmath", "sympy", "jaxlib", "probe"}


@pytest.mark.parametrize("source", HIDDEN.values(), ids=HIDDEN)
def test_hidden_in_the_text(source):
    assert any(use.hidden or use.what.endswith(".tanh") for use in uses_in(source))


@pytest.mark.parametrize("source", ALLOWED.values(), ids=ALLOWED)
def test_allowed_in_the_text(source):
    assert uses_in(source) == []


def test_the_coding_is_python_s():
    """A text that is read otherwise than Python does could be that of another program."""
    text = "# coding: utf-7\nimport numpy\nclass TanhLayer:\n    f = numpy.+AHQAYQBuAGg-\n"
    assert [use.what for use in uses_in(text.encode())] == ["numpy.tanh"]
    assert uses_in(b"# coding: nonsense\nclass TanhLayer: pass")[0].hidden
    assert uses_in(b"class TanhLayer: \0")[0].hidden


def test_getattr_of_a_layer_is_no_crime_where_no_function_is_banned():
    source = "class MLP:\n    def run(self, name):\n        return [getattr(layer, name) for layer in self.l]"
    assert uses_in(source, (), "MLP") == []
    assert uses_in(source.replace("layer,", "np,"), (), "MLP")


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
    uses_in(f"x0 = np\n{source}\nclass TanhLayer:\n    pass\n")
    assert time.process_time() - start < 10


SOLUTIONS = sorted((ROOT / "tests" / "assignment4" / "solutions").iterdir())


@pytest.mark.parametrize("folder", [ROOT, *SOLUTIONS], ids=lambda folder: folder.name)
def test_correct_solutions_are_innocent(folder):
    paths = [next(filter(Path.exists, (folder / f"{name}.py", ROOT / f"{name}.py"))) for name in MODULES]
    sources = tuple((path.stem, path.read_bytes()) for path in paths)
    for name in ("Dense", "SoftmaxLayer", "TanhLayer", "ReLULayer", "CrossEntropyLossLayer"):
        assert policy.violations(sources, "q1", name, ("tanh", "softmax"), LIBRARIES) == []
    assert policy.violations(sources, "q2", "MLP", (), LIBRARIES) == []


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


def test_what_is_hidden_costs_the_item(tmp_path):
    """Nothing that a submission does to the grader's modules in its own process gets it off."""
    source = (
        reference("q1")
        + """
import probe, worker
probe.arguments_afterwards = worker.Worker.do_get = None
TanhLayer.forward = lambda self, x: getattr(np, "tan" + chr(104))(x)
"""
    )
    failed = lost(tmp_path, ("1.2b.1", "1.2c.1"), q1=source)
    assert list(failed) == ["1.2b.1", "1.2c.1"]
    assert "` is not allowed in ReLULayer" in failed["1.2c.1"]
    source = source.replace("import probe, worker", "").replace("probe.arg", "# probe.arg")
    failed = lost(tmp_path, ("1.2b.1", "1.2c.1"), q1=source)
    assert list(failed) == ["1.2b.1"]
    assert "`getattr with a name that is computed` hides what TanhLayer uses" in failed["1.2b.1"]


def test_words_of_one_s_own_cost_nothing(tmp_path):
    source = reference("q1")
    own = (
        "def tanh(x):\n    return TanhLayer().forward(x)\n\n\nclass TanhLayer(Layer):\n    tanh = 'np.tanh'\n"
    )
    assert source.count("class TanhLayer(Layer):\n") == 1
    source = source.replace("class TanhLayer(Layer):\n", own)
    assert lost(tmp_path, ("1.2b.1", "1.2b.2"), q1=source) == {}
