"""The channel between the grader and a worker that runs a student's code.

A frame is a length, a JSON header and a number of arrays in NumPy's ``.npy`` format. Pickles are refused, and
what is not exactly as it should be is a ``WireError``: the grader reads these bytes from a process that it
does not trust. Nothing that arrives is evaluated or looked up by name, and how much it may be stands below:
each size is checked before memory is taken for it, and both ends hold to the same sizes.
"""

from __future__ import annotations

import io
import json
import math
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

FRAME_CAP = 64 * 2**20  # bytes of a frame
HEADER_CAP = 2**20  # bytes of its JSON
VALUES_CAP = 200_000  # values in that
DEPTH_CAP = 32  # lists within lists
ARRAYS_CAP = 4_000  # arrays of a frame
NUMBERS_CAP = FRAME_CAP // 8  # numbers in those, of whatever size: as float64 they have to fit, too
CONVERSATION_CAP = 2**30  # bytes that all frames of a conversation take, about, once they are read
VALUE_BYTES = 100  # of these, about, for each value of a header
ARRAY_HEADER_CAP = 10_000  # bytes
POLL_SECONDS = 0.1
SIZE = struct.Struct("!I")

# The kinds of error that cross the channel, as numbers: the first that fits, so subclasses come first.
ERROR_KINDS: tuple[type[Exception], ...] = (
    NotImplementedError, RecursionError, RuntimeError, UnicodeError, ValueError, AttributeError, KeyError,
    IndexError, LookupError, ZeroDivisionError, OverflowError, FloatingPointError, ArithmeticError, TypeError,
    AssertionError, ImportError, IndentationError, SyntaxError, UnboundLocalError, NameError, MemoryError,
    FileNotFoundError, PermissionError, TimeoutError, OSError, EOFError, StopIteration, Warning, Exception,
)  # fmt: skip


def kind_of(error: BaseException) -> int:
    """Return the place of an error's kind in ``ERROR_KINDS``; errors that are no Exception get the last."""
    places = (place for place, kind in enumerate(ERROR_KINDS) if isinstance(error, kind))
    return next(places, len(ERROR_KINDS) - 1)


class WireError(Exception):
    """What arrived is no frame, or too large."""


class TooLargeError(WireError):
    """What arrived is more than this end takes."""


class ClosedError(Exception):
    """The other end is gone."""


class PlainDataError(TypeError):
    """A value that cannot be sent."""


class Channel:
    """Sends and receives messages over a connected socket.

    Args:
        connection: a stream socket.
        poll: called about every 0.1 s while waiting; it ends the waiting by raising.
        budget: bytes that all that is received may take together.
    """

    def __init__(
        self,
        connection: socket.socket,
        poll: Callable[[], None] | None = None,
        budget: float = CONVERSATION_CAP,
    ) -> None:
        self.connection = connection
        self.poll = poll
        self.budget = budget
        if poll is not None:
            connection.settimeout(POLL_SECONDS)
        self._last_poll = time.monotonic()

    def send(self, header: dict[str, Any], arrays: list[np.ndarray]) -> None:
        """Send a header and the arrays that it refers to.

        Raises:
            PlainDataError: the frame would be larger than the other end takes.
            ClosedError: the other end is gone.
        """
        text = json.dumps(header).encode()
        try:
            check_header(text)
            check_arrays([array.shape for array in arrays])
        except TooLargeError as error:
            raise PlainDataError(f"too much: {error}") from None
        parts: list[bytes | memoryview] = [SIZE.pack(len(text)), text]
        for array in arrays:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            parts += [SIZE.pack(buffer.tell()), buffer.getbuffer()]
        length = sum(map(len, parts))
        if length > FRAME_CAP:
            raise PlainDataError(f"an answer of {length / 2**20:.0f} MiB is too large")
        for part in (SIZE.pack(length), *parts):
            view = memoryview(part)
            while view:
                view = view[self._wait(partial(self.connection.send, view)) :]

    def receive(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Return the next header and its arrays.

        Raises:
            WireError: what came is no frame.
            TooLargeError: it is more than may come.
            ClosedError: the other end is gone.
        """
        (length,) = SIZE.unpack(self._read(SIZE.size))
        check_size(length, FRAME_CAP, "bytes")
        self._spend(length)
        frame = memoryview(self._read(length))
        parts: list[memoryview] = []
        while frame:
            check_size(len(parts), ARRAYS_CAP, "arrays")
            if len(frame) < SIZE.size:
                raise WireError("a part of the frame is cut off")
            (size,) = SIZE.unpack(frame[: SIZE.size])
            if size > len(frame) - SIZE.size:
                raise WireError("a part is longer than its frame")
            parts.append(frame[SIZE.size : SIZE.size + size])
            frame = frame[SIZE.size + size :]
        if not parts:
            raise WireError("expected a header")
        text = bytes(parts[0])
        self._spend(check_header(text) * VALUE_BYTES)
        try:
            header = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WireError(f"the header is no JSON: {error}") from None
        if not isinstance(header, dict):
            raise WireError("the header is no object")
        files = [read_array_header(part) for part in parts[1:]]
        numbers = check_arrays([shape for shape, *_ in files])
        self._spend(8 * numbers - length)  # of which the length is paid for
        return header, [read_array(part, *file) for part, file in zip(parts[1:], files, strict=True)]

    def _spend(self, size: int) -> None:
        self.budget -= max(0, size)
        if self.budget < 0:
            most = f"{CONVERSATION_CAP / 2**20:,.0f} MiB"
            raise TooLargeError(f"all answers in one test together may take {most}")

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            count = min(size - len(data), 2**20)
            data += self._wait(partial(self.connection.recv, count)) or self._closed()
        return bytes(data)

    def _wait(self, transfer: Callable[[], Any]) -> Any:
        """Return what ``transfer`` does once the socket is ready, and poll in between."""
        while True:
            if self.poll is not None and time.monotonic() - self._last_poll > POLL_SECONDS:
                self.poll()
                self._last_poll = time.monotonic()
            try:
                return transfer()
            except TimeoutError:
                continue
            except OSError:
                self._closed()

    def _closed(self) -> Any:
        raise ClosedError("the other end is gone")


def check_size(size: int, most: int, what: str) -> int:
    """Return a size, or raise a TooLargeError if it is more than ``most``."""
    if size > most:
        raise TooLargeError(f"an answer has at most {most:,} {what}, and this one {size:,}")
    return size


def check_header(text: bytes) -> int:
    """Return how many values a header has at most, which its commas, colons and brackets tell.

    Raises:
        TooLargeError: they are too many.
    """
    check_size(len(text), HEADER_CAP, "bytes of plain data")
    return check_size(1 + sum(map(text.count, (b",", b":", b"[", b"{"))), VALUES_CAP, "values beside arrays")


def check_arrays(shapes: list[tuple[int, ...]]) -> int:
    """Return how many numbers arrays of these shapes have, a dimension of 0 counted as 1.

    An array without numbers may still have a billion rows, through which somebody may want to go.

    Raises:
        TooLargeError: they are too many, or the arrays are.
    """
    check_size(len(shapes), ARRAYS_CAP, "arrays")
    numbers = sum(math.prod(max(size, 1) for size in shape) for shape in shapes)
    return check_size(numbers, NUMBERS_CAP, "numbers in arrays")


def read_array_header(data: memoryview) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, order, dtype and length of the header of a ``.npy`` file of plain numbers.

    Raises:
        WireError: anything else.
    """
    file = io.BytesIO(data[:ARRAY_HEADER_CAP])
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"expected version (1, 0), got {version}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in "biufc" or dtype.shape or not all(0 <= size < 2**31 for size in shape):
            raise ValueError(f"expected numbers, got {dtype} of shape {shape}")
    except Exception as error:  # the parser of the header raises all sorts on nonsense
        raise WireError(f"expected a .npy file, got one with an error: {str(error)[:200]}") from None
    return shape, fortran_order, dtype, file.tell()


def read_array(
    data: memoryview, shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype, start: int
) -> np.ndarray:
    """Return the array of a ``.npy`` file with this header, which has as many bytes as its shape says.

    Raises:
        WireError: it has not.
    """
    try:
        array = np.frombuffer(data, dtype, offset=start)
        order: Literal["C", "F"] = "F" if fortran_order else "C"
        return np.array(array.reshape(shape, order=order), dtype=dtype.newbyteorder("="))
    except ValueError as error:
        raise WireError(f"expected a .npy file, got one with an error: {str(error)[:200]}") from None


def encode(value: Any, arrays: list[np.ndarray], other: Callable[[Any], Any], depth: int = 0) -> Any:
    """Return the JSON for a value, and append its arrays to ``arrays``.

    Plain data go by value: None, numbers, strings, tuples, lists, dicts, NumPy arrays and torch tensors.

    Args:
        value: what to send.
        arrays: what the header refers to by number.
        other: returns the JSON object for anything that is not plain.
        depth: of lists and dicts around the value.

    Raises:
        PlainDataError: the value cannot be sent.
    """
    if depth > DEPTH_CAP:
        raise PlainDataError(f"more than {DEPTH_CAP} lists within lists")
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        if abs(value) >= 2**63:
            raise PlainDataError("a whole number of more than 64 bits")
        return value
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return {"tensor": encode_array(value.detach().cpu().numpy(), arrays)}
    if isinstance(value, np.ndarray):
        return {"array": encode_array(value, arrays)}
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return {"scalar": encode_array(np.asarray(value), arrays)}
    if isinstance(value, type) and value in (np.float32, np.float64):
        return {"float": np.dtype(value).itemsize}
    if isinstance(value, (tuple, list)):
        items = [encode(item, arrays, other, depth + 1) for item in value]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        return {"dict": [[key, encode(item, arrays, other, depth + 1)] for key, item in value.items()]}
    if type(value) is SimpleNamespace:
        return {
            "namespace": [[key, encode(item, arrays, other, depth + 1)] for key, item in vars(value).items()]
        }
    return other(value)


def encode_array(value: np.ndarray, arrays: list[np.ndarray]) -> int:
    """Append an array, as plain numbers of the machine's byte order, and return its place."""
    array = np.asarray(value).view(np.ndarray)
    if array.dtype.kind not in "biufc" or array.dtype.char in "gG":  # long double: no two machines' are alike
        raise PlainDataError(f"an array of {array.dtype}, not of numbers")
    arrays.append(array.astype(array.dtype.newbyteorder("="), copy=False))
    return len(arrays) - 1


def decode(
    data: Any, arrays: list[np.ndarray], other: Callable[[dict[str, Any]], Any], depth: int = 0
) -> Any:
    """Return the value that ``encode`` made ``data`` of.

    Args:
        data: from a header.
        arrays: those of the same frame.
        other: returns the value for a JSON object that is not plain data.
        depth: of lists and dicts around the value.

    Raises:
        WireError: ``encode`` cannot have made this.
    """
    if depth > DEPTH_CAP:
        raise WireError("too deep")
    if isinstance(data, int) and abs(data) >= 2**63:
        raise WireError("a whole number of more than 64 bits")
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if not isinstance(data, dict) or len(data) == 0:
        raise WireError("expected a value")
    kind, content = next(iter(data.items()))
    if kind in ("array", "tensor", "scalar"):
        if type(content) is not int or not 0 <= content < len(arrays):
            raise WireError("expected the place of an array")
        array = arrays[content]
        if kind == "scalar":
            if array.ndim:
                raise WireError("expected a scalar")
            return array[()]
        if kind == "array" or "torch" not in sys.modules:
            return array
        try:
            return sys.modules["torch"].from_numpy(array)
        except TypeError as error:
            raise WireError(f"expected a tensor: {error}") from None
    if kind == "float":
        return np.float32 if content == 4 else np.float64
    if kind in ("tuple", "list"):
        if not isinstance(content, list):
            raise WireError("expected a list")
        items = [decode(item, arrays, other, depth + 1) for item in content]
        return tuple(items) if kind == "tuple" else items
    if kind in ("dict", "namespace"):
        if not isinstance(content, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and type(pair[0]) in (str, int) for pair in content
        ):
            raise WireError("expected pairs")
        pairs = {key: decode(item, arrays, other, depth + 1) for key, item in content}
        return pairs if kind == "dict" else SimpleNamespace(**{str(key): item for key, item in pairs.items()})
    return other(data)
