"""What a module offers, read from its text: names of functions and classes, and how they can be called."""

from __future__ import annotations

import ast
import math
from typing import Any, TypeAlias

Arguments: TypeAlias = "tuple[float, float] | None"
"""How many positional arguments a function takes, at least and at most; None for what can't be told."""

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
MISSING = (-1, -1)


class Interface:
    """What a module defines.

    Args:
        source: its text.

    Attributes:
        functions: the arguments of its functions and methods, as in {"heapify": (1, 1), "Heap.push": (1, 2)}.
        bases: the base classes of its classes, as in {"Heap": ["object"]}.
        others: all other names in it, of which nothing more is known.
        imports: the modules that it imports, by the first part of their names.

    Raises:
        SyntaxError, ValueError: the text is no Python.
    """

    def __init__(self, source: bytes | str) -> None:
        tree = ast.parse(source)
        self.functions: dict[str, Arguments] = {}
        self.bases: dict[str, list[str]] = {}
        self.others: set[str] = set()
        self.imports: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.others |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.Import):
                self.imports |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.imports.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.others.add(node.id)
        for part in tree.body:
            if isinstance(part, Function):
                self.functions[part.name] = arguments_of(part)
            elif isinstance(part, ast.ClassDef):
                self._read_class(part)

    def _read_class(self, node: ast.ClassDef) -> None:
        self.bases[node.name] = [ast.unparse(base) for base in node.bases]
        for part in node.body:
            if isinstance(part, Function):
                self.functions[f"{node.name}.{part.name}"] = arguments_of(part, in_class=True)
            elif isinstance(part, ast.Assign):
                names = [target.id for target in part.targets if isinstance(target, ast.Name)]
                self.functions |= {f"{node.name}.{name}": None for name in names}

    def find(self, name: str, seen: tuple[str, ...] = ()) -> Arguments:
        """Return the arguments of a function or a method, perhaps an inherited one, or MISSING."""
        owner, _, method = name.rpartition(".")
        if name in self.functions:
            return self.functions[name]
        if not owner:
            return None if name in self.bases or name in self.others else MISSING
        if owner not in self.bases or method == "__init__":
            return None
        for base in self.bases[owner]:
            found = MISSING if base in ("object", *seen) else self.find(f"{base}.{method}", (*seen, owner))
            if found != MISSING:
                return found
        return MISSING

    def described(self) -> dict[str, Arguments]:
        """Return all that isn't private: the arguments of functions and methods, None for classes."""
        names = {**dict.fromkeys(self.bases), **self.functions}
        is_public = lambda name: all(  # noqa: E731
            part == "__init__" or not part.startswith("_") for part in name.split(".")
        )
        return {name: names[name] for name in sorted(names) if is_public(name)}

    def lacks(self, wanted: dict[str, Any]) -> dict[str, str]:
        """Return a sentence about each name of another ``described`` that is missing or called otherwise."""
        problems = {}
        for name, arguments in wanted.items():
            found = self.find(name)
            owner = name.rpartition(".")[0]
            if found == MISSING:
                kind = "method" if owner else "class" if arguments is None else "function"
                problems[name] = f"the {kind} {name} is missing, or has another name"
            elif owner and self.find(owner) == MISSING:
                continue  # of which one sentence is enough
            elif arguments and found and (found[0] > arguments[1] or found[1] < arguments[0]):
                problems[name] = f"{name} should take {counted(*arguments)}, and takes {counted(*found)}"
        return problems


def arguments_of(function: Any, in_class: bool = False) -> Arguments:
    """Return how many positional arguments a function takes, besides ``self``."""
    if function.decorator_list:  # which may change that
        return None
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - in_class
    least = positional - len(arguments.defaults) + sum(default is None for default in arguments.kw_defaults)
    return max(0, least), math.inf if arguments.vararg else max(0, positional)


def counted(least: float, most: float) -> str:
    """Return a number of arguments in words."""
    if least == most:
        return f"{least} argument{'s' * (least != 1)}"
    return f"{least} or more arguments" if most == math.inf else f"{least} to {most} arguments"
