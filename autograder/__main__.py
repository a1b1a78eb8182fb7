"""The command line: grade one submission or a class, and make the zips for Gradescope and for students."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from . import bundle, results, starter
from .assignment import BadAssignmentError, load_assignment
from .grading import DEADLINE, grade
from .inside.ancestor import start_over
from .key import FILE, BadKeyError, ensure_key
from .results import Grade
from .sandbox import ENVIRONMENT, SandboxError
from .submission import BadSubmissionError

DEFAULT_ASSIGNMENT = Path(__file__).resolve().parent.parent / "tests"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 not possible, 2 a wrong call, 130 stopped."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # what the terminal can't show becomes a ?
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (BadAssignmentError, BadKeyError) as error:
        print(f"autograder {options.command}: {results.clean(str(error))}", file=sys.stderr)
        return 2
    except BadSubmissionError as error:
        print(f"autograder {options.command}: {results.clean(str(error))}", file=sys.stderr)
        return 1 if options.command == "submit" else 2
    except SandboxError as error:
        print(f"autograder {options.command}: {results.clean(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"autograder {options.command}: stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    main_parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = main_parser.add_subparsers(dest="command", required=True)

    assignment = argparse.ArgumentParser(add_help=False)
    assignment.add_argument(
        "--assignment",
        metavar="FOLDER",
        type=path,
        default=DEFAULT_ASSIGNMENT,
        help="the folder with its assignment.py; default: this repository's tests",
    )
    which = argparse.ArgumentParser(add_help=False, parents=[assignment])
    which.add_argument(
        "--unsafe",
        action="store_true",
        help="grade even where students' code can't be kept from other files; course staff are warned",
    )
    shared = argparse.ArgumentParser(add_help=False, parents=[which])
    shared.add_argument(
        "--only", metavar="NUMBER", nargs="+", default=[], help="run the tests whose numbers begin like this"
    )

    secret = argparse.ArgumentParser(add_help=False)
    secret.add_argument(
        "--key",
        metavar="FILE",
        type=path,
        default=FILE,
        help="the key without which nobody can compute the tests' inputs; keep it, as with it a regrade draws"
        " the same ones; made if it is not there; default: %(default)s",
    )

    command = commands.add_parser("grade", parents=[shared], help="grade one submission, in isolation")
    command.set_defaults(run=run_grade)
    command.add_argument("submission", metavar="DIR", type=path, help="a folder or a zip")
    command.add_argument(
        "--results",
        metavar="FILE",
        type=path,
        default=Path("results", "results.json"),
        help="where the document for Gradescope goes; default: %(default)s",
    )
    command.add_argument("--id", help="what the tests' inputs are drawn from; default: the files' contents")
    command.add_argument(
        "--key",
        metavar="FILE",
        type=path,
        help="the key that goes into that, from build or grade-all; default: none, so anybody can compute it",
    )
    command.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=float,
        default=DEADLINE,
        help="for everything; default: %(default)g",
    )

    command = commands.add_parser(
        "grade-all", parents=[shared, secret], help="grade every submission in a folder"
    )
    command.set_defaults(run=run_grade_all)
    command.add_argument(
        "folder", metavar="DIR", type=path, help="a folder or a zip in it for each submission"
    )
    command.add_argument(
        "--results",
        metavar="FOLDER",
        type=path,
        help="where class.html, grades.csv, tests.csv, summary.md and a JSON each go; default: results/ and"
        " the name of DIR",
    )
    command.add_argument(
        "--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="at a time; default: %(default)s"
    )
    command.add_argument("--again", action="store_true", help="also grade what has been graded before")
    command.add_argument("--scheduler", metavar="ADDRESS", help="of dask.distributed, to use a cluster")
    command.add_argument(
        "--due",
        metavar="TIME",
        type=moment,
        help="what Gradescope says was handed in after it is late: '2026-11-29 23:59', by this machine's"
        " clock, or with a time zone, '2026-11-29 23:59+01:00'",
    )

    command = commands.add_parser(
        "build", parents=[which, secret], help="write dist/autograder.zip, ready to upload"
    )
    command.set_defaults(run=run_build)

    command = commands.add_parser(
        "starter", parents=[assignment], help="write dist/starter.zip, what students start from"
    )
    command.set_defaults(run=run_starter)

    command = commands.add_parser(
        "submit", parents=[which], help="write dist/submission.zip, once it has been graded"
    )
    command.set_defaults(run=run_submit)
    command.add_argument(
        "folder", metavar="DIR", type=path, nargs="?", default=Path("."), help="default: the current one"
    )
    return main_parser


def path(text: str) -> Path:
    """Read an argument as a path, with the home folder for ~."""
    return Path(os.path.expanduser(text))


def moment(text: str) -> datetime:
    """Read an argument as a time, on this machine's clock unless it has a time zone."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or ":" not in text:
        raise argparse.ArgumentTypeError(f"expected a day and a time, as in '2026-11-29 23:59', got {text!r}")
    return value.astimezone()


@contextmanager
def progress() -> Iterator[Callable[[Grade], None]]:
    """Provide a callback that shows how many tests have run."""
    with tqdm(desc="Grading", unit="test", leave=False, disable=None) as bar:

        def show(grade: Grade) -> None:
            bar.total = len(grade.tests)
            bar.update(len(grade.outcomes) - bar.n)

        yield show


def show_grade(grade: Grade) -> None:
    """Print a grade, and on the error stream what concerns course staff alone."""
    results.show(results.table(grade))
    for warning in grade.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def key_of(options: argparse.Namespace) -> bytes:
    """Return the staff's key, and say so if it is a new one."""
    if not options.key.exists():
        print(f"A new key is in {options.key}: keep it, and keep it to yourselves.", file=sys.stderr)
    return ensure_key(options.key)


def run_grade(options: argparse.Namespace) -> int:
    """Grade one submission."""
    with progress() as show:

        def report(grade: Grade) -> None:
            results.write(options.results, grade)
            show(grade)

        graded = grade(
            options.submission,
            load_assignment(options.assignment),
            seed=options.id,
            key=options.key,
            deadline=options.deadline,
            only=options.only,
            report=report,
            unsafe=options.unsafe,
        )
    show_grade(graded)
    return 0


def run_grade_all(options: argparse.Namespace) -> int:
    """Grade a class."""
    from . import classroom  # which takes templates, YAML and more, and on Gradescope memory is short

    target = options.results or Path("results", options.folder.resolve().name)
    overview = classroom.grade_all(
        options.folder,
        load_assignment(options.assignment),
        target,
        jobs=options.jobs,
        key=key_of(options),
        scheduler=options.scheduler,
        again=options.again,
        only=options.only,
        unsafe=options.unsafe,
        due=options.due,
    )
    for note in overview.notes:
        print(f"warning: {note}", file=sys.stderr)
    if overview.seconds is not None:
        print(f"Each submission that was graded took {overview.seconds:.1f} s of computing.")
    print(f"{target / 'class.html'} is the place to start; {target / 'grades.csv'} is for the gradebook.")
    return 0


def run_build(options: argparse.Namespace) -> int:
    """Build the autograder's zip."""
    target = Path("dist", "autograder.zip")
    bundle.build(load_assignment(options.assignment), target, key_of(options), options.unsafe)
    print(f"{target} is ready to upload.")
    return 0


def run_starter(options: argparse.Namespace) -> int:
    """Make the zip that students start from."""
    target = Path("dist", "starter.zip")
    for title in starter.build(load_assignment(options.assignment), target):
        print(f"warning: parts.py says nothing of {title!r}, so students are not told of it", file=sys.stderr)
    print(f"{target} is ready to hand out.")
    return 0


def run_submit(options: argparse.Namespace) -> int:
    """Make a zip to hand in."""
    target = Path("dist", "submission.zip")
    with progress() as show:
        graded = bundle.submit(
            options.folder, load_assignment(options.assignment), target, show, options.unsafe
        )
    show_grade(graded)
    print(f"\n{target} is ready to hand in: {graded.total:g} of {graded.maximum:g} points.")
    return 0


if __name__ == "__main__":
    options = parser().parse_args()
    if sys.platform == "linux" and options.command in ("grade", "submit"):
        with suppress(BadAssignmentError):  # which main reports
            assignment = load_assignment(options.assignment)
            largest = max((suite.preload for suite in assignment.suites), key=len)
            start_over(largest, assignment.folder, ENVIRONMENT)  # so that grading takes less memory
    sys.exit(main())
