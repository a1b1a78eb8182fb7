"""Takes down which forbidden functions a submission calls while it works.

In place this is an ordinary module. Isolated, it is in the process that holds the submission, and the checks
talk to a proxy of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_calls: list[tuple[str, int, str]] = []
_replaced: list[tuple[Any, str, Any]] = []
_modules: list[str] = []


class Recorder:
    """Stands for a forbidden function: takes down who of the submission calls it, and then does the same."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take down file, line and function, and call the function."""
        frame: Any = sys._getframe(1)
        while frame is not None and Path(frame.f_code.co_filename).stem not in _modules:
            frame = frame.f_back
        if frame is not None:
            _calls.append((Path(frame.f_code.co_filename).name, frame.f_lineno, self._name))
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def forbid(names: list[str], libraries: list[str], modules: list[str]) -> None:
    """Take down from now on who calls these functions of these libraries, under whatever name.

    Args:
        names: of functions, such as "tanh".
        libraries: whose functions; those that are loaded, with all their modules.
        modules: of the submission.
    """
    _modules[:] = modules
    recorders: dict[int, Recorder] = {}
    for path, module in list(sys.modules.items()):
        library = path.partition(".")[0]
        if library in libraries:
            for name in names:
                function = getattr(module, "__dict__", {}).get(name)
                if callable(function) and not isinstance(function, Recorder):
                    recorder = recorders.setdefault(id(function), Recorder(function, f"{library}.{name}"))
                    _replace(module, name, recorder)
    # In place the submission has been imported before, and may hold the functions under names of its own.
    for module in filter(None, map(sys.modules.get, modules)):
        for holder in (module, *(value for value in vars(module).values() if isinstance(value, type))):
            for name, value in list(vars(holder).items()):
                if id(value) in recorders:
                    _replace(holder, name, recorders[id(value)])


def forbidden_calls() -> list[tuple[str, int, str]]:
    """Return file, line and function of the calls since ``forbid``."""
    return list(_calls)


def allow() -> None:
    """Undo ``forbid``."""
    while _replaced:
        setattr(*_replaced.pop())
    _calls.clear()


def _replace(holder: Any, name: str, recorder: Recorder) -> None:
    _replaced.append((holder, name, getattr(holder, name)))
    setattr(holder, name, recorder)
