"""Runs a student's code for the grader: a request comes in, an answer goes out, until the channel closes.

This is what the worker executes after it has given up its privileges. It knows no test and no right answer.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import math
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from wire import ERROR_KINDS, Channel, ClosedError, PlainDataError, decode, encode, kind_of

MESSAGE_CAP = 4_000  # characters of an error's message
FRAMES_CAP = 8  # of a traceback
CHUNK_BYTES = 4 * 2**20  # about how much an iterator sends at a time


def serve(connection: socket.socket, config: dict[str, Any]) -> None:
    """Answer requests until the other end closes.

    Args:
        connection: to the grader.
        config: "modules", the names that may be imported; "stand_ins", those that are to be replaced by ones
            that ask the grader, by the module "installer"; "blank", whether these are not even imported.
    """
    show_warnings_of(os.getcwd())
    sys.path.append(os.getcwd())  # last, so that no file of the submission hides one of the grader's helpers
    worker = Worker(Channel(connection, budget=math.inf), config["modules"])
    if config.get("stand_ins"):
        installer = importlib.import_module(config["installer"])
        installer.install(worker, config["stand_ins"], config.get("blank", False))
    try:
        while True:
            worker.answer(*worker.channel.receive())
    except ClosedError:
        pass


def show_warnings_of(folder: str) -> None:
    """Have only warnings about files in a folder shown: those about libraries are not the student's."""
    show = warnings.showwarning

    def show_some(message: Any, category: Any, filename: str, *rest: Any, **options: Any) -> None:
        if os.path.abspath(filename).startswith(folder + os.sep):
            show(message, category, filename, *rest, **options)

    warnings.showwarning = show_some


class Worker:
    """Holds the objects that the grader has been told of, and does with them what it asks for.

    Args:
        channel: to the grader.
        modules: names that the grader may ask for.
    """

    def __init__(self, channel: Channel, modules: list[str]) -> None:
        self.channel = channel
        self.modules = modules
        self.objects: list[Any] = []
        self.places: dict[int, int] = {}

    def answer(self, header: dict[str, Any], arrays: list[np.ndarray]) -> None:
        """Carry out one request and send what came of it: a value or an error."""
        reply: dict[str, Any] = {}
        results: list[np.ndarray] = []
        try:
            values = decode(header["values"], arrays, self._object)
            result = getattr(self, "do_" + header["request"])(reply, *values)
            reply["value"] = encode(result, results, self._place)
            self.channel.send(reply, results)
        except ClosedError:
            raise
        except BaseException as error:  # sys.exit() in a method is an error like any other
            self.channel.send(self._describe(error), [])

    def do_module(self, reply: dict[str, Any], name: str) -> Any:
        """Import a module of the submission."""
        if name not in self.modules:
            raise ImportError(f"no module {name}")
        return importlib.import_module(name)

    def do_get(self, reply: dict[str, Any], target: Any, name: str) -> Any:
        """Return an attribute."""
        return vars(target) if name == "__dict__" else getattr(target, name)

    def do_set(self, reply: dict[str, Any], target: Any, name: str, value: Any) -> None:
        """Assign to an attribute."""
        setattr(target, name, value)

    def do_call(
        self, reply: dict[str, Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call something."""
        result = target(*args, **kwargs)
        return Iterable(result) if isinstance(result, Iterator) else result

    def do_item(self, reply: dict[str, Any], target: Any, key: Any) -> Any:
        """Return target[key]."""
        return target[key]

    def do_length(self, reply: dict[str, Any], target: Any) -> int:
        """Return len(target)."""
        return len(target)

    def do_iterate(self, reply: dict[str, Any], target: Any) -> Any:
        """Return an iterator."""
        return Iterable(iter(target))

    def do_next(self, reply: dict[str, Any], target: Any, count: int) -> list[Any]:
        """Return the next values of an iterator, none if it has ended, at most ``count``."""
        values: list[Any] = []
        size = 0
        for value in islice(target, count):
            arrays: list[np.ndarray] = []
            encode(value, arrays, self._place)
            values.append(value)
            size += sum(array.nbytes for array in arrays)
            if size > CHUNK_BYTES:
                break
        return values

    def do_isinstance(self, reply: dict[str, Any], target: Any, kind: Any) -> bool:
        """Return isinstance(target, kind)."""
        return isinstance(target, kind)

    def do_signature(self, reply: dict[str, Any], target: Any) -> list[tuple[str, int, bool]]:
        """Return name, kind and whether there is a default, of each parameter."""
        parameters = inspect.signature(target).parameters.values()
        return [(p.name, int(p.kind), p.default is not p.empty) for p in parameters]

    def _place(self, value: Any) -> dict[str, Any]:
        """Keep an object, and return how it is called on the channel."""
        place = self.places.get(id(value))
        if place is None:
            place = self.places[id(value)] = len(self.objects)
            self.objects.append(value)  # kept, so that its id stays its own
        return {"object": place, "callable": callable(value), "type": type(value).__name__[:80]}

    def _object(self, data: dict[str, Any]) -> Any:
        return self.objects[data["object"]]

    def _describe(self, error: BaseException) -> dict[str, Any]:
        """Return an error as plain data: its kind, its message and where in the student's files it arose."""
        try:
            message = str(error)[:MESSAGE_CAP]
        except BaseException:
            message = "(its message cannot be shown)"
        if isinstance(error, PlainDataError):
            message = f"the answer holds {error}"
        here = os.getcwd() + os.sep
        frames = [
            (
                frame.filename[len(here) :],
                frame.lineno or 0,
                linecache.getline(frame.filename, frame.lineno or 0).strip()[:200],
            )
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename.startswith(here)
        ]
        if isinstance(error, SyntaxError) and str(error.filename).startswith(here):
            frames.append(
                (str(error.filename)[len(here) :], error.lineno or 0, (error.text or "").strip()[:200])
            )
        return {
            "error": kind_of(error),
            "name": type(error).__name__[:80],
            "message": message.encode("utf-8", "replace").decode(),
            "frames": frames[-FRAMES_CAP:],
        }

    # What stand-ins ask for.

    def ask(self, *values: Any) -> Any:
        """Ask the grader's reference something, and meanwhile do what it asks for."""
        arrays: list[np.ndarray] = []
        self.channel.send({"ask": encode(values, arrays, self._place)}, arrays)
        while True:
            header, arrays = self.channel.receive()
            if "request" in header:
                self.answer(header, arrays)
            elif "refused" in header:
                raise ERROR_KINDS[header["refused"]](header["message"])
            else:
                return decode(header["answer"], arrays, self._object)


class Iterable:
    """An iterator, on its way to the grader; iterating goes on where it was."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self.iterator
