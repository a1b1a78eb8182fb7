"""Looks whether your files are as the grader needs them.

    python check.py            all parts
    python check.py NAME ...   those of some files alone, by names without .py

There is a line for each part: "done" if it runs, and what comes back has the
right kind and shape; "not yet" if it is still to be written; else what would
keep the grader from running it, or cost its points. Whether your answers are
right it doesn't know.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import shutil
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DONE, NOT_YET, SKIPPED = "done", "not yet", "not checked"


class HungError(Exception):
    """The student's code took too long, and runs on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the parts, print a line for each, and return 0 if nothing would keep the grader from running."""
    from sanity.interface import Interface  # it is there once the folder of this file is looked at

    modules = json.loads((HERE / "sanity" / "parts.json").read_text(encoding="utf-8"))
    names = [module["name"] for module in modules]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(names)}; all by default")
    chosen = parser.parse_args(arguments).names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"expected names of {', '.join(names)}, got {', '.join(unknown)}")
    os.environ.setdefault("MPLBACKEND", "agg")  # nothing is to open a window
    counts = {DONE: 0, NOT_YET: 0, SKIPPED: 0, "problem": 0}
    out = sys.stdout
    for module in modules:
        if module["name"] not in chosen:
            continue
        print(f"\n{module['name']}.py", file=out)
        for title, state in states_of(module, names, Interface):
            kind = next((kind for kind in (DONE, NOT_YET, SKIPPED) if state.startswith(kind)), "problem")
            counts[kind] += bool(title) or kind == "problem"
            print(line_of(title, state), file=out, flush=True)
    print(f"\n{summary(counts)}", file=out, flush=True)
    return 1 if counts["problem"] else 0


def summary(counts: dict[str, int]) -> str:
    """Return the last lines."""
    parts = [
        f"{counts[kind]} {words}"
        for kind, words in (
            (DONE, "done"),
            (NOT_YET, "not yet"),
            ("problem", "with a problem"),
            (SKIPPED, SKIPPED),
        )
        if counts[kind]
    ]
    text = f"{', '.join(parts)}. That says nothing of whether the answers are right: write tests of your own."
    return textwrap.fill(text, width=width())


def width() -> int:
    """Return how many columns there are."""
    return min(shutil.get_terminal_size().columns, 110)


def line_of(title: str, state: str) -> str:
    """Return what is printed of a part; a long text goes on in the next line."""
    first = f"  {title:<26}" if title else "  "
    return textwrap.fill(
        state,
        width=width(),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_on_hyphens=False,
    )


# ---------------------------------------------------------------------------------------------------
# One file
# ---------------------------------------------------------------------------------------------------


def states_of(module: dict[str, Any], names: list[str], Interface: Any) -> Iterator[tuple[str, str]]:  # noqa: N803
    """Yield the title of each part of a file, or none for all of it, and what is to be said of it."""
    name, items = module["name"], module["items"]
    path = HERE / f"{name}.py"
    problem, lacking, foreign = "", {}, []
    try:
        source = path.read_bytes()
        interface = Interface(source)
        lacking = interface.lacks(module["interface"])
        foreign = [it for it in sorted(interface.imports - set(names)) if is_here(it)]
        if len(source) > module["largest"]:
            problem = f"it has more than {module['largest']:,} bytes, and is not graded"
    except OSError as error:
        problem = f"it can't be read: {error.strerror}"
    except (SyntaxError, ValueError) as error:
        problem = f"it is no Python: line {getattr(error, 'lineno', '?')}: {getattr(error, 'msg', error)}"
    missing = [package for package in module["packages"] if importlib.util.find_spec(package) is None]
    code = None
    if not problem and not missing:
        code, problem = imported(module)
    if problem:
        yield "", problem
    elif missing:
        yield "", f"{SKIPPED}: {', '.join(missing)} is not installed; README.md says how to do that"
    for other in foreign:
        yield "", f"it imports {other}, which is not handed in: the grader takes {', '.join(names)} alone"
    own = {item["tested"] for item in items}
    for thing, sentence in lacking.items():
        if thing.partition(".")[0] not in own:
            yield "", sentence
    for item in items:
        lacks = [text for thing, text in lacking.items() if thing.partition(".")[0] == item["tested"]]
        banned = [] if problem else banned_uses(names, name, item)
        if banned or lacks:
            yield item["title"], "; ".join([*banned, *lacks])
        elif code is None:
            yield item["title"], SKIPPED
        else:
            yield item["title"], state_of(item, module["seconds"], code)


def is_here(name: str) -> bool:
    """Say whether there is a module or a package of this name in the folder."""
    return bool(name) and ((HERE / f"{name}.py").is_file() or any((HERE / name).glob("*.py")))


def imported(module: dict[str, Any]) -> tuple[Any, str]:
    """Import a file, and return it, or None and why not."""
    try:
        return within(module["import_seconds"], lambda: importlib.import_module(module["name"])), ""
    except HungError as error:
        return None, f"importing it {error}: what is for running it alone belongs under `if __name__ ...`"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return None, f"it can't be imported: {where(error)}"


def state_of(item: dict[str, Any], seconds: float, code: Any) -> str:
    """Run a part of a file, and say what came of it."""
    from sanity.expect import ProblemError

    try:
        check = importlib.import_module("sanity.parts").CHECKS.get(item["title"])
        if check is None:
            return SKIPPED
        within(seconds, lambda: check(code))
    except NotImplementedError as error:
        text = str(error)
        return f"{NOT_YET}: {text.partition('not implemented yet: ')[2] or text or where(error)}"
    except (ProblemError, HungError) as error:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return where(error)
    return DONE


def banned_uses(names: list[str], module: str, item: dict[str, Any]) -> list[str]:
    """Return a sentence about each use of what a part may not use, found as the grader finds it."""
    functions, libraries = item["banned_functions"], item["allowed_libraries"]
    if not functions and libraries is None:
        return []
    from sanity.policy import violations

    paths = {name: HERE / f"{name}.py" for name in names}
    sources = tuple((name, path.read_bytes()) for name, path in paths.items() if path.is_file())
    allowed = None if libraries is None else tuple(libraries)
    uses = violations(sources, module, item["tested"], tuple(functions), allowed)
    return [
        f"{file}, line {line}: {what} "
        + (f"hides what {item['tested']} uses" if hidden else f"is not allowed in {item['tested']}")
        for file, line, what, hidden in uses[:3]
    ]


# ---------------------------------------------------------------------------------------------------
# Running the student's code
# ---------------------------------------------------------------------------------------------------


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """Return what a call returns, or raise what it raises; what it prints is not shown.

    Raises:
        HungError: it takes longer than so many seconds; then it runs on until the end.
    """
    came: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                came.append((call(), None))
        except BaseException as error:
            came.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        thread.start()
        thread.join(seconds)
    if not came:
        raise HungError(f"takes more than {seconds:g} seconds")
    value, error = came[0]
    if error is not None:
        raise error
    return value


def where(error: BaseException) -> str:
    """Return an error, and the last line of the student's that led to it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent == HERE and Path(frame.filename) != Path(__file__)
    ]
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""
    return " ".join(f"{place}{type(error).__name__}: {error}".split())[:500]


if __name__ == "__main__":
    if sys.version_info < (3, 10):  # noqa: UP036  (students may have any)
        sys.exit(f"Python 3.10 or newer is needed, and this is {sys.version.split()[0]}")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # what the terminal can't show becomes a ?
    sys.path.insert(0, str(HERE))
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  (nobody is asked anything)
    sys.dont_write_bytecode = True
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # whoever reads the output has had enough of it
        status = 141
    os._exit(status)  # without waiting for what hangs
