"""The process that forks the workers; students' code runs in its grandchildren.

    grader ─ forkserver ─ supervisor ─ student

The forkserver has NumPy (and PyTorch) imported and no student's code, so a fresh process costs milliseconds.
For each request it forks a supervisor. The supervisor forks the student's process, which gives up all
privileges (``lockdown.py``), then answers the grader's requests (``worker.py``). Meanwhile the supervisor
watches: it stops what exceeds a limit, and in the end everything that the student's process has started.
Neither forkserver nor supervisor ever runs a student's code, and of root's privileges they keep few, which a
container's root has, too. The forkserver is a process of its own, or was forked by ``ancestor.py``.
"""

from __future__ import annotations

import errno
import gc
import importlib
import importlib.abc
import importlib.machinery
import itertools
import json
import math
import multiprocessing.context
import os
import platform
import random
import resource
import select
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import lockdown
import psutil
import scratch
from lockdown import Setup

TICK = 0.05  # seconds between two looks at what the student's processes use
FILES = 4096  # that it may have, folders included
SOCKET, PIPE = 416 * 1024, 64 * 1024  # bytes that one can hold, which are in no process's memory
PRIVILEGES = (
    lockdown.CAP_CHOWN,
    lockdown.CAP_DAC_OVERRIDE,
    lockdown.CAP_FOWNER,
    lockdown.CAP_SETGID,
    lockdown.CAP_SETUID,
)


class NotAvailable(ModuleType):
    """Stands for a package, or for what is in it: it can be imported and called, and nothing comes of it.

    So an import that nothing graded needs does no harm; what would compute with it gets no numbers.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and NumPy ask for these
            raise AttributeError(name)
        return NotAvailable(f"{self.__name__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorate a function as if by nothing, and else return another dummy."""
        return args[0] if len(args) == 1 and callable(args[0]) else NotAvailable(f"{self.__name__}()")

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return ()

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __or__(self, other: Any) -> Any:  # in annotations
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<{self.__name__}, which is not available here>"


class DummyPackages(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds dummies for some packages."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find one of the packages or a module in it, and leave every other to the next finder."""
        if name.partition(".")[0] in self.names:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        """Make the dummy."""
        return NotAvailable(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it is ready."""


def serve(requests: socket.socket) -> None:
    """Be the forkserver: get ready, tell the grader so, then fork a worker for each request."""
    try:
        forkserver = Forkserver(Setup(**json.loads(requests.recv(2**16))))
    except Exception as error:
        requests.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    answer = {"warnings": forkserver.warnings, "namespaces": forkserver.setup.namespaces}
    requests.send(json.dumps(answer).encode())
    signal.signal(signal.SIGCHLD, bury)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 2**16, 4)
        if not message:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with suppress(ChildProcessError):
                while os.waitpid(-1, 0):
                    pass
            return
        if forkserver.fork_supervisor() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            Supervisor(forkserver.setup, json.loads(message), *descriptors[:3]).run()
        for descriptor in descriptors:
            os.close(descriptor)


def bury(*_: Any) -> None:
    """Bury the supervisors that have ended, so that what was computed in them counts as this process's."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def import_all(names: Iterable[str], home: str) -> None:
    """Import modules, and have all processes that are forked afterwards share the memory that they take.

    Args:
        names: of the modules.
        home: folder that they may write to.
    """
    os.environ.update(HOME=home, MPLCONFIGDIR=home, TMPDIR=home)
    tempfile.tempdir = None  # it is to look again
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the garbage collector writes to every object that it looks at, which would copy its page


def let_multiprocessing_fork() -> None:
    """Have multiprocessing fork, also where it is asked to start new Pythons, which is refused here."""
    contexts: Any = multiprocessing.context
    fork = contexts._concrete_contexts["fork"]
    contexts._concrete_contexts.update(spawn=fork, forkserver=fork)
    contexts._default_context._default_context = fork


class Forkserver:
    """The state that each worker starts from.

    Args:
        setup: of the sandbox.

    Attributes:
        warnings: what this system could not provide, for course staff.
        setup: of the sandbox, with whether namespaces are used.

    Raises:
        ImportError: a module to preload can't be imported.
        PermissionError: the student's user can't read this Python or the data, or could do too much.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.warnings: list[str] = []
        os.umask(0o022)
        sys.path[0] = f"{setup.files}/inside"  # this folder as students' code can see it
        import_all(["worker", *setup.preload], setup.scratch)
        let_multiprocessing_fork()
        self._require_safety()
        if setup.group is not None:
            with suppress(OSError):  # then what can't be reached is an error below
                lockdown.make_reachable(setup)
        self.setup = replace(setup, namespaces=setup.namespaces and self._enter_namespaces())
        if setup.group is not None:
            more = [lockdown.CAP_SYS_ADMIN] if self.setup.namespaces else []
            lockdown.keep_capabilities(*PRIVILEGES, *more)
        sys.meta_path.insert(0, DummyPackages(setup.hidden))
        sys.meta_path.append(DummyPackages(setup.optional))  # found only where there is no other
        lockdown.prctl(lockdown.PR_SET_DUMPABLE, 0)  # no process of the same user may look into this one
        lockdown.prctl(lockdown.PR_SET_CHILD_SUBREAPER, 1)
        self._check_files()

    def fork_supervisor(self) -> int:
        """Fork, and return 0 in the new process.

        Where there are namespaces that process is the first of a new one: when it ends, all in it end.
        """
        process = os.fork()
        if process == 0 and self.setup.namespaces:
            lockdown.call("unshare", lockdown.CLONE_NEWPID)  # for the processes that this one forks
            if os.fork():
                os._exit(0)
            lockdown.see_own_processes()
        return process

    def _enter_namespaces(self) -> bool:
        """Enter namespaces if that is possible, which a child finds out, and return whether it is."""

        def attempt() -> str:
            lockdown.enter_namespaces(self.setup)
            lockdown.call("unshare", lockdown.CLONE_NEWPID)
            return in_fork(lockdown.see_own_processes)

        try:
            in_fork(attempt)
        except OSError:
            return False
        lockdown.enter_namespaces(self.setup)
        return True

    def _require_safety(self) -> None:
        """Refuse to go on where students' code could do too much, or warn of that where it is wanted."""
        lacking = []
        if not lockdown.landlock_version():
            lacking.append(
                "no Landlock (Linux has it since 5.13, unless it is switched off), so it could read and write"
                " whatever its user can, hidden packages and other submissions included"
            )
        if platform.machine() not in lockdown.ARCHITECTURES:
            lacking.append(
                f"no filter of system calls for {platform.machine()}, so it could start programs and open"
                " connections"
            )
        if lacking and not self.setup.unsafe:
            raise PermissionError(
                f"it would not be safe. There is {'; and '.join(lacking)}. --unsafe runs it all the same"
            )
        self.warnings += [f"Students' code was run unsafely: there is {what}." for what in lacking]
        if self.setup.group is None:
            self.warnings.append(
                "The autograder does not run as root: students' code runs as its own user,"
                f" {os.getuid()}. That is right for code of your own, and for no other."
            )

    def _check_files(self) -> None:
        """Make sure that students' code can read what it needs, and warn of what else it can."""
        data = [self.setup.data] if self.setup.data else []
        needed = [os.__file__, *self.setup.python_folders, self.setup.files, *data]
        readable = json.loads(in_fork(lambda: self._readable([*needed, *self.setup.secrets])))
        for path in needed:
            if path not in readable:
                raise PermissionError(
                    f"they run as another user, who can't read {path}; neither Python nor the data nor"
                    " $TMPDIR may lie in a private folder"
                )
        for path in self.setup.secrets:
            if path in readable:
                self.warnings.append(f"Students' code can read {path}; close it to others (chmod go-rwx).")

    def _readable(self, paths: list[str]) -> str:
        """Return, as JSON, in which of the paths a student's process can read something, being one itself."""
        lockdown.lock_up(self.setup, self.setup.group, [])
        return json.dumps([path for path in paths if is_readable(path)])


def is_readable(path: str) -> bool:
    """Return whether there is anything to read in a file or a folder."""
    try:
        return bool(os.listdir(path) if os.path.isdir(path) else Path(path).read_bytes())
    except OSError:
        return False


def in_fork(function: Callable[[], str | None]) -> str:
    """Return what a function returns in a process of its own; what it raises there is an OSError here."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            answer = {"text": function()}
        except BaseException as error:
            answer = {"error": str(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        answer = json.loads(file.read() or '{"error": "a process was killed"}')
    os.waitpid(process, 0)
    if "error" in answer:
        raise OSError(answer["error"])
    return answer["text"] or ""


def count_threads(user: int) -> int:
    """Return how many threads a user has."""
    total = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            total += process.num_threads() if process.uids().real == user else 0
    return total


def threads_of(process: int) -> list[str]:
    """Return the folders in ``/proc`` of a process's threads, the latest last; none if it has ended.

    The first may have ended before the others, and then its own folder shows nothing.
    """
    try:
        return [f"/proc/{process}/task/{thread}" for thread in os.listdir(f"/proc/{process}/task")]
    except OSError:
        return []


def resident_size(thread: str) -> int:
    """Return how many bytes a process has in memory, shared ones included."""
    return int(Path(thread, "statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


def proportional_size(thread: str) -> int:
    """Return the same with of each shared page that part which is this process's share."""
    lines = Path(thread, "smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def look_at_open_files(processes: list[list[str]]) -> tuple[int, dict[tuple[int, int], int]]:
    """Return how many bytes sockets and pipes can hold, and the sizes of open files that are in no folder.

    Args:
        processes: the threads of each; see ``threads_of``.

    Returns:
        The sizes are by device and inode: each counts once, whoever has it open.
    """
    held: dict[int, int] = {}
    opened: dict[tuple[int, int], int] = {}
    for thread in itertools.chain.from_iterable(processes):
        with suppress(OSError):
            for number in os.listdir(f"{thread}/fd"):
                with suppress(FileNotFoundError):
                    status = os.stat(f"{thread}/fd/{number}")
                    if stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
                        held[status.st_ino] = SOCKET if stat.S_ISSOCK(status.st_mode) else PIPE
                    elif stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        opened[status.st_dev, status.st_ino] = 512 * status.st_blocks
    return sum(held.values()), opened


def seed_generators() -> None:
    """Seed the global random generators, so that code that forgets to gets the same grade each time."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


class Supervisor:
    """Starts a student's process, watches it, and leaves nothing of it behind.

    Args:
        setup: of the sandbox.
        job: "user", the number of the student's user, None if we can't change user; "limits", the fields of
            the grader's ``Limits``; "config", for ``worker.serve``.
        channel: the student's end of the channel.
        output: where what it prints goes.
        line: the supervisor's own to the grader, who hangs up when the worker is to end. The supervisor says
            on it why the worker ended, and hangs up when nothing is left of it.
    """

    def __init__(self, setup: Setup, job: dict[str, Any], channel: int, output: int, line: int) -> None:
        self.setup, self.user = setup, job["user"]
        self.limits, self.config = job["limits"], job["config"]
        self.channel, self.output, self.line = channel, output, line
        self.started = time.monotonic()
        self.folder = tempfile.mkdtemp(prefix="work-", dir=setup.scratch)

    def run(self) -> NoReturn:
        """Do all of it, and end."""
        try:
            try:
                # Processes whose parents have ended become children of this one.
                lockdown.prctl(lockdown.PR_SET_CHILD_SUBREAPER, 1)
                self._prepare_folder()
                student = os.fork()
                if student == 0:
                    self._run_student()
                os.close(self.channel)
                os.close(self.output)
                ending = self._watch(student)
            except Exception as error:
                ending = {"reason": "sandbox", "code": f"{type(error).__name__}: {error}"}
            self._end_everything()
            os.write(self.line, json.dumps(ending).encode())
            self._remove_files()
        finally:
            os._exit(0)

    def _prepare_folder(self) -> None:
        if self.setup.data:
            os.symlink(self.setup.data, f"{self.folder}/data")
        if self.setup.group is not None:
            os.chown(self.folder, self.user, self.setup.group)

    def _watch(self, student: int) -> dict[str, Any]:
        """Wait until the student's process has ended or has to, and return why."""
        while True:
            if select.select([self.line], [], [], TICK)[0]:
                return {"reason": "closed"}
            process = -1
            while process:
                process, status = os.waitpid(-1, os.WNOHANG)
                if process == student:
                    code = os.waitstatus_to_exitcode(status)
                    return {"reason": "exit" if code >= 0 else "signal", "code": abs(code)}
            excess = self._excess()
            if excess:
                return {"reason": excess}

    def _excess(self) -> str | None:
        """Return the limit that all of the student's processes together exceed, if any."""
        processes = psutil.Process().children(recursive=True)
        buried = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = buried.ru_utime + buried.ru_stime
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                cpu += sum(process.cpu_times()[:4])  # its own and its buried workers'
        if time.monotonic() - self.started > self.limits["wall"]:
            return "wall"
        if cpu > self.limits["cpu"]:
            return "cpu"
        if len(processes) > self.limits["processes"]:
            return "processes"
        threads = [threads for process in processes if (threads := threads_of(process.pid))]
        with lockdown.seeing_as(self.user, self.setup.group):
            held, opened = look_at_open_files(threads)
            if self._memory(threads, held) > self.limits["memory"]:
                return "memory"
        if self._written(opened) > self.limits["disk"]:
            return "disk"
        return None

    def _memory(self, threads: list[list[str]], held: int) -> float:
        """Return how many bytes the processes use, without those that every fork of the forkserver shares.

        Args:
            threads: of each process; see ``threads_of``.
            held: bytes in sockets and pipes.
        """

        def added(size: Callable[[str], int]) -> list[int]:
            shared, sizes = size("/proc/self"), []
            for *_, latest in threads:
                with suppress(FileNotFoundError, ProcessLookupError):
                    sizes.append(max(0, size(latest) - shared))
            return sizes

        own = added(resident_size)
        if held + sum(own) <= self.limits["memory"]:
            return held + sum(own)
        try:  # pages that they share were counted several times: look closely
            return held + sum(added(proportional_size))
        except PermissionError:  # this system does not say what they share: what can't be told does not count
            return held + max(own, default=0)

    def _written(self, opened: dict[tuple[int, int], int]) -> float:
        """Return how many bytes the student's files have, infinitely many if there are too many files.

        Args:
            opened: the sizes of those that are open and in no folder any more, by device and inode.
        """
        sizes = dict(opened)
        folders = [self.folder] if self.user is None else [self.folder, lockdown.SHARED_MEMORY]
        for folder in folders:
            try:
                for entry in os.scandir(folder):
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if self.user in (None, status.st_uid):
                            sizes[status.st_dev, status.st_ino] = 512 * status.st_blocks
                            if entry.is_dir(follow_symlinks=False):
                                folders.append(entry.path)
                    if len(sizes) > FILES:
                        return math.inf
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:  # a folder in a folder in a folder, and so on
                    return math.inf
        return sum(sizes.values())

    def _end_everything(self) -> None:
        """Kill the student's processes until none is left, whatever they do."""
        while True:
            if self.user is not None:
                in_fork(lambda: lockdown.kill_all_of(self.user))
            else:
                self._kill_one_by_one()
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(TICK / 10)

    def _kill_one_by_one(self) -> None:
        """Stop the processes; once none is left that could fork, kill them."""
        processes = psutil.Process().children(recursive=True)
        with suppress(psutil.NoSuchProcess):
            still = all(
                process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE) for process in processes
            )
            for process in processes:
                process.send_signal(signal.SIGKILL if still else signal.SIGSTOP)

    def _remove_files(self) -> None:
        """Remove what the worker has written."""
        scratch.remove_tree(Path(self.folder))
        if self.user is not None:
            scratch.remove_files_of(self.user, lockdown.OPEN_TO_ALL)

    def _run_student(self) -> NoReturn:
        """Give up all privileges, then answer the grader's requests until it hangs up."""
        code = 1
        try:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(self.output, 1)
            os.dup2(self.output, 2)
            os.closerange(3, self.channel)
            os.closerange(self.channel + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            for descriptor, name in ((1, "stdout"), (2, "stderr")):
                stream = open(descriptor, "w", encoding="utf-8", buffering=1, errors="backslashreplace")  # noqa: SIM115
                # Under both names, as ever: who wraps sys.stdout.buffer would close it with the only one.
                setattr(sys, name, stream)
                setattr(sys, f"__{name}__", stream)
            with suppress(OSError):  # should memory run out, this ends first
                Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
            self._set_limits()
            lockdown.lock_up(self.setup, self.user, [self.folder, lockdown.SHARED_MEMORY])
            os.environ.update(HOME=self.folder, TMPDIR=self.folder, MPLCONFIGDIR=self.folder)
            tempfile.tempdir = self.folder  # preloaded modules may have chosen another one already
            os.chdir(self.folder)
            seed_generators()
            shutil.copytree(
                f"{self.setup.files}/submission", ".", copy_function=shutil.copyfile, dirs_exist_ok=True
            )
            import worker

            worker.serve(socket.socket(fileno=self.channel), self.config)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code & 0xFF)  # whatever students' code has left to run at the end does not run

    def _set_limits(self) -> None:
        """Limit each of the student's processes; the watch limits them together."""
        pages = [int(word) for word in Path("/proc/self/statm").read_text(encoding="utf-8").split()]
        address_space, data = pages[0] * resource.getpagesize(), pages[5] * resource.getpagesize()
        stacks = 2**30  # addresses that threads reserve and don't use
        limits = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: math.ceil(self.limits["cpu"]) + 1,  # the watch comes first
            resource.RLIMIT_DATA: data + self.limits["memory"],
            resource.RLIMIT_AS: address_space + self.limits["memory"] + stacks,
            resource.RLIMIT_FSIZE: self.limits["file_size"],
            resource.RLIMIT_NOFILE: self.limits["open_files"],
            resource.RLIMIT_MSGQUEUE: 0,
        }
        if self.user is not None:
            limits[resource.RLIMIT_NPROC] = self.limits["processes"]
        elif not self.setup.namespaces:
            limits[resource.RLIMIT_NPROC] = self.limits["processes"] + count_threads(os.getuid())
        for limit, value in limits.items():
            hard = resource.getrlimit(limit)[1]
            lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (lowest, lowest))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv.pop())))
    os._exit(0)  # tidying up takes time
