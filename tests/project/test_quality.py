"""The code itself: style, types, docstrings, examples, imports, and the points of the graded tests."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import unittest

import pytest

pytestmark = pytest.mark.fast

MODULES = ("q1", "q2", "fashion_mnist")


@pytest.mark.parametrize(
    "tool",
    [("ruff", "check", "--no-cache"), ("ruff", "format", "--check", "--no-cache"), ("mypy",)],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_tools(repository, tool):
    """They are set up in pyproject.toml."""
    done = subprocess.run(
        [sys.executable, "-m", *tool], cwd=repository, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def imports_of(path):
    """Return the names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "." * node.level).split(".")[0]


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("q1", {"numpy"}),
        ("q2", {"numpy", "q1"}),
        (
            "fashion_mnist",
            {
                *("numpy", "q1", "q2", "torch", "torchvision", "matplotlib", "tabulate", "tqdm"),
                *("dacite", "threadpoolctl"),
            },
        ),
    ],
)
def test_imports(repository, module, allowed):
    """The three modules import nothing else of this repository; q1 and q2 need NumPy alone."""
    found = set(imports_of(repository / f"{module}.py"))
    assert found - sys.stdlib_module_names <= allowed


def described(module):
    """Return everything public that a module defines: the module, its classes, functions and methods."""
    found = {module.__name__: module}
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            for attribute, member in vars(thing).items():
                plain = getattr(member, "__func__", getattr(member, "func", getattr(member, "fget", member)))
                # Properties that are lambdas, other names of one thing, stand in their class's docstring.
                named = inspect.isfunction(plain) and plain.__name__ != "<lambda>"
                if not attribute.startswith("_") and named:
                    found[f"{module.__name__}.{name}.{attribute}"] = plain
        if inspect.isclass(thing) or callable(thing):
            found[f"{module.__name__}.{name}"] = thing
    return found


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    found = described(importlib.import_module(module))
    assert len(found) > 5
    assert [name for name, thing in found.items() if not (thing.__doc__ or "").strip()] == []


def test_examples():
    """The examples in the docstrings show what they say."""
    results = [doctest.testmod(importlib.import_module(module)) for module in MODULES]
    assert sum(result.attempted for result in results) > 0
    assert sum(result.failed for result in results) == 0


def test_shell_scripts(repository):
    scripts = [repository / "run_all.sh", repository / ".ci" / "run"]
    for script in scripts:
        assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
        assert script.stat().st_mode & 0o111, f"{script.name} can't be executed"
        subprocess.run(["bash", "-n", script], check=True)
    unknown = subprocess.run([scripts[0], "tset"], capture_output=True, encoding="utf-8")
    assert unknown.returncode == 2
    assert "expected no argument, 'test', 'test fast', 'ee411', " in unknown.stderr
    assert "got 'tset'" in unknown.stderr


PAGES = (
    *("README.md", "CONTRIBUTING.md", "docs/library.md", "docs/results.md"),
    *("benchmarks/README.md", "ee411/README.md", "autograder/README.md"),
)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("docs/results.md", "architectures.md"),
        *(("benchmarks/README.md", f"{table}.md") for table in ("speed", "spread", "calls")),
        *(
            ("ee411/README.md", f"ee411/{it}.md")
            for it in ("parameters", "permuted", "unpermuted", "bonus", "bonus-taught-CNN")
        ),
    ],
)
def test_tables_on_the_pages(repository, page, name):
    """The pages show the tables as the commands wrote them."""
    table = (repository / "docs" / "results" / name).read_text(encoding="utf-8")
    assert table[table.index("|") :].strip() in (repository / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_accuracies_on_the_pages(repository, page):
    """Every accuracy that a page names stands in a table that a command wrote."""
    tables = [path.read_text(encoding="utf-8") for path in (repository / "docs" / "results").rglob("*.md")]
    named = re.findall(r"\b0\.\d{4}\b", (repository / page).read_text(encoding="utf-8"))
    assert [accuracy for accuracy in named if accuracy not in "".join(tables)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_on_the_pages(repository, page):
    """Every file and figure that a page points at is there."""
    text = (repository / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(targets) > (10 if page == "README.md" else 0)
    folder = (repository / page).parent
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (folder / target).exists()] == []


def test_small_table(repository):
    """The README's numbers are those of the published table, and it is short."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    table = (repository / "docs" / "results" / "architectures.md").read_text(encoding="utf-8")
    for model, name in (("PyTorch", "PyTorch"), ("custom", "our library")):
        row = re.search(rf"\| original +\| {model} .*", table)[0]
        accuracy, seconds = re.findall(r"\d+\.\d+ ± \d+\.\d+", row)[:2]
        assert re.search(rf"\| {name} +\| {accuracy} +\| {seconds} +\|", text)
    assert len(text.splitlines()) <= 135


POINTS = {"1.1": 15, "1.2a": 10, "1.2b": 10, "1.2c": 10, "1.3": 10, "2": 10, "3": 35}
"""The handout's points by the beginning of the tests' numbers; 1.2a to c are softmax, tanh and ReLU."""


@pytest.fixture(scope="module")
def graded(repository):
    """Return every test that carries points by its name."""
    tests = {}
    for path in sorted((repository / "tests").glob("test_*.py")):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(path.parent)
            module = importlib.import_module(path.stem)
        for class_name, test_class in vars(module).items():
            if inspect.isclass(test_class) and issubclass(test_class, unittest.TestCase):
                for name in unittest.TestLoader().getTestCaseNames(test_class):
                    tests[f"{path.name}: {class_name}.{name}"] = getattr(test_class, name)
    return tests


def test_points(graded):
    """The weights of the graded tests sum to the handout's points; what staff add counts on top of those."""
    found = dict.fromkeys(POINTS, 0)
    for test in graded.values():
        assert test.__weight__ > 0
        for part in POINTS:
            if test.__number__.startswith(f"{part}."):
                found[part] += test.__weight__
    assert found == POINTS


def test_what_gradescope_shows(graded):
    """Every graded test has a number of its own, a line of plain English, and can be seen."""
    numbers = [test.__number__ for test in graded.values()]
    assert len(numbers) == len(set(numbers))
    for name, test in graded.items():
        assert test.__visibility__ == "visible", name
        assert test.__doc__, name
        assert len(test.__doc__.strip().splitlines()) == 1, name
        # gradescope-utils loses subtests that fail, tests that are skipped and failures that are expected.
        for lost in ("subTest", "skip", "expectedFailure"):
            assert lost not in inspect.getsource(test), f"{name} uses {lost}"


def test_one_version_of_each_package(repository):
    """What several requirements files name, they pin to the same versions, be it of one build alone."""
    found = {}
    for path in sorted(repository.rglob("requirements*.txt")):
        if ".venv" in path.parts:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            pin = line.partition("#")[0].strip()
            if pin and not pin.startswith("-"):
                name = re.split(r"[=<>\[;]", pin)[0]
                found.setdefault(name, {}).setdefault(path, []).append(re.sub(r"\+\w+", "", pin))
    for pins in found.values():
        assert len({tuple(sorted(of_one)) for of_one in pins.values()}) == 1, pins
