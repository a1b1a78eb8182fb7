"""What students start from in assignment 4: it earns nothing, each gap its item, all of them all points."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import run_tests
import test_fashion_mnist
import test_q1
import test_q2
from dataset import write_idx
from default_assignment import ASSIGNMENT
from drift import differences
from elsewhere import elsewhere
from in_place_tests import cases_of, install, messages_of
from sanity_checks import run_check

from autograder import starter
from autograder.grading import load_tests, method_of
from autograder.starter import gaps_in, with_gaps

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = ASSIGNMENT.folder / ASSIGNMENT.starter
GRADED = {"q1": test_q1, "q2": test_q2, "fashion_mnist": test_fashion_mnist}
SOURCES = {name: (FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in GRADED}
REFERENCE = {name: (REPOSITORY / f"{name}.py").read_text(encoding="utf-8") for name in GRADED}
CASES = load_tests(ASSIGNMENT).cases
ASKED = starter.asked_in((FOLDER / "parts.py").read_bytes())
# What staff have added to the graded tests since, and students don't start from, is left out.
ITEMS = {
    case.case.tested: case.test.item
    for case in CASES
    if hasattr(case.case, "tested") and case.test.item in ASKED
}


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    """Let a test begin in an empty folder."""
    monkeypatch.chdir(tmp_path)


def earned(monkeypatch, folder, sources, *modules, only=None):
    """Return the numbers of the tests of some modules that pass in place, on these texts."""
    for name, source in sources.items():
        path = folder / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        install(monkeypatch, path, *GRADED.values())
    tests = [test for name in modules for test in cases_of(GRADED[name])]
    numbered = {method_of(test).__number__: test for test in tests}
    return {number for number in only or numbered if not messages_of(numbered[number])}


def numbers_of(item):
    """Return the numbers of an item's tests."""
    return {case.test.number for case in CASES if case.test.item == item}


def empty(source):
    """Return a text whose gaps raise nothing and return nothing."""
    return re.sub(r"raise NotImplementedError\(.not implemented yet.*", "pass", source)


@pytest.mark.parametrize("finish", [str, empty])
@pytest.mark.parametrize("given", [(), ("q1",), ("q1", "q2")])
def test_it_earns_nothing(given, finish, monkeypatch, tmp_path):
    """Nor does it where what it builds on is right, as the grader's stand-ins are."""
    sources = {
        name: REFERENCE[name] if name in given else finish(with_gaps(SOURCES[name])) for name in GRADED
    }
    left = [name for name in GRADED if name not in given]
    assert earned(monkeypatch, tmp_path, sources, *left) == set()


@pytest.mark.parametrize("tested", ITEMS)
def test_each_gap_earns_its_item(tested, monkeypatch, tmp_path):
    filled = {
        name: [gap for gap in gaps_in(SOURCES[name]) if gap.startswith(f"{tested}.")] for name in ("q1", "q2")
    }
    assert sum(map(bool, filled.values())) == 1
    sources = {name: with_gaps(SOURCES[name], filled[name]) for name in filled}
    if tested == "MLP":
        sources["q1"] = REFERENCE["q1"]
    found = earned(monkeypatch, tmp_path, sources, *(["q2"] if tested == "MLP" else ["q1", "q2"]))
    assert found == numbers_of(ITEMS[tested])


def test_the_third_file_earns_its_items(monkeypatch, tmp_path):
    """On right layers, as the grader's stand-ins are; ``test_solutions`` runs those that take long."""
    third = with_gaps(SOURCES["fashion_mnist"], gaps_in(SOURCES["fashion_mnist"]))
    quick = {"3.4", "3.5", "3.8", "3.9", "3.16", "3.17", "3.24", "3.25", "3.26", "3.27"}
    sources = {**REFERENCE, "fashion_mnist": third}
    assert earned(monkeypatch, tmp_path, sources, "fashion_mnist", only=quick) == quick


def test_a_wrong_network_costs_its_own_tests(monkeypatch, tmp_path):
    """What is handed out beside it counts as soon as there is a network, right or wrong."""
    third = with_gaps(SOURCES["fashion_mnist"], gaps_in(SOURCES["fashion_mnist"]))
    wrong = re.sub(
        r"(class CustomMLP.*?def forward\(.*?\n        \"{3}.*?\"{3}\n)",
        r"\1        1 / 0\n",
        third,
        flags=re.S,
    )
    assert wrong != third
    titles = {case.test.number: case.test.name for case in CASES}
    quick = ("3.4", "3.5", "3.8", "3.9", "3.24", "3.25", "3.26")
    found = earned(monkeypatch, tmp_path, {**REFERENCE, "fashion_mnist": wrong}, "fashion_mnist", only=quick)
    assert found == {number for number in quick if not titles[number].startswith("Custom")}


def test_what_is_handed_out_works(monkeypatch, tmp_path, capsys):
    """The data, the PyTorch model, the figures and the command line, with nothing written."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, size in (("train", 50), ("t10k", 20)):
        write_idx(
            raw / f"{part}-images-idx3-ubyte", random.integers(256, size=(size, 28, 28), dtype=np.uint8)
        )
        write_idx(raw / f"{part}-labels-idx1-ubyte", random.integers(10, size=size, dtype=np.uint8))
    earned(monkeypatch, tmp_path, {name: with_gaps(SOURCES[name]) for name in GRADED})
    monkeypatch.setattr(plt, "show", lambda: None)
    flags = "--models pytorch --lr 0.01 --epochs 2 --batch-size 8 --val-perc 0.2 --plot"
    monkeypatch.setattr(sys, "argv", ["fashion_mnist.py", *flags.split()])
    sys.modules["fashion_mnist"].main()
    plt.close("all")
    shown = capsys.readouterr().out
    assert re.search(r"pytorch, epoch 2: training loss \d.\d{4}, validation accuracy 0.\d{4}\n", shown)
    assert re.search(r"pytorch: test accuracy 0.\d{4}\n", shown)
    assert Path("curves.png").stat().st_size > 10_000
    data = sys.modules["fashion_mnist"].FashionMNIST(8)
    assert [len(it.dataset) for it in (data.train_loader, data.val_loader, data.test_loader)] == [40, 10, 20]


def test_every_gap_belongs_to_an_item():
    gaps = {gap.partition(".")[0] for name in ("q1", "q2") for gap in gaps_in(SOURCES[name])}
    assert gaps == set(ITEMS)
    assert {gap.partition(".")[0] for gap in gaps_in(SOURCES["fashion_mnist"])} == {"CustomMLPFashionMNIST"}


@pytest.mark.parametrize("name", GRADED)
def test_documentation(name):
    """Names, arguments and first lines are the reference's; everything is documented."""
    found = differences(SOURCES[name], importlib.import_module(name))
    assert [it for it in found if not it.startswith("main: ")] == []


def test_style():
    """Nothing of the reference's machinery is in it, and no line is long."""
    for name, content in starter.contents_of(ASSIGNMENT).items():
        text = content.decode()
        assert "SOLUTION" not in text
        if name in ASSIGNMENT.files:
            assert not re.search(r"annotations|TypeAlias|->|errstate|as_float_array", text)
            assert max(map(len, text.splitlines())) <= 110
    page = starter.contents_of(ASSIGNMENT)["README.md"].decode()
    assert re.search(r"\| Tanh +\| `q1.py`, `TanhLayer` +\|.*\| +10 \|", page)
    total = sum(case.test.points for case in CASES)
    assert re.search(rf"\| \*\*Total\*\* .* \*\*{total:g}\*\* \|", page)
    assert len(page.splitlines()) < 80


def test_what_is_asked_for():
    """Page and checks know the same items, in the tests' order, and no other; what is missing is told."""
    items = list(starter.items_of(ASSIGNMENT))
    missing = starter.build(ASSIGNMENT, Path("starter.zip"))
    assert [item for item in items if item not in missing] == list(ASKED)
    checks = (FOLDER / "parts.py").read_text(encoding="utf-8").partition("CHECKS = ")[2]
    assert re.findall(r'^    "(.*?)":', checks, re.MULTILINE) == list(ASKED)


def lay_out(filled=()):
    """Write what students get into the current folder, with the gaps of some files filled."""
    for name, content in starter.contents_of(ASSIGNMENT).items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    for name in filled:
        Path(f"{name}.py").write_text(with_gaps(SOURCES[name], gaps_in(SOURCES[name])), encoding="utf-8")


@pytest.mark.parametrize(
    ("filled", "done"),
    [
        ((), 2),  # the data and the figures, which are handed out
        (("q1", "q2"), 2 + len(ITEMS)),
        (tuple(GRADED), len(ASKED)),
    ],
)
def test_sanity(filled, done, monkeypatch, capsys):
    """There is a line for each part."""
    lay_out(filled)
    status, output = run_check(monkeypatch, capsys)
    assert status == 0
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    lines = [line for line in lines if any(line.startswith(f"  {title}") for title in ASKED)]
    assert len(lines) == len(ASKED)
    assert sum(line.endswith("  done") for line in lines) == done, output
    assert sum("  not yet: " in line for line in lines) == len(lines) - done, output


def test_sanity_without_pytorch():
    """q1 and q2 need NumPy alone."""
    lay_out(["q1"])
    code = (
        "import runpy, sys; sys.argv[0] = 'check.py'; sys.modules.update(dict.fromkeys(sys.argv[1:3]));"
        "del sys.argv[1:3]; runpy.run_path('check.py', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, "torch", "matplotlib", "q1", "q2"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  done") == 5
    assert done.stdout.count("not yet: MLP.init_weights") == 1


def test_run_tests(monkeypatch, capsys):
    """In place a table of 80 columns and feedback are printed; the exit status tells of full marks."""
    lay_out(["q1"])
    monkeypatch.setenv("COLUMNS", "80")
    assert run_tests.main(["--only", "1.2c"]) == 0
    assert re.search(r"TOTAL +10 +10", capsys.readouterr().out)
    assert run_tests.main([".", "--only", "1.2c", "2", "--results", "out/results.json"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"TOTAL +10 +20", shown)
    assert "NotImplementedError: not implemented yet: MLP.forward" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert '"score": 10.0' in Path("out/results.json").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        run_tests.main(["nowhere"])
    assert end.value.code == 2


def test_run_tests_elsewhere():
    """Also on macOS and Windows."""
    lay_out(["q1", "fashion_mnist"])
    code = "import run_tests; sys.exit(run_tests.main(sys.argv[1:]))"
    done = elsewhere(code, "--only", "1.2c", "3.26", pytorch=True)
    assert re.search(r"FIGURES +0 +1", done.stdout), done.stdout + done.stderr  # as q2 is not written
    assert re.search(r"TOTAL +10 +11", done.stdout)
    assert done.returncode == 1
