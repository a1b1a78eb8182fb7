"""Mutation testing: breaks q1.py and q2.py in every way that cosmic-ray knows, and sees whether a test fails.

    pip install cosmic-ray==8.7.0
    python -m tools.mutation

Every mutant is tried with the tests that carry points, tests/test_q1.py and tests/test_q2.py, and one that
survives them with those of this library's own contract, in tests/library. Survivors are listed with the
line that was changed. Mutants of annotations, which are never run, are not counted.

Each mutant runs in a fork of this process, which has PyTorch imported already; all take some minutes.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # a fork would find no threads but its own


TESTS = Path(__file__).resolve().parent.parent / "tests"
MODULES = ("q1", "q2")
WITH_POINTS = ["test_q1", "test_q2"]
LIBRARY = ["test_q1_library", "test_q2_library", "test_extras_library"]
WITH_PYTEST = TESTS / "library" / "test_other_peoples_code.py"
SECONDS = 60  # a mutant that takes longer counts as killed
MEMORY = 8 << 30


class Mutant(NamedTuple):
    """A module's source with one change."""

    module: str
    line: int
    operator: str
    source: str
    change: str


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module but those that differ from it in annotations only."""
    # Here, so that --help needs no package that the tests do without.
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    tree, original = get_ast(source), what_runs(source)
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue  # needs names of variables
        operator = operator_class()
        positions = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence, ((line, _), _) in enumerate(positions):
            mutated = mutate_code(source, operator, occurrence)
            if mutated and what_runs(mutated) != original:
                change = f"{module}.py:{line}  {changed(source, mutated)}"
                yield Mutant(module, line, name.rpartition("/")[2], mutated, change)


def what_runs(source: str) -> str:
    """Return the syntax tree of a module without its annotations, which are never evaluated."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "nothing"
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name("Any")
    return ast.dump(tree)


def changed(before: str, after: str) -> str:
    """Return the lines in which two sources differ, in a line: "old  ->  new"."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]
    old, new = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return f"{old}  ->  {new}"


def survives(sources: dict[str, str], tests: list[str] | Path) -> bool:
    """Tell whether the tests pass with these sources of the modules, in a fork of this process."""
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            passed = run(sources, tests)
        except BaseException:  # a mutant may raise anything, at import too
            passed = False
        os._exit(0 if passed else 1)
    deadline = time.monotonic() + SECONDS
    while True:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return status == 0
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.01)


def run(sources: dict[str, str], tests: list[str] | Path) -> bool:
    """Run the tests, up to the first that fails, with these sources of the modules.

    Args:
        sources: by module.
        tests: unittest's, by their modules, or the file of pytest's.
    """
    for name in (*sources, *WITH_POINTS, *LIBRARY, "fashion_mnist", WITH_PYTEST.stem):
        sys.modules.pop(name, None)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w", encoding="utf-8") as silence:
        for name, source in sources.items():
            Path(folder, f"{name}.py").write_text(source, encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
                if isinstance(tests, Path):
                    for name in sources:
                        importlib.import_module(name)  # before pytest finds the repository's
                    return pytest.main(["-x", "-p", "no:cacheprovider", str(tests)]) == pytest.ExitCode.OK
                suite = unittest.defaultTestLoader.loadTestsFromNames(tests)
                return unittest.TextTestRunner(silence, failfast=True).run(suite).wasSuccessful()
        finally:
            sys.path.remove(folder)


def main() -> int:
    """Try every mutant, and print how many were killed and which were not."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutation", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--modules", nargs="+", choices=MODULES, default=MODULES, help="which to break; default: all"
    )
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # what the terminal can't show becomes a ?
    sources = {name: (TESTS.parent / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    sys.path[:0] = [str(TESTS), str(TESTS / "library")]
    sys.dont_write_bytecode = True
    # Here, so that each fork finds PyTorch warmed up.
    if not run(sources, WITH_POINTS + LIBRARY) or not survives(sources, WITH_PYTEST):
        print("mutation.py: the tests fail without a mutation; run them with pytest first", file=sys.stderr)
        return 2
    total = 0
    by_library: list[Mutant] = []
    survivors: list[Mutant] = []
    for module in options.modules:
        for mutant in mutants(module, sources[module]):
            mutated = {**sources, module: mutant.source}
            if survives(mutated, WITH_POINTS):
                survived = survives(mutated, LIBRARY) and survives(mutated, WITH_PYTEST)
                (survivors if survived else by_library).append(mutant)
            total += 1
            if total % 50 == 0:
                print(f"{total} mutants tried", file=sys.stderr, flush=True)
    for title, found in (("killed by tests/library only", by_library), ("survived", survivors)):
        print(f"\n{len(found)} {title}:")
        for mutant in found:
            print(f"  {mutant.change}  ({mutant.operator})")
    with_points = total - len(by_library) - len(survivors)
    killed = total - len(survivors)
    print(f"\n{total} mutants, {killed} killed ({killed / total:.1%}), ", end="")
    print(f"{with_points} of them by tests that carry points ({with_points / total:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
