"""Runs students' code in processes of its own, locked in and limited.

A ``Sandbox`` holds one submission. Each ``WorkerProcess`` is a fresh process that has its files, forked by a
helper that is described in ``inside/forkserver.py``. The grader speaks with a worker over a socket, and
trusts nothing that comes out of it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from .inside.lockdown import OPEN_TO_ALL
from .inside.scratch import remove_files_of, scratch_folder

with suppress(ImportError):  # on Windows, where there is no sandbox
    import fcntl

HERE = Path(__file__).resolve().parent
USERS = range(60700, 61184, 2)  # numbers that neither people nor services have; those between end processes
LOCKS = Path("/run/autograder")  # a file for each user, in a folder that only root can enter
MIB = 2**20
MESSAGE_CAP = 2**16  # bytes of what helpers say
START_UP = 120.0  # seconds that the forkserver has to import what it preloads
GRACE = 5.0  # seconds that a supervisor has to end a worker
ENVIRONMENT = {  # of a forkserver
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "USER": "student",
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONHASHSEED": "0",
}


@dataclass(frozen=True)
class Limits:
    """What a worker may use.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of all its processes together.
        memory: bytes of all its processes together, beyond what Python and the preloaded modules take.
        processes: how many at a time, threads included.
        open_files: of each process.
        file_size: bytes of each file that it writes.
        disk: bytes of all files that it has written and not removed.
        output: bytes that are kept of what it prints.
    """

    wall: float = 30
    cpu: float = 30
    memory: int = 512 * MIB
    processes: int = 64
    open_files: int = 256
    file_size: int = 64 * MIB
    disk: int = 64 * MIB
    output: int = 64 * 1024


class SandboxError(Exception):
    """The sandbox could not be set up on this system; the message is for course staff."""


class WorkerFailure(Exception):  # noqa: N818
    """A worker has ended, or was ended.

    Attributes:
        reason: "timeout", "memory", "processes", "disk", "exit", "signal", "garbled", "size" where it said
            too much, or "sandbox" where it was no fault of the student's.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Sandbox:
    """Context manager that runs one submission, one worker at a time.

    Args:
        folder: the submission's files; each worker starts in a fresh copy of it.
        preload: modules that workers have imported already.
        hidden_packages: packages of which a worker has but dummies, which can be imported and do nothing.
        optional_packages: likewise, where they are not installed.
        data: folder that a worker finds, read-only, as ``./data``; its files must be readable by everybody.
        helpers: more ``.py`` files that a worker can import, before the submission's own of the same name.
        limits: of a worker for which none are given.
        secrets: files and folders besides the grader that workers must not be able to read.
        namespaces: whether to use namespaces where there are some; they add to the isolation.
        unsafe: whether to go on where the system can't keep workers from other files.

    Attributes:
        warnings: what this system could not provide, in words for course staff.
        namespaces: whether namespaces are used.

    Raises:
        SandboxError: on entering, if workers can't be started on this system.
    """

    def __init__(
        self,
        folder: Path,
        *,
        preload: Sequence[str] = ("numpy",),
        hidden_packages: Sequence[str] = (),
        optional_packages: Sequence[str] = (),
        data: Path | None = None,
        helpers: Sequence[Path] = (),
        limits: Limits = Limits(),
        secrets: Sequence[Path] = (),
        namespaces: bool = True,
        unsafe: bool = False,
    ) -> None:
        self.folder = folder
        self.preload = list(preload)
        self.hidden_packages = list(hidden_packages)
        self.optional_packages = list(optional_packages)
        self.data = data
        self.helpers = list(helpers)
        self.limits = limits
        self.secrets = [HERE, *secrets]
        self.namespaces = namespaces
        self.unsafe = unsafe
        self.warnings: list[str] = []
        self._resources = ExitStack()
        self._group: int | None = None
        self._scratch = Path()
        self._forkserver: subprocess.Popen[bytes] | psutil.Process | None = None
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Sandbox:
        if sys.platform != "linux":
            raise SandboxError(f"students' code can be run safely on Linux only, and this is {sys.platform}")
        with ExitStack() as resources:
            if os.getuid() == 0:
                end_abandoned()
                self._group, lock = reserve_user()
                resources.callback(os.close, lock)
            self._scratch = resources.enter_context(scratch_folder())
            self._lay_out_files()
            resources.callback(self._stop_forkserver)
            self._start_forkserver()
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def worker(self, limits: Limits | None = None, **config: Any) -> WorkerProcess:
        """Start a worker, which serves requests on ``WorkerProcess.socket``.

        Args:
            limits: of this worker.
            **config: handed to ``inside.worker.serve``; what JSON can hold.

        Raises:
            RuntimeError: the worker before this one has not been left yet.
            SandboxError: workers can't be started any more.
        """
        if self._worker is not None and not self._worker.is_over:
            raise RuntimeError("a sandbox runs one worker at a time")
        limits = limits or self.limits
        for _ in range(2):
            try:
                self._worker = WorkerProcess(self._requests, limits, config)
                return self._worker
            except OSError:  # someone has killed the forkserver
                self._stop_forkserver()
                self._start_forkserver()
        raise SandboxError("the process that starts workers keeps ending")

    def _lay_out_files(self) -> None:
        """Copy what workers may read into the scratch folder, where its group and no other can get at it."""
        files = self._scratch / "files"
        shutil.copytree(HERE / "inside", files / "inside", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(self.folder, files / "submission", ignore=is_no_plain_file)
        for helper in self.helpers:
            shutil.copyfile(helper, files / "inside" / helper.name)
            (files / "submission" / helper.name).unlink(missing_ok=True)
        for path in (files, *files.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if self._group is not None:
            os.chown(self._scratch, 0, self._group)
        self._scratch.chmod(0o750)

    def _start_forkserver(self) -> None:
        self._requests, self._forkserver = (
            spare_forkservers.pop(tuple(self.preload), None) or start_forkserver()
        )
        setup = {
            "scratch": str(self._scratch),
            "data": self.data and str(self.data.resolve()),
            "group": self._group,
            "namespaces": self.namespaces,
            "unsafe": self.unsafe,
            "preload": self.preload,
            "hidden": self.hidden_packages,
            "optional": self.optional_packages,
            "secrets": [str(path) for path in self.secrets],
        }
        self._requests.settimeout(START_UP)
        try:
            self._requests.send(json.dumps(setup).encode())
            answer = json.loads(self._requests.recv(MESSAGE_CAP) or '{"error": "Python ended"}')
        except OSError as error:
            answer = {"error": str(error)}
        if "error" in answer:
            raise SandboxError(f"students' code can't be run on this system: {answer['error']}")
        self.warnings, self.namespaces = answer["warnings"], answer["namespaces"]

    def _stop_forkserver(self) -> None:
        if self._worker is not None:
            self._worker.close()
        if self._forkserver is not None:
            self._requests.close()  # so it ends
            try:
                self._forkserver.wait(GRACE / 5)
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                self._forkserver.kill()
                self._forkserver.wait()


class WorkerProcess:
    """A process with the submission's files; a context manager, after which nothing of it is left.

    Args:
        requests: to the forkserver.
        limits: of the worker.
        config: for the worker.

    Attributes:
        socket: the channel to it.
        user: the number of its user, which no other worker has; None where it can't be changed.
        is_over: whether it has been ended.

    Raises:
        OSError: the forkserver is gone.
    """

    def __init__(self, requests: socket.socket, limits: Limits, config: dict[str, Any]) -> None:
        self.limits = limits
        self.is_over = False
        self._printed = bytearray()
        self._ending: dict[str, Any] | None = None
        self._latest = time.monotonic() + limits.wall + GRACE
        with ExitStack() as on_error, ExitStack() as handed_over:
            self.socket, channel = map(on_error.enter_context, socket.socketpair())
            self._line, line = map(
                on_error.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            )
            reader, writer = os.pipe()
            output = on_error.enter_context(open(reader, "rb", buffering=0))
            handed_over.callback(os.close, writer)
            handed_over.enter_context(channel)
            handed_over.enter_context(line)
            files = [channel.fileno(), writer, line.fileno()]
            self.user = None
            if os.getuid() == 0:
                self.user, lock = reserve_user()  # for as long as the supervisor has the lock
                handed_over.callback(os.close, lock)
                files.append(lock)
            job = {"user": self.user, "limits": asdict(limits), "config": config}
            socket.send_fds(requests, [json.dumps(job).encode()], files)
            on_error.pop_all()
        self._listener = threading.Thread(target=self._listen, args=[output], daemon=True)
        self._listener.start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def output(self) -> str:
        """What it has printed so far, up to the limit."""
        return self._printed.decode(errors="replace")

    def check(self) -> None:
        """Return if all is well.

        Raises:
            WorkerFailure: it has ended, or was ended for exceeding a limit.
        """
        if self._has_ended(0) or time.monotonic() > self._latest:
            raise self.failure()

    def failure(self) -> WorkerFailure:
        """Return why it ended, or has to: call this when it does not answer any more, or not sensibly."""
        if not self._has_ended(GRACE / 5):
            self._ending = {"reason": "wall" if time.monotonic() > self._latest else "garbled"}
        self.close()
        return describe_ending(self._ending or {}, self.limits)

    def close(self) -> None:
        """End it and everything that it has started, and wait until nothing is left of that."""
        if self.is_over:
            return
        self.is_over = True
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        while self._hear(GRACE):
            pass
        self._line.close()
        self.socket.close()
        self._listener.join(GRACE)

    def _has_ended(self, seconds: float) -> bool:
        """Return whether its supervisor has said, or says within some seconds, that it has ended."""
        if self._ending is None:
            message = self._hear(seconds)
            if message is None:
                return False
            self._ending = json.loads(message) if message else {"reason": "sandbox"}
        return True

    def _hear(self, seconds: float) -> bytes | None:
        """Return what its supervisor says within some seconds: None if nothing, b"" if it has hung up."""
        self._line.settimeout(seconds)
        try:
            return self._line.recv(MESSAGE_CAP)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError:
            return b""

    def _listen(self, output: IO[bytes]) -> None:
        """Keep the beginning of what it prints, and drop the rest, so that printing never blocks it."""
        with output:
            while data := output.read(2**16):
                self._printed += data[: self.limits.output - len(self._printed)]


spare_forkservers: dict[tuple[str, ...], tuple[socket.socket, psutil.Process]] = {}
"""Forkservers that have been forked ahead (see ``inside/ancestor.py``), by what they have preloaded."""


def start_forkserver() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a forkserver, and return the channel to it and its process."""
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-sB", "-Xutf8", HERE / "inside" / "forkserver.py", str(theirs.fileno())],
            env=ENVIRONMENT,
            cwd="/",
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the grader, who then stops this one
        )
    return requests, process


next_users = itertools.cycle(random.SystemRandom().sample(USERS, len(USERS)))
"""The order in which users get their turns: what one worker leaves behind is not the next one's."""


def reserve_user() -> tuple[int, int]:
    """Return the number of a user that nobody else on this machine has now, and the lock that says so.

    The lock is an open file. When all processes that have it open have ended or closed it, it is dropped.

    Raises:
        SandboxError: there is none.
    """
    for user in itertools.islice(next_users, len(USERS)):
        lock = lock_user(user)
        if lock is not None:
            return user, lock
    raise SandboxError(f"all of the {len(USERS)} users that students' code can run as are taken")


def lock_user(user: int) -> int | None:
    """Return an open file that is the lock of a user; None if somebody else has it."""
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(LOCKS / str(user), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def end_abandoned() -> None:
    """End the processes and remove the files of workers whose supervisor was killed."""
    left: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["uids"]):
        if process.info["uids"] and process.info["uids"].real in USERS:
            left.setdefault(process.info["uids"].real, []).append(process)
    for folder in filter(os.path.isdir, OPEN_TO_ALL):
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):
                owner = entry.stat(follow_symlinks=False).st_uid
                if owner in USERS:
                    left.setdefault(owner, [])
    for user, processes in left.items():
        lock = lock_user(user)
        if lock is not None:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            remove_files_of(user, OPEN_TO_ALL)
            os.close(lock)


def is_no_plain_file(folder: str, names: list[str]) -> list[str]:
    """Return those of the names in a folder that belong to links, pipes and the like."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [name for name, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))]


def describe_ending(ending: dict[str, Any], limits: Limits) -> WorkerFailure:
    """Return why a worker ended in a sentence for the student, from what its supervisor says."""
    reason, code = ending.get("reason"), ending.get("code")
    if reason == "wall":
        return WorkerFailure("timeout", f"Your code took longer than {limits.wall:.3g} s and was stopped.")
    if reason == "cpu" or (reason == "signal" and code == signal.SIGXCPU):
        return WorkerFailure(
            "timeout", f"Your code computed for longer than {limits.cpu:.3g} s and was stopped."
        )
    if reason == "memory":
        size = f"{limits.memory / MIB:,.0f} MiB"
        return WorkerFailure("memory", f"Your code needed more than {size} of memory and was stopped.")
    if reason == "disk":
        most = f"{limits.disk / MIB:,.0f} MiB, or very many files,"
        return WorkerFailure("disk", f"Your code wrote more than {most} to disk and was stopped.")
    if reason == "processes":
        most = f"{limits.processes} processes and threads"
        return WorkerFailure("processes", f"Your code started more than {most} and was stopped.")
    if reason == "signal" and code == signal.SIGKILL:
        return WorkerFailure(
            "signal", "Your code was stopped by the system, which may have run out of memory."
        )
    if reason == "signal" and isinstance(code, int):
        name = signal.strsignal(code) or f"signal {code}"
        return WorkerFailure("signal", f"Your code crashed Python ({name}).")
    if reason == "exit":
        return WorkerFailure(
            "exit",
            f"Your code ended Python (with exit code {code}), as `sys.exit`, `exit` and `os._exit` do.",
        )
    if reason == "garbled":
        return WorkerFailure("garbled", "Your code broke the connection to the autograder.")
    return WorkerFailure(
        "sandbox", f"The autograder could not run your code here ({code or 'it lost the process'})."
    )
