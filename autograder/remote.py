"""Proxies: in the grader's process they stand for a student's modules, classes, objects and methods.

A test that says ``sorting.Heap(4).push(3)`` talks to a ``RemoteModule``, whose answers are numbers, arrays
or further proxies. Each attribute, call and item is a request to the worker that holds the real thing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .inside.wire import (
    ERROR_KINDS,
    Channel,
    ClosedError,
    PlainDataError,
    TooLargeError,
    WireError,
    decode,
    encode,
    kind_of,
)
from .sandbox import WorkerFailure, WorkerProcess

CHUNK = 256  # values that an iterator fetches at a time, at most
TEXT_CAP = 4_000
FRAMES_CAP = 8  # of an error's traceback


class SubmissionError(Exception):
    """An error that the student's code raised; one of a builtin kind is also of that kind.

    Attributes:
        name: the class's name, as the student's code has it.
        message: the error's own.
        frames: (file, line, code) of the student's own, outermost first.
    """

    def __init__(self, name: str, message: str, frames: list[tuple[str, int, str]]) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.frames = frames

    def __str__(self) -> str:
        return self.message


# One subclass for each builtin kind that crosses the channel, in the channel's order.
ERRORS: tuple[type[SubmissionError], ...] = tuple(
    type(f"Submission{kind.__name__}", (SubmissionError, *(() if kind is Exception else (kind,))), {})
    for kind in ERROR_KINDS
)


class Session:
    """The conversation with one worker.

    Args:
        worker: started, which listens at the other end of its socket.
        answer: answers the questions of the stand-ins in it, if there are any.

    Attributes:
        failure: why the worker is of no use any more; None while it is.
    """

    def __init__(self, worker: WorkerProcess, answer: Callable[[Any], Any] | None = None) -> None:
        self.worker = worker
        self.channel = Channel(worker.socket, worker.check)
        self.failure: WorkerFailure | None = None
        self.proxies: dict[int, RemoteObject] = {}
        self.answer = answer

    def request(self, request: str, *values: Any) -> Any:
        """Have the worker do something, and return what came of it.

        Args:
            request: one of the ``do_`` methods of ``inside.worker.Worker``.
            *values: its arguments.

        Raises:
            SubmissionError: the student's code raised this.
            WorkerFailure: the worker has ended, or was ended for going beyond a limit.
        """
        if self.failure is not None:
            raise self.failure
        try:
            arrays: list[np.ndarray] = []
            header = {"request": request, "values": encode(values, arrays, self._name)}
            self.channel.send(header, arrays)
            while True:
                header, arrays = self.channel.receive()
                if "ask" not in header:
                    return self._result(header, arrays)
                self._answer(decode(header["ask"], arrays, self._proxy))
        except ClosedError:
            self.failure = self.worker.failure()
        except SubmissionError:  # theirs may be a MemoryError, too
            raise
        except TooLargeError as error:
            self.failure = WorkerFailure(
                "size", f"Your code returned more than the autograder takes: {error}."
            )
        except MemoryError:
            self.failure = WorkerFailure(
                "size", "Your code returned more than the autograder has memory for."
            )
        except WireError as error:
            self.failure = WorkerFailure("garbled", f"Your code disturbed the grader's messages ({error}).")
        except WorkerFailure as failure:
            self.failure = failure
        raise self.failure

    def _answer(self, question: Any) -> None:
        """Answer a stand-in."""
        if self.answer is None:
            raise WireError("it asks the grader, and no stand-in is there")
        try:
            arrays: list[np.ndarray] = []
            answer = encode(self.answer(question), arrays, self._name)
            self.channel.send({"answer": answer}, arrays)
        except (ClosedError, WireError, WorkerFailure):
            raise
        except Exception as error:  # such as a shape that does not fit; the question may be any nonsense
            self.channel.send({"refused": kind_of(error), "message": str(error)[:TEXT_CAP]}, [])

    def _result(self, reply: dict[str, Any], arrays: list[np.ndarray]) -> Any:
        """Return the value in a reply, or raise the error in it."""
        if "error" in reply:
            raise read_error(reply)
        return decode(reply.get("value"), arrays, self._proxy)

    def _proxy(self, data: dict[str, Any]) -> RemoteObject:
        place = data.get("object")
        if type(place) is not int:
            raise WireError("expected a value")
        if place not in self.proxies:
            kind = data.get("type")
            name = kind[:80] if isinstance(kind, str) and kind.isidentifier() else "object"
            make = RemoteCallable if data.get("callable") is True else RemoteObject
            self.proxies[place] = make(self, place, name)
        return self.proxies[place]

    def _name(self, value: Any) -> dict[str, Any]:
        if isinstance(value, RemoteObject):
            return {"object": object.__getattribute__(value, "_place")}
        raise PlainDataError(f"a test handed over a {type(value).__name__}, which cannot be sent")


def read_error(reply: dict[str, Any]) -> SubmissionError:
    """Return the error that a reply describes; a reply that makes no sense gives one that says little."""
    kind, frames = reply["error"], reply.get("frames")
    valid = type(kind) is int and 0 <= kind < len(ERRORS)
    name, message = (str(reply.get(key, ""))[:TEXT_CAP] for key in ("name", "message"))
    return (ERRORS[kind] if valid else SubmissionError)(
        name if name.isidentifier() else "an error",
        message,
        [
            (frame[0][:200], frame[1], frame[2][:200])
            for frame in (frames[-FRAMES_CAP:] if isinstance(frames, list) else [])
            if isinstance(frame, list) and [type(part) for part in frame] == [str, int, str]
        ],
    )


class RemoteObject:
    """Anything in the worker that is no plain data."""

    __slots__ = ("_kind", "_place", "_session")

    def __init__(self, session: Session, place: int, kind: str) -> None:
        for name, value in (("_session", session), ("_place", place), ("_kind", kind)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # NumPy, copy and the like ask for these; the student's are none of theirs
            raise AttributeError(name)
        return self._session.request("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._session.request("set", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._session.request("item", self, key)

    def __len__(self) -> int:
        return self._session.request("length", self)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        iterator = self._session.request("iterate", self)
        count = 1
        while values := self._session.request("next", iterator, count):
            yield from values
            count = min(2 * count, CHUNK)

    def __instancecheck__(self, instance: Any) -> bool:
        """Answer ``isinstance(instance, self)``, for a class of the student's."""
        return (
            isinstance(instance, RemoteObject) and self._session.request("isinstance", instance, self) is True
        )

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """Answer ``vars(self)``."""
        return self._session.request("get", self, "__dict__")

    def __repr__(self) -> str:
        return f"<the submission's {self._kind}>"


class RemoteCallable(RemoteObject):
    """A class, function, method or other object that can be called."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real thing."""
        return self._session.request("call", self, args, kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """Answer ``inspect.signature(self)``."""
        kinds = list(inspect._ParameterKind)
        empty, parameter = inspect.Parameter.empty, inspect.Parameter
        try:
            return inspect.Signature(
                [
                    parameter(name, kinds[kind], default=None if default else empty)
                    for name, kind, default in self._session.request("signature", self)
                ]
            )
        except (TypeError, IndexError) as error:
            raise ValueError(f"the worker answered no signature: {error}") from None


class RemoteModule:
    """A module of the submission, in the worker of the test that is running.

    Args:
        name: of the module.
        path: of its file; the grader reads it where a test wants the text, and never runs it.
        tests: has the attribute ``session``, with that worker.
    """

    def __init__(self, name: str, path: Path, tests: Any) -> None:
        self.__name__ = name
        self.__file__ = str(path)
        self._tests = tests

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        session = self._tests.session
        return session.request("get", session.request("module", self.__name__), name)
