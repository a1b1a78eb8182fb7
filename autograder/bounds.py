"""What a test may take of the grader itself, whatever a submission has it look at: some memory and some time.

What arrives from a submission is checked before memory is taken for it (``inside/wire.py``,
``submission.py``). But what a test then does with it is anybody's guess, so the system keeps watch as well.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

with suppress(ImportError):  # on Windows, where nothing is bounded
    import resource

MEMORY = 512 * 2**20  # bytes, beyond what the grader has when a test begins


@contextmanager
def bounded(seconds: float, overdue: Callable[[], Exception], memory: int = MEMORY) -> Iterator[None]:
    """Have what runs meanwhile raise a MemoryError where it takes too much memory, and end it in time.

    Args:
        seconds: that it has; outside of the main thread, where signals can't be received, there is no end.
        overdue: returns the exception that ends it.
        memory: bytes that it may take.
    """

    def ring(*_: Any) -> None:
        raise overdue()

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [psutil.Process().memory_info().data + memory, *(n for n in (soft, hard) if n >= 0)]
    timed = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGALRM, ring) if timed else None
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        if timed:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
