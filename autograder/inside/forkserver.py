"""The process that forks the workers; students' code runs in its grandchildren.

    grader ─ forkserver ─ supervisor ─ student

The forkserver has NumPy (and PyTorch) imported and no student's code, so a fresh process costs milliseconds.
For each request it forks a supervisor. The supervisor forks the student's process, which gives up all
privileges (``lockdown.py``), then answers the grader's requests (``worker.py``). Meanwhile the supervisor
watches: it stops what exceeds a limit, and in the end everything that the student's process has started.
Neither forkserver nor supervisor ever runs a student's code. The forkserver is a process of its own, or was
forked by ``ancestor.py``.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
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
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import lockdown
import psutil
from lockdown import Setup

TICK = 0.05  # seconds between two looks at what the student's processes use


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
    requests.send(json.dumps({"warnings": forkserver.warnings}).encode())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries supervisors
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 2**16, 3)
        if not message:
            return
        if forkserver.fork_supervisor() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            Supervisor(forkserver.setup, forkserver.namespaces, json.loads(message), *descriptors).run()
        for descriptor in descriptors:
            os.close(descriptor)


def import_all(names: Iterable[str], home: str) -> None:
    """Import modules, and have all processes that are forked afterwards share the memory that they take.

    Args:
        names: of the modules.
        home: folder that they may write to.
    """
    os.environ.update(HOME=home, MPLCONFIGDIR=home)
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
        namespaces: whether it could provide namespaces.

    Raises:
        ImportError: a module to preload can't be imported.
        PermissionError: the student's user can't read this Python or the data.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.warnings: list[str] = []
        os.umask(0o022)
        sys.path[0] = f"{setup.files}/inside"  # this folder as students' code can see it
        import_all(["worker", *setup.preload], setup.scratch)
        let_multiprocessing_fork()
        try:
            in_fork(self._try_namespaces)
        except OSError as error:
            self.namespaces = False
            refused = str(error)
        else:
            self.namespaces = True
            lockdown.enter_namespaces(setup)
            self.setup = lockdown.enter_root(setup)
            refused = ""
        sys.meta_path.insert(0, DummyPackages(setup.hidden))
        sys.meta_path.append(DummyPackages(setup.optional))  # found only where there is no other
        lockdown.prctl(lockdown.PR_SET_DUMPABLE, 0)  # no process of the same user may look into this one
        lockdown.prctl(lockdown.PR_SET_CHILD_SUBREAPER, 1)
        self._warn(refused)

    def fork_supervisor(self) -> int:
        """Fork, and return 0 in the new process.

        Where there are namespaces that process is the first of a new one: when it ends, all in it end.
        """
        process = os.fork()
        if process == 0 and self.namespaces:
            lockdown.call("unshare", lockdown.CLONE_NEWPID)  # for the processes that this one forks
            if os.fork():
                os._exit(0)
        return process

    def _try_namespaces(self) -> str:
        lockdown.enter_namespaces(self.setup)
        setup = lockdown.enter_root(self.setup)
        lockdown.call("unshare", lockdown.CLONE_NEWPID)
        return in_fork(lambda: lockdown.mount_private_folders(setup, 2**20))

    def _warn(self, refused: str) -> None:
        """Say what students' code is not kept from.

        Args:
            refused: why there are no namespaces; empty if there are.
        """
        user = self.setup.user or os.getuid()
        if not self.setup.user:
            self.warnings.append(
                f"The autograder does not run as root: students' code runs as its own user, {user}."
            )
        if refused:
            others = (
                "Landlock keeps all other files from it"
                if lockdown.landlock_version()
                else f"there is no Landlock either, so it can read whatever user {user} can"
            )
            self.warnings.append(
                f"There are no namespaces here ({refused}): students' code can see which processes run, and"
                f" what it writes to disk is limited per file only; {others}."
            )
        if platform.machine() not in lockdown.ARCHITECTURES:
            self.warnings.append(
                f"System calls are not filtered on {platform.machine()}: students' code can start programs"
                " and, unless the network is closed, open connections."
            )
        data = [self.setup.data] if self.setup.data else []
        needed = [os.__file__, *self.setup.python_folders, *data]
        readable = json.loads(in_fork(lambda: self._readable([*needed, *self.setup.secrets])))
        for path in needed:
            if path not in readable:
                raise PermissionError(
                    f"students' code runs as user {user}, who can't read {path}; neither Python nor the data"
                    " may lie in a private folder"
                )
        for path in self.setup.secrets:
            if path in readable:
                self.warnings.append(f"Students' code can read {path}; close it to others (chmod go-rwx).")

    def _readable(self, paths: list[str]) -> str:
        """Return, as JSON, in which of the paths a student's process can read something, being one itself."""
        lockdown.lock_up(self.setup, self.namespaces)
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


def kill_all_of(user: int) -> None:
    """Kill all processes of a user."""

    def kill() -> None:
        lockdown.become(user)
        lockdown.kill_all()

    in_fork(kill)


def count_threads(user: int) -> int:
    """Return how many threads a user has."""
    total = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            total += process.num_threads() if process.uids().real == user else 0
    return total


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
        namespaces: whether there are any.
        job: "limits", the fields of the grader's ``Limits``, and "config", for ``worker.serve``.
        channel: the student's end of the channel.
        output: where what it prints goes.
        line: the supervisor's own to the grader, who hangs up when the worker is to end. The supervisor says
            on it why the worker ended, and hangs up when nothing is left of it.
    """

    def __init__(
        self, setup: Setup, namespaces: bool, job: dict[str, Any], channel: int, output: int, line: int
    ) -> None:
        self.setup, self.namespaces = setup, namespaces
        self.limits, self.config = job["limits"], job["config"]
        self.channel, self.output, self.line = channel, output, line
        self.started = time.monotonic()

    def run(self) -> NoReturn:
        """Do all of it, and end."""
        try:
            try:
                # Processes whose parents have ended become children of this one.
                lockdown.prctl(lockdown.PR_SET_CHILD_SUBREAPER, 1)
                self._end_everything()  # that a supervisor before this one has left, if it was killed
                self._remove_files()
                self._prepare_folders()
                student = os.fork()
                if student == 0:
                    self._run_student()
                os.close(self.channel)
                os.close(self.output)
                ending = self._watch(student)
            except Exception as error:
                ending = {"reason": "sandbox", "code": f"{type(error).__name__}: {error}"}
            self._end_everything()
            self._remove_files()
            os.write(self.line, json.dumps(ending).encode())
        finally:
            os._exit(0)

    def _prepare_folders(self) -> None:
        if self.namespaces:
            lockdown.mount_private_folders(self.setup, self.limits["disk"])
        else:
            os.mkdir(self.setup.work)
        if self.setup.user:
            os.chown(self.setup.work, self.setup.user, self.setup.user)
        if self.setup.data:
            os.symlink(self.setup.data, f"{self.setup.work}/data")

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
        supervisor = psutil.Process()
        processes = supervisor.children(recursive=True)
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
        if self._memory(supervisor, processes) > self.limits["memory"]:
            return "memory"
        return None

    def _memory(self, supervisor: psutil.Process, processes: list[psutil.Process]) -> int:
        """Return how many bytes the processes use, without those that every fork of the forkserver shares."""

        def added(size: Callable[[psutil.Process], int]) -> int:
            shared, total = size(supervisor), 0
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    total += max(0, size(process) - shared)
            return total

        total = added(lambda process: process.memory_info().rss)
        if total > self.limits["memory"]:  # pages that they share were counted several times: look closely
            with suppress(psutil.AccessDenied):
                total = added(lambda process: process.memory_full_info().pss)
        return total

    def _end_everything(self) -> None:
        """Kill the student's processes until none is left, whatever they do."""
        while True:
            if self.namespaces:
                lockdown.kill_all()
            elif self.setup.user:
                kill_all_of(self.setup.user)
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
        """Remove what the worker has written, where it was not in folders that end with the namespace."""
        if self.namespaces:
            return
        for folder, names, _ in os.walk(self.setup.work):
            for path in (os.path.join(folder, name) for name in names):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(self.setup.work, ignore_errors=not os.path.exists(self.setup.work))
        for folder in lockdown.TEMPORARY_FOLDERS if self.setup.user else ():
            for entry in os.scandir(folder):
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_uid != self.setup.user:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        os.unlink(entry.path)

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
            lockdown.lock_up(self.setup, self.namespaces)
            os.environ.update(HOME=self.setup.work, TMPDIR=self.setup.work, MPLCONFIGDIR=self.setup.work)
            tempfile.tempdir = self.setup.work  # preloaded modules may have chosen another one already
            os.chdir(self.setup.work)
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
        if self.setup.user:
            limits[resource.RLIMIT_NPROC] = self.limits["processes"]
        elif not self.namespaces:
            limits[resource.RLIMIT_NPROC] = self.limits["processes"] + count_threads(os.getuid())
        for limit, value in limits.items():
            hard = resource.getrlimit(limit)[1]
            lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (lowest, lowest))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv.pop())))
