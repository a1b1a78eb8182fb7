"""What is banned, looked for in the text of a submission; nothing of it is run.

A class is held to what it uses: its own body, the functions and classes that it refers to, in its module or
in others of the submission, and for banned functions also what runs when these are imported. So a library
that is imported and not used there costs nothing, nor does a comparison with PyTorch in a test function or
under ``if __name__ == "__main__"``, a word in a comment, or a name of the student's own.

A text can hide what it uses: ``getattr(np, "".join(letters))``. That can't be followed without running it,
and whoever runs it can be told anything. So what can't be told from the text is refused as well.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import NamedTuple

LONGEST_TEXT = 200_000  # characters of a module; its tree takes a thousand times as much memory
LONGEST_PATH = 1_000  # characters of what a name stands for
LONGEST = 50  # parts of an expression such as a.b.c that is followed
HARMLESS = {  # of the standard library: what computes with plain values, and reaches nothing by its name
    "__future__", "abc", "array", "base64", "bisect", "cmath", "collections", "contextlib", "copy",
    "csv", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io",
    "itertools", "json", "logging", "math", "numbers", "operator", "os", "pathlib", "pprint", "random", "re",
    "reprlib", "statistics", "string", "struct", "sys", "textwrap", "threading", "time", "traceback",
    "typing", "typing_extensions", "uuid", "warnings",
}  # fmt: skip
REACHING = {  # what reaches others by names that it computes, or by way of what Python keeps of them
    "sys.modules", "sys.meta_path", "sys.path_hooks", "sys._getframe", "sys._current_frames",
    "sys.setprofile", "sys.settrace", "operator.attrgetter", "operator.methodcaller", "string.Formatter",
    "typing.get_type_hints", "typing.ForwardRef", "numpy.load", "numpy.ctypeslib", "numpy.f2py", "builtins",
    "code", "codeop", "copyreg", "ctypes", "gc", "imp", "importlib", "inspect", "logging.config", "marshal",
    "pdb", "pickle", "pkgutil", "pydoc", "runpy", "timeit", "trace", "types", "unittest.mock", "zipimport",
}  # fmt: skip
INNER = {  # attributes that lead from an object to the rest of Python
    "__base__", "__bases__", "__builtins__", "__closure__", "__code__", "__getattribute__", "__globals__",
    "__import__", "__loader__", "__mro__", "__reduce__", "__reduce_ex__", "__self__", "__spec__",
    "__subclasses__", "__wrapped__", "f_back", "f_builtins", "f_globals", "f_locals", "gi_frame", "cr_frame",
    "ag_frame", "tb_frame",
}  # fmt: skip
BUILTINS = {  # that reach others, too; the first three may be called, of names that are written out
    "getattr", "setattr", "delattr", "vars", "eval", "exec", "__builtins__", "__import__", "__loader__",
    "__spec__", "breakpoint", "compile", "globals", "locals",
}  # fmt: skip


class Use(NamedTuple):
    """Something that a class may not use.

    Attributes:
        file: where it is used.
        line: in there.
        what: it is, such as "numpy.tanh", or how it is hidden.
        hidden: whether it can't be told from the text what it is.
    """

    file: str
    line: int
    what: str
    hidden: bool = False


Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Hidden(Exception):  # noqa: N818
    """What an expression stands for can't be told from the text; the message says how it is hidden."""


@functools.cache
def violations(
    sources: tuple[tuple[str, bytes], ...],
    module: str,
    tested: str,
    functions: tuple[str, ...] = (),
    libraries: tuple[str, ...] | None = None,
    graders: tuple[str, ...] = (),
) -> list[Use]:
    """Return everything that a class uses and may not, in the order of the text.

    Args:
        sources: name and text of each module of the submission.
        module: that has the class.
        tested: the name of the class, or of a function.
        functions: names of functions that it may not take from any library, such as "tanh".
        libraries: the only ones that it may use besides a part of the standard library; None for any.
        graders: modules of the grader's own, which are nobody's to import.
    """
    return Search(dict(sources), functions, libraries, graders).uses(module, tested)


# ---------------------------------------------------------------------------------------------------
# A module of the submission
# ---------------------------------------------------------------------------------------------------


@dataclass
class Text:
    """A module as it is written.

    Attributes:
        name: of the module.
        at_import: the parts that run when it is imported.
        definitions: its functions and classes, by name.
        names: what the names in it stand for that come from other modules: {"np": "numpy", ...}.
    """

    name: str
    at_import: list[ast.AST] = field(default_factory=list)
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def read(name: str, source: bytes, functions: tuple[str, ...]) -> Text:
    """Return a module, of a text in the encoding that it names.

    Raises:
        Hidden: Python can't read it, or not without running out of memory.
    """
    tree = parsed(source)
    text = Text(name)
    nodes = list(walk(tree))
    own = {target: statement.lineno for statement in tree.body for target in bound_by(statement)}
    for node in nodes:
        if not hasattr(node, "in_class"):  # what a class binds is reached as an attribute
            bind(node, text, [name for name in functions if own.get(name, 0) < getattr(node, "lineno", 0)])
    main_is_skipped = not any(isinstance(node, ast.Name) and is_set(node, "__name__") for node in nodes)
    for statement in tree.body:
        if isinstance(statement, Definition):
            text.definitions.setdefault(statement.name, []).append(statement)
            text.at_import += head(statement)
        elif main_is_skipped and is_main(statement):
            text.at_import += statement.orelse  # type: ignore[attr-defined]
        else:
            text.at_import.append(statement)
    return text


def parsed(source: bytes | str) -> ast.Module:
    """Return the syntax tree of a text; the statements in bodies of classes are marked.

    Raises:
        Hidden: Python can't read it, or it is very long.
    """
    if len(source) > LONGEST_TEXT:
        raise Hidden(f"a text of more than {LONGEST_TEXT:,} characters")
    try:
        tree = ast.parse(source)  # of bytes it reads the encoding, too, as an import does
    except (SyntaxError, ValueError):
        raise Hidden("a text that is no Python") from None
    except (RecursionError, MemoryError):
        raise Hidden("code that is nested too deeply") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                part.in_class = True  # type: ignore[attr-defined]
    return tree


def bound_by(statement: ast.stmt) -> list[str]:
    """Return the names that a statement certainly binds to something of the module's own."""
    match statement:
        case ast.FunctionDef(name) | ast.ClassDef(name) | ast.Assign([ast.Name(name)], ast.Lambda()):
            return [name]
    return []


def is_set(node: ast.Name, name: str) -> bool:
    """Say whether a node gives something this name."""
    return node.id == name and not isinstance(node.ctx, ast.Load)


def is_main(statement: ast.stmt) -> bool:
    """Say whether a statement is ``if __name__ == "__main__"``, which isn't so when it is imported."""
    match statement:
        case ast.If(ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")])):
            return True
    return False


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node of a syntax tree, and those of the code in strings that ``eval`` or ``exec`` run."""
    for node in ast.walk(tree):
        yield node
        match node:
            case ast.Call(ast.Name("eval" | "exec"), [code, *_]):
                with contextlib.suppress(Hidden):
                    yield from walk(code_of(code))


def code_of(node: ast.expr) -> ast.Module:
    """Return the code in a string of constants, as if it stood where the string does.

    Raises:
        Hidden: it can't be read.
    """
    tree = parsed(text_of(node) or "")
    for part in ast.walk(tree):
        if hasattr(part, "lineno"):
            part.lineno = node.lineno
    return tree


def bind(node: ast.AST, text: Text, functions: Sequence[str]) -> None:
    """Take down what a statement gives a name to; of ``from ... import *`` that is those functions."""
    match node:
        case ast.Import(aliases):
            for alias in aliases:
                root = alias.name.partition(".")[0]
                text.names[alias.asname or root] = alias.name if alias.asname else root
        case ast.ImportFrom(module, aliases):
            for alias in aliases:
                imported = functions if alias.name == "*" else [alias.name]
                text.names |= {alias.asname or name: follow(module or "", [name]) for name in imported}
        case ast.Assign([ast.Name(name)], value):
            with contextlib.suppress(Hidden):
                path = path_of(value, text)[0]
                if path is not None:
                    text.names[name] = path


def head(definition: ast.stmt) -> list[ast.AST]:
    """Return what runs when a function or a class is defined, before anybody uses it."""
    match definition:
        case ast.ClassDef():
            body = [part for inner in definition.body if not is_plain(inner) for part in head(inner)]
            return [*definition.decorator_list, *definition.bases, *definition.keywords, *body]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*definition.args.defaults, *filter(None, definition.args.kw_defaults)]
            return [*definition.decorator_list, *defaults]
    return [definition]


def is_plain(statement: ast.stmt) -> bool:
    """Say whether a statement in the body of a class does nothing but give the class an attribute."""
    match statement:
        case ast.Assign([ast.Name()], ast.Name() | ast.Attribute() | ast.Constant() | ast.Lambda()):
            return True
    return False


# ---------------------------------------------------------------------------------------------------
# What an expression stands for
# ---------------------------------------------------------------------------------------------------


def path_of(node: ast.expr, text: Text, functions: Collection[str] = ()) -> tuple[str | None, list[ast.AST]]:
    """Return what an expression takes from another module, such as "numpy.tanh", and what else is in it.

    Args:
        node: the expression.
        text: the module that it is in.
        functions: what must not be taken from anything that can't be told; nor may a computed name then.

    Returns:
        The path, None if there is none, and the parts of the expression that are not part of it.

    Raises:
        Hidden: it takes something that can't be told from the text.
    """
    parts: list[str | None] = []  # from the last to the first; None for one that is computed
    taken: list[tuple[str | None, ast.expr]] = []  # those that are attributes, and of what
    rest: list[ast.AST] = []
    base: str | None = None
    while True:
        match node:
            case ast.Attribute(value, attribute):
                parts.append(attribute)
                taken.append((attribute, value))
                node = value
            case ast.Call(ast.Name("getattr"), [value, name, *more]):
                if functions and text_of(name) is None:
                    raise Hidden("getattr with a name that is computed")
                parts.append(text_of(name))
                taken.append((parts[-1], value))
                rest += [name, *more]
                node = value
            case ast.Call(ast.Name("vars"), [value]):
                parts.append("__dict__")
                node = value
            case ast.Subscript(value, key):
                parts.append(text_of(key))
                rest.append(key)
                node = value
            case ast.Call(
                ast.Name("__import__" | "import_module") | ast.Attribute(_, "import_module"), [name, *more]
            ):
                base = text_of(name)
                if base is None:
                    raise Hidden("an import of a name that is computed")
                rest += more
                break
            case ast.Name(name):
                base = text.names.get(name)
                break
            case _:
                break
    for part in parts:
        if part in INNER:
            raise Hidden(str(part))
    if base is None:
        for part, value in taken:
            if part in functions and not is_own(value, text):
                raise Hidden(f"{part} of something that is not known")
        return None, [*rest, node]
    if len(parts) > LONGEST:
        raise Hidden("a name of too many parts")
    return follow(base, parts[::-1]), rest


def is_own(node: ast.expr, text: Text) -> bool:
    """Say whether an expression is an object or a class of the module's own."""
    match node:
        case ast.Name(name):
            return name in ("self", "cls") or name in text.definitions
        case ast.Call(ast.Name("super")):
            return True
    return False


def follow(path: str, parts: Sequence[str | None]) -> str:
    """Return the path of what is reached from another by way of some parts.

    Raises:
        Hidden: one that is computed is taken from a module, or the path grows long.
    """
    for part in parts:
        if (
            len(path) > LONGEST_PATH
        ):  # many names, each of which adds to the one before, would fill the memory
            raise Hidden("a name of too many parts")
        if part is None:
            if is_module(path) or path == "sys.modules":
                raise Hidden(f"a name that is computed, of {path}")
            return path  # an element of an array, say
        if path == "sys.modules":
            path = part
        elif part != "__dict__":
            thing = resolved(f"{path}.{part}")
            path = thing.__name__ if isinstance(thing, ModuleType) else f"{path}.{part}"
    return path


def is_module(path: str) -> bool:
    """Say whether a path is that of a module, as far as that is known without importing anything foreign."""
    return "." not in path or path in sys.modules or isinstance(resolved(path), ModuleType)


@functools.cache
def resolved(path: str) -> object:
    """Return what is at a path in NumPy or in a harmless module; None for all else."""
    root, *parts = path.split(".")
    if root != "numpy" and root not in HARMLESS:
        return None
    try:
        thing: object = importlib.import_module(root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for part in parts:
                thing = getattr(thing, part)
    except Exception:
        return None
    return thing


def text_of(node: ast.expr, deepest: int = 20) -> str | None:
    """Return the string that an expression of constants is, if it is one."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.BinOp(left, ast.Add(), right) if deepest:
            first, second = text_of(left, deepest - 1), text_of(right, deepest - 1)
            return None if first is None or second is None else first + second
    return None


# ---------------------------------------------------------------------------------------------------
# What a class uses
# ---------------------------------------------------------------------------------------------------


class Search:
    """Goes through everything that may run when a class is used; arguments as of ``violations``."""

    def __init__(
        self,
        sources: dict[str, bytes],
        functions: tuple[str, ...],
        libraries: tuple[str, ...] | None,
        graders: tuple[str, ...],
    ) -> None:
        self.sources = sources
        self.functions = functions
        self.libraries = None if libraries is None else set(libraries)
        self.graders = graders
        self.texts: dict[str, Text] = {}
        self.seen: set[tuple[str, str]] = set()
        self.found: dict[tuple[str, int], Use] = {}
        self.waiting: list[tuple[Text, ast.AST, bool]] = []

    def uses(self, module: str, tested: str) -> list[Use]:
        """Return what the class uses and may not."""
        self._refer(module, tested)
        while self.waiting:
            self._visit(*self.waiting.pop())
        return sorted(self.found.values())

    def _text(self, module: str) -> Text:
        """Return a module of the submission, and look at what runs when it is imported."""
        if module not in self.texts:
            self.texts[module] = Text(module)
            try:
                self.texts[module] = read(module, self.sources[module], self.functions)
            except Hidden as hidden:
                self._add(self.texts[module], None, str(hidden), hidden=True)
            self.waiting += [(self.texts[module], part, True) for part in self.texts[module].at_import]
        return self.texts[module]

    def _refer(self, module: str, name: str) -> None:
        """Look at a function or a class of a module of the submission, if it has one of that name."""
        text = self._text(module)
        if (module, name) not in self.seen:
            self.seen.add((module, name))
            self.waiting += [(text, definition, False) for definition in text.definitions.get(name, [])]

    def _add(self, text: Text, node: ast.AST | None, what: str, hidden: bool = False) -> None:
        line = getattr(node, "lineno", 1)
        self.found[text.name, line] = Use(f"{text.name}.py", line, what, hidden)

    def _visit(self, text: Text, tree: ast.AST, at_import: bool) -> None:
        """Look at a part of a module and all that is in it."""
        stack = [(tree, False)]
        while stack:
            node, is_bound = stack.pop()  # to a name, if it is a module: that is followed
            try:
                parts = self._look(text, node, at_import, is_bound)
            except Hidden as hidden:
                if self.functions or not at_import:
                    self._add(text, node, str(hidden), hidden=True)
                continue
            binds = is_comparison(node) or is_alias(node, text)
            stack += [(part, binds) for part in parts]

    def _look(self, text: Text, node: ast.AST, at_import: bool, is_bound: bool) -> list[ast.AST]:
        """Look at a node, and return what in it is to be looked at next.

        Raises:
            Hidden: it reaches for something that can't be told from the text.
        """
        match node:
            case ast.Import(aliases):
                if hasattr(node, "in_class"):
                    raise Hidden("an import in the body of a class")
                for alias in aliases:
                    self._judge(text, node, alias.name, at_import)
            case ast.ImportFrom(module, aliases):
                for alias in aliases:
                    self._judge(text, node, follow(module or "", [alias.name]), at_import)
            case ast.Call(ast.Name("eval" | "exec" as name), [code, *more]):
                if text_of(code) is None:
                    raise Hidden(f"{name} of a text that is computed")
                return [*code_of(code).body, *more]
            case ast.Call(ast.Name("setattr" | "delattr"), [_, *_]):
                return [*node.args, *node.keywords]
            case ast.Name(ctx=ast.Store() | ast.Del()):
                return []
            case ast.expr():
                path, rest = path_of(node, text, self.functions)
                if path is not None:
                    self._judge(text, node, path, at_import)
                    if is_module(path) and not is_bound:
                        raise Hidden(f"{path}, a module, handed on as a value")
                elif isinstance(node, ast.Name):
                    if node.id in BUILTINS:
                        raise Hidden(node.id)
                    self._refer(text.name, node.id)
                    return []
                elif rest == [node]:
                    return list(ast.iter_child_nodes(node))
                return rest
        return list(ast.iter_child_nodes(node))

    def _judge(self, text: Text, node: ast.AST, path: str, at_import: bool) -> None:
        """Take down what is at a path, if it may not be used.

        Raises:
            Hidden: from there anything can be reached.
        """
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        for _ in range(LONGEST):  # from module to module of the submission
            root, _, name = path.partition(".")
            if root not in self.sources:
                break
            name, _, rest = name.partition(".")
            names = self._text(root).names
            if name not in names:
                if not is_import:
                    self._refer(root, name)
                return
            path = follow(names[name], rest.split(".") if rest else [])
        last = path.rpartition(".")[2]
        if root in self.graders:
            self._add(text, node, root)
        elif last in self.functions and last != path and root:
            self._add(text, node, path)
        elif is_import and at_import:
            return
        elif any(f"{path}.".startswith(f"{reaching}.") for reaching in REACHING):
            raise Hidden(path)
        elif root and self.libraries is not None and not at_import and root not in self.libraries | HARMLESS:
            self._add(text, node, root)


def is_comparison(node: ast.AST) -> bool:
    """Say whether a node is of the form ``torch is None``."""
    return isinstance(node, ast.Compare) and all(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops)


def is_alias(node: ast.AST, text: Text) -> bool:
    """Say whether a statement gives what it takes from another module a name that is followed."""
    match node:
        case ast.Assign([ast.Name(name)], value) if not hasattr(node, "in_class"):
            with contextlib.suppress(Hidden):
                path = path_of(value, text)[0]
                return path is not None and text.names.get(name) == path
    return False
