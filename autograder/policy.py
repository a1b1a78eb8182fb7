"""What is banned, looked for in the text of a submission; nothing of it is run.

A class is held to what it uses: its own body, the module's functions and classes that it refers to and, for
banned functions, the statements that run when the module is imported. So a library that is imported and not
used there costs nothing, nor does a comparison with PyTorch in a test function or under
``if __name__ == "__main__"``, a word in a comment, or a name of the student's own.
"""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Collection, Iterator

DEEPEST = 10  # of an expression that is followed: paths to functions are shorter
NOT_RUN = ("__name__", "TYPE_CHECKING")  # what an ``if`` asks whose body grading does not run


@functools.cache
def violations(
    source: str,
    tested: str,
    functions: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    own: tuple[str, ...] = (),
) -> list[tuple[int, str]]:
    """Return the line and the name of everything banned that a class uses, such as (12, "numpy.tanh").

    Args:
        source: of the module.
        tested: the name of the class, or of a function.
        functions: names of functions that it may not take from any library, such as "tanh".
        libraries: of which it may use nothing.
        own: the submission's modules, whose functions are the student's.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []  # Python can't import it either, which costs all points anyway
    except (RecursionError, MemoryError):  # which Python may well import
        return [(1, "code that is nested too deeply to be read")]
    names = imported_names(tree, functions)
    found: dict[int, str] = {}
    for node, at_import in used_nodes(tree, tested):
        for path in paths(node, names):
            root, last = path.partition(".")[0], path.rpartition(".")[2]
            if root in libraries and not at_import:
                found[getattr(node, "lineno", 0)] = root
            elif last in functions and last != path and root not in ("", *own):
                found[getattr(node, "lineno", 0)] = path
    return sorted(found.items())


def used_nodes(tree: ast.Module, tested: str) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every part of a module that may run when the class is used, or (True) when it is imported."""
    definitions: dict[str, list[tuple[ast.stmt, bool]]] = {}
    waiting: list[tuple[ast.stmt, bool]] = []
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            definitions.setdefault(statement.name, []).append((statement, False))
        elif isinstance(statement, ast.If) and any(name in ast.unparse(statement.test) for name in NOT_RUN):
            waiting += [(part, True) for part in statement.orelse]
        else:
            waiting.append((statement, True))
    waiting += definitions.pop(tested, [])
    while waiting:
        statement, at_import = waiting.pop()
        for node in walk(statement):
            yield node, at_import
            if isinstance(node, ast.Name):
                waiting += definitions.pop(node.id, [])


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node of a syntax tree, and those of the code in strings that ``eval`` or ``exec`` run."""
    for node in ast.walk(tree):
        yield node
        match node:
            case ast.Call(ast.Name("eval" | "exec"), [code, *_]):
                with contextlib.suppress(SyntaxError):
                    yield from walk(ast.increment_lineno(ast.parse(text_of(code) or ""), node.lineno - 1))


def imported_names(tree: ast.AST, functions: Collection[str]) -> dict[str, str]:
    """Return what each name of a module stands for that comes from another: {"np": "numpy", ...}."""
    names: dict[str, str] = {}
    own = {
        getattr(node, "name", getattr(node, "id", ""))
        for node in walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    }
    for node in walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                imported = set(functions) - own if alias.name == "*" else [alias.name]
                names |= {alias.asname or name: f"{node.module or ''}.{name}" for name in imported}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            for path in paths(node.value, names):
                names[node.targets[0].id] = path
    return names


def paths(node: ast.AST, names: dict[str, str]) -> list[str]:
    """Return what an import or an expression takes from other modules, such as "numpy.tanh", if anything."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module or ''}.{alias.name}" for alias in node.names]
    path = path_of(node, names) if isinstance(node, ast.expr) else None
    return [] if path is None else [path]


def path_of(node: ast.expr, names: dict[str, str], deepest: int = DEEPEST) -> str | None:
    """Return what an expression takes from another module, however it reaches there."""
    if not deepest:  # or a line of a.a.a.a... would take a time that grows as its square
        return None
    match node:
        case ast.Name(name):
            return names.get(name)
        case ast.Attribute(value, "__dict__") | ast.Call(ast.Name("vars"), [value]):
            return path_of(value, names, deepest - 1)
        case ast.Call(
            ast.Name("__import__") | ast.Name("import_module") | ast.Attribute(_, "import_module"), [name, *_]
        ):
            return text_of(name)
        case (
            ast.Attribute(value, str(attribute))
            | ast.Call(ast.Name("getattr"), [value, attribute, *_])
            | ast.Subscript(value, attribute)
        ):
            base = path_of(value, names, deepest - 1)
            last = attribute if isinstance(attribute, str) else text_of(attribute)
            if base is None or last is None:
                return None
            return last if base == "sys.modules" else f"{base}.{last}"
    return None


def text_of(node: ast.expr, deepest: int = DEEPEST) -> str | None:
    """Return the string that an expression of constants is, if it is one."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.BinOp(left, ast.Add(), right) if deepest:
            first, second = text_of(left, deepest - 1), text_of(right, deepest - 1)
            return None if first is None or second is None else first + second
    return None
