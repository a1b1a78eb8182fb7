"""What students start from, ``dist/starter.zip``: files to fill in, a page that says how, and sanity checks.

An assignment's folder ``starter`` has a plain solution, in which what students are to write is marked:

    def forward(self, x):
        \"\"\"Return the larger of x and 0.\"\"\"
        # BEGIN SOLUTION
        return np.maximum(x, 0)
        # END SOLUTION

Students get the same text with a gap there, which raises "not implemented yet: ReLU.forward". So what they
read and what solves it are one text. Beside it lie ``README.md``, which is what the page says first;
``parts.py``, where for the title of each part ``ASKED`` says what is asked for, and ``CHECKS`` has a function
that tries it (see ``student/sanity/expect.py``); and whatever else students are to get, such as
requirements.txt. What page and checks say of points, names and bans comes from the graded tests and these.
"""

from __future__ import annotations

import ast
import json
import re
import string
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from .assignment import Assignment, BadAssignmentError
from .bundle import write_zip
from .grading import IMPORT_LIMIT, Case, load_tests
from .results import exact_sum
from .student.sanity.interface import Interface
from .submission import LARGEST

HERE = Path(__file__).resolve().parent
STUDENT = HERE / "student"
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
GAP = '{0}# TODO: write this\n{0}raise NotImplementedError("not implemented yet: {1}")\n'


def build(assignment: Assignment, target: Path) -> list[str]:
    """Write the zip that students start from, and return the items of which its ``parts.py`` says nothing.

    Raises:
        BadAssignmentError: the assignment has no such folder, or one that lacks a file or an END.
    """
    write_zip(target, contents_of(assignment))
    asked = asked_in((assignment.folder / assignment.starter / "parts.py").read_bytes())
    return [title for title in items_of(assignment) if title not in asked]


def contents_of(assignment: Assignment) -> dict[str, bytes]:
    """Return the files that students start from, by their path."""
    folder = assignment.folder / assignment.starter
    for name in (*assignment.files, "README.md", "parts.py"):
        if not (folder / name).is_file():
            raise BadAssignmentError(f"expected {name} in {folder}, for students to start from")
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    for name in assignment.files:
        try:
            files[name] = with_gaps(files[name].decode()).encode()
        except (SyntaxError, ValueError) as error:
            raise BadAssignmentError(f"{folder / name}: {error}") from error
    files["README.md"] = page(assignment, files["README.md"].decode(), asked_in(files["parts.py"])).encode()
    files["sanity/parts.py"] = files.pop("parts.py")
    files["sanity/parts.json"] = json.dumps(parts(assignment, files), indent=1).encode()
    files["sanity/policy.py"] = (HERE / "policy.py").read_bytes()
    for path in (STUDENT / "check.py", *(STUDENT / "sanity").glob("*.py")):
        files[path.relative_to(STUDENT).as_posix()] = path.read_bytes()
    return files


# ---------------------------------------------------------------------------------------------------
# Gaps
# ---------------------------------------------------------------------------------------------------


def with_gaps(source: str, filled: Collection[str] = ()) -> str:
    """Return a solution's text with gaps where it is marked.

    Args:
        source: the text.
        filled: the names of functions, such as "ReLU.forward", that keep their solution.

    Raises:
        ValueError: a mark stands outside of a function, or has no partner.
    """
    functions = dict(functions_in(ast.parse(source)))
    lines: list[str] = []
    name = None  # of the function whose solution is going on
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        mark = line.strip()
        if (mark == BEGIN) == (name is not None) and mark in (BEGIN, END):
            raise ValueError(f"line {number}: expected {END if mark == BEGIN else BEGIN!r} before {mark!r}")
        if mark == BEGIN:
            inside = [it for it, node in functions.items() if node.lineno < number <= node.end_lineno]
            if not inside:
                raise ValueError(f"line {number}: expected {BEGIN!r} in a function")
            name = inside[-1]
            if name not in filled:
                lines.append(GAP.format(line[: line.index("#")], name))
        elif mark == END:
            name = None
        elif name is None or name in filled:
            lines.append(line)
    if name is not None:
        raise ValueError(f"expected {END!r} in {name}")
    return "".join(lines)


def gaps_in(source: str) -> list[str]:
    """Return the names of the functions in which a solution's text has gaps, once it is cut out."""
    return re.findall(r'raise NotImplementedError\("not implemented yet: ([\w.]+)"\)', with_gaps(source))


def functions_in(node: Any, owner: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all functions and methods by their name, outer ones before those in them."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{owner}{part.name}"
            if not isinstance(part, ast.ClassDef):
                yield name, part
            yield from functions_in(part, f"{name}.")


# ---------------------------------------------------------------------------------------------------
# What the page and the checks say
# ---------------------------------------------------------------------------------------------------


def items_of(assignment: Assignment) -> dict[str, list[Case]]:
    """Return the graded tests of each item, in their order."""
    items: dict[str, list[Case]] = {}
    for case in load_tests(assignment).cases:
        items.setdefault(case.test.item, []).append(case)
    return items


def asked_in(source: bytes) -> dict[str, str]:
    """Return what a ``parts.py`` says of what is asked for, without running it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ASKED":
            return ast.literal_eval(node.value)
    return {}


def page(assignment: Assignment, introduction: str, asked: dict[str, str]) -> str:
    """Return the page that students read first."""
    rows = []
    for title, cases in items_of(assignment).items():
        tested = getattr(cases[0].case, "tested", "")
        where = f"`{cases[0].suite.module}.py`" + (f", `{tested}`" if tested else "")
        points = f"{exact_sum(case.test.points for case in cases):g}"
        rows.append((title, where, asked.get(title, ""), points))
    total = exact_sum(case.test.points for case in load_tests(assignment).cases)
    rows.append(("**Total**", "", "", f"**{total:g}**"))
    template = string.Template((STUDENT / "README.md").read_text(encoding="utf-8"))
    return template.substitute(
        title=assignment.title,
        introduction=introduction.strip(),
        table=tabulate(
            rows,
            ["Part", "Where", "What", "Points"],
            "github",
            colalign=("left", "left", "left", "right"),
            disable_numparse=True,
        ),
        files=" ".join(assignment.files),
        names=f"`{'`, `'.join(assignment.files)}`",
        one=assignment.modules[0],
    )


def parts(assignment: Assignment, files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Return what ``check.py`` needs to know of each file that is handed in."""
    described = []
    for suite in assignment.suites:
        items = [
            {
                "title": title,
                "tested": getattr(cases[0].case, "tested", ""),
                "banned_functions": getattr(cases[0].case, "banned_functions", ()),
                "allowed_libraries": getattr(cases[0].case, "allowed_libraries", None),
            }
            for title, cases in items_of(assignment).items()
            if cases[0].suite is suite
        ]
        source = files[f"{suite.module}.py"]
        described.append(
            {
                "name": suite.module,
                "largest": LARGEST,
                "seconds": suite.limits.wall,
                "import_seconds": IMPORT_LIMIT,
                "packages": sorted(packages_of(source) - set(assignment.modules)),
                "interface": Interface(source).described(),
                "items": items,
            }
        )
    return described


def packages_of(source: bytes) -> set[str]:
    """Return the packages that a module imports at once and that do not come with Python."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names)
