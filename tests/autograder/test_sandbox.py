"""What a worker can and cannot do: as in a container, with namespaces added, and as an ordinary user."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from autograder import sandbox as sandbox_module
from autograder.inside import lockdown, scratch
from autograder.remote import Session, SubmissionError
from autograder.sandbox import USERS, Limits, Sandbox, SandboxError, WorkerFailure, reserve_user

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
PLAYGROUND = """
def run(code):
    names = {}
    exec(code, names)
    return names.get("result")
"""
SECRET = "canary-" + os.urandom(8).hex()


@pytest.fixture(scope="module")
def folders():
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o711)
        submission, data = base / "submission", base / "data"
        submission.mkdir()
        (submission / "play.py").write_text(PLAYGROUND, encoding="utf-8")
        (submission / "probe.py").write_text(
            "raise ImportError('this is the submission's own')", encoding="utf-8"
        )
        (submission / "link").symlink_to("/etc/hostname")
        data.mkdir()
        (data / "numbers.txt").write_text("1 2 3", encoding="utf-8")
        (base / "probe.py").write_text("helps = True", encoding="utf-8")
        (base / "secret.txt").write_text(SECRET, encoding="utf-8")
        yield base


def make(folders, **options):
    options = {
        "hidden_packages": ["matplotlib"],
        "data": folders / "data",
        "helpers": [folders / "probe.py"],
        "secrets": [folders / "secret.txt"],
        **options,
    }
    return Sandbox(folders / "submission", **options)


@pytest.fixture(scope="module", params=["as in a container", "with namespaces"])
def sandbox(folders, request):
    """A sandbox without namespaces, which has no more privileges than one in a container, and one with."""
    os.environ["AUTOGRADER_TEST_SECRET"] = SECRET
    with make(folders, namespaces=request.param == "with namespaces") as sandbox:
        if request.param == "with namespaces" and not sandbox.namespaces:
            pytest.skip("this system has no namespaces for us")
        yield sandbox
    del os.environ["AUTOGRADER_TEST_SECRET"]


class Run:
    """What came of some code that a worker ran: the result, or the failure."""

    def __init__(self, sandbox, code, limits=None):
        self.result = self.failure = None
        with sandbox.worker(limits, modules=["play"], stand_ins=[]) as self.worker:
            session = Session(self.worker)
            try:
                play = session.request("module", "play")
                self.result = play.run(textwrap.dedent(code))
            except WorkerFailure as failure:
                self.failure = failure
        self.reason = self.failure and self.failure.reason
        self.output = self.worker.output


def attempt(sandbox, code, error=Exception, limits=None):
    """Return how an expression fails in a worker."""
    with pytest.raises(SubmissionError) as caught:
        print("it was possible:", Run(sandbox, code, limits).result)
    assert isinstance(caught.value, error), caught.value
    return str(caught.value)


def left_behind(user):
    """Return the processes and files of one of the students' users."""
    processes = [process for process in psutil.process_iter() if is_of(user, process)]
    files = [
        entry.path
        for folder in filter(os.path.isdir, lockdown.OPEN_TO_ALL)
        for entry in os.scandir(folder)
        if entry.stat(follow_symlinks=False).st_uid == user
    ]
    return processes, files


def is_of(user, process):
    with suppress(psutil.NoSuchProcess):
        return process.uids().real == user and process.status() != psutil.STATUS_ZOMBIE
    return False


def supervisors(sandbox):
    """Return the processes that the forkserver has forked and that are still there, the latest last."""
    return sorted(psutil.Process(sandbox._forkserver.pid).children(), key=psutil.Process.create_time)


# What a worker sees.


def test_warnings_say_what_this_system_lacks(sandbox):
    assert len(sandbox.warnings) == bool(os.getuid()), sandbox.warnings
    assert all("not run as root" in warning for warning in sandbox.warnings)


def test_the_processes_around_it_have_no_more_privileges_than_a_container_s_root(sandbox):
    if os.getuid():
        pytest.skip("an ordinary user has none")
    fields = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{sandbox._forkserver.pid}/status").read_text(encoding="utf-8").splitlines()
    )
    container = 0xA80425FB  # what Docker and runc give
    more = 1 << lockdown.CAP_SYS_ADMIN if sandbox.namespaces else 0
    assert int(fields["CapPrm"], 16) & ~(container | more) == 0


def test_the_worker_is_another_user_without_privileges(sandbox):
    status = Run(sandbox, "result = open('/proc/self/status').read()").result
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["CapEff"].split() == fields["CapPrm"].split() == ["0" * 16]
    assert fields["NoNewPrivs"].split() == ["1"]
    assert fields["Seccomp"].split() == ["2"]
    users = set(fields["Uid"].split() + fields["Gid"].split() + fields["Groups"].split())
    if os.getuid() == 0:
        assert {int(user) for user in users} <= set(USERS)
        assert len(set(fields["Uid"].split())) == len(set(fields["Gid"].split())) == 1
        assert fields["Groups"].split() == []
    else:
        assert users == {str(os.getuid()), str(os.getgid())}


def test_the_grader_s_secrets_are_out_of_sight(sandbox, folders):
    secret = Run(sandbox, "import os; result = str(dict(os.environ))").result
    assert SECRET not in secret
    for path in (folders / "secret.txt", ROOT / "tests" / "test_q1.py", ROOT / "q1.py", "/etc/hostname"):
        attempt(sandbox, f"result = open({str(path)!r}).read()", OSError)
    attempt(sandbox, f"import os; result = os.listdir({str(folders / 'submission')!r})", OSError)
    attempt(sandbox, "import os; result = os.listdir('/root')[0]; open('/root/' + result)")
    attempt(sandbox, f"result = open('/proc/{os.getpid()}/environ').read()", OSError)
    attempt(sandbox, "import autograder.grading", ImportError)


def test_no_file_descriptors_of_the_grader_are_left(sandbox):
    code = """
        import os, stat
        kinds = []
        for name in os.listdir("/proc/self/fd"):
            try:
                kinds.append((int(name), stat.S_IFMT(os.fstat(int(name)).st_mode)))
            except OSError:
                pass  # the one that listed the folder
        result = kinds
    """
    kinds = dict(Run(sandbox, code).result)
    assert sorted(kinds)[:3] == [0, 1, 2]
    assert len(kinds) == 4, kinds


def test_hidden_packages_cannot_be_imported_by_any_trick(sandbox):
    used = "import matplotlib.pyplot as plt; result = type(plt.plot([1])).__name__"
    assert Run(sandbox, used).result == "NotAvailable"
    attempt(sandbox, "import sys; sys.meta_path.pop(0); import matplotlib.pyplot; result = 1", Exception)
    import matplotlib

    attempt(sandbox, f"result = open({matplotlib.__file__!r}).read()", PermissionError)
    assert Run(sandbox, "import threadpoolctl; result = 1").result == 1


def test_data_and_helpers_are_there(sandbox):
    code = "import probe; result = (open('./data/numbers.txt').read(), probe.helps)"
    assert Run(sandbox, code).result == ("1 2 3", True)
    attempt(sandbox, "open('data/numbers.txt', 'w')", OSError)
    attempt(sandbox, "import worker; open(worker.__file__, 'a')", OSError)


LINKED = """
import sys
from pathlib import Path
from autograder.remote import Session
from autograder.sandbox import Sandbox

with Sandbox(Path(sys.argv[1]), namespaces=False) as sandbox, sandbox.worker(modules=["play"]) as worker:
    print(Session(worker).request("module", "play").run("import numpy; result = numpy.arange(3).sum()"))
"""


def test_an_environment_behind_a_link(folders):
    """Whoever reaches Python by a link is locked in as well as others."""
    (folders / "environment").symlink_to(sys.prefix)
    done = subprocess.run(
        [folders / "environment" / "bin" / "python", "-c", LINKED, folders / "submission"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")


def test_each_worker_starts_in_a_fresh_copy(sandbox):
    code = """
        import os, tempfile
        open("play.py", "a").write("x = 1")
        os.mkdir("closed"); os.chmod("closed", 0)
        tempfile.mkstemp()
        result = sorted(os.listdir("."))
    """
    assert {"play.py", "closed", "data"} < set(Run(sandbox, code).result)
    again = Run(sandbox, "import os; result = (sorted(os.listdir('.')), open('play.py').read())").result
    assert again == (["data", "play.py"], PLAYGROUND)


def test_there_is_no_way_out(sandbox):
    attempt(sandbox, "import subprocess; subprocess.run(['true'])", PermissionError)
    attempt(sandbox, "import os; os.execv('/bin/true', ['true'])", PermissionError)
    for kind in (
        "AF_INET",
        "AF_INET6",
        "AF_NETLINK",
        "AF_PACKET",
        "AF_UNIX, socket.SOCK_DGRAM",
        "AF_UNIX, socket.SOCK_SEQPACKET",
    ):
        attempt(sandbox, f"import socket; socket.socket(socket.{kind})", PermissionError)
    attempt(sandbox, "import socket; socket.socketpair(type=socket.SOCK_DGRAM)", PermissionError)
    attempt(sandbox, "import socket; s = socket.socket(1); s.bind('s'); s.listen(5000)", PermissionError)
    attempt(sandbox, "import os; os.setuid(0) or open('/root/x', 'w')", OSError)
    for call, *arguments in (
        ("ptrace", 16, 1, 0, 0),
        ("unshare", 0x10000000),
        ("mount", None, None, None, 0, None),
        ("chroot", b"/"),
        ("syscall", 425, 1, None),
        ("syscall", 321, 0, None, 0),
        ("shmget", 0, 4096, 0o1600),
        ("prctl", lockdown.PR_SET_DUMPABLE, 0, 0, 0, 0),
        ("inotify_init1", 0),
        ("fanotify_init", 0, 0),
    ):
        code = f"""
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            result = libc.{call}(*{arguments!r}), ctypes.get_errno()
        """
        assert Run(sandbox, code).result == (-1, 1), call


def test_processes_and_sockets_of_its_own_work(sandbox):
    code = """
        import multiprocessing, socket
        with multiprocessing.Pool(2) as pool:
            squares = pool.map(abs, [-1, 2, -3])
        a, b = socket.socketpair()
        a.send(b"hello")
        result = squares, b.recv(5).decode()
    """
    assert Run(sandbox, code).result == ([1, 2, 3], "hello")


def test_processes_are_forked_whatever_multiprocessing_is_told(sandbox):
    """A new Python can't be started, as spawn and forkserver do, which is the default of Python 3.14."""
    code = """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        result = [multiprocessing.get_start_method()]
        multiprocessing.set_start_method("spawn", force=True)
        for context in (None, *map(multiprocessing.get_context, ("spawn", "forkserver"))):
            queue = (context or multiprocessing).Queue()
            process = (context or multiprocessing).Process(target=queue.put, args=(3,))
            process.start()
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                result.append((queue.get(), list(pool.map(abs, [-1]))))
            process.join()
    """
    assert Run(sandbox, code).result == ["fork", *[(3, [1])] * 3]


@pytest.mark.parametrize("wrap", ["io.TextIOWrapper", "codecs.getwriter('utf-8')"])
def test_standard_output_can_be_wrapped_anew(sandbox, wrap):
    code = f"""
        import codecs, gc, io, sys
        for name in ("stdout", "stderr"):
            setattr(sys, name, {wrap}(getattr(sys, name).buffer))
            gc.collect()
            print("naïve", name, file=getattr(sys, name), flush=True)
        result = "done"
    """
    run = Run(sandbox, code)
    assert run.result == "done"
    assert "naïve stdout" in run.worker.output


def test_warnings_about_libraries_are_not_shown(sandbox):
    code = """
        import os, warnings
        for number, filename in enumerate([os.path.abspath("play.py"), warnings.__file__]):
            warnings.warn_explicit(f"number {number}", UserWarning, filename, 1)
    """
    output = Run(sandbox, code).worker.output
    assert "number 0" in output
    assert "number 1" not in output


def test_random_numbers_are_the_same_in_each_worker(sandbox):
    code = "import random, numpy; result = (random.random(), float(numpy.random.rand()), hash('x'))"
    assert Run(sandbox, code).result == Run(sandbox, code).result


# Limits.

FOREVER = "while True: pass"


def test_wall_time(sandbox):
    run = Run(sandbox, "import time; time.sleep(100)", Limits(wall=0.5))
    assert (run.reason, str(run.failure)) == ("timeout", "Your code took longer than 0.5 s and was stopped.")


def test_cpu_time_of_all_processes_together(sandbox):
    for code in (FOREVER, f"import os\nos.fork() or os._exit(os.fork())\n{FOREVER}"):
        run = Run(sandbox, code, Limits(cpu=0.3))
        assert run.reason == "timeout"
        assert "computed for longer than 0.3 s" in str(run.failure)


def test_no_signal_handler_saves_from_a_limit(sandbox):
    code = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n{FOREVER}"
    assert Run(sandbox, code, Limits(wall=0.5)).reason == "timeout"


def test_memory_of_one_process(sandbox):
    attempt(sandbox, f"bytearray({256 * MIB})", MemoryError, Limits(memory=64 * MIB))


def test_memory_of_all_processes_together(sandbox):
    code = f"""
        import os, time, numpy
        for _ in range(3):
            if os.fork() == 0:
                memory = numpy.ones({30 * MIB}, "u1")
                time.sleep(100)
        time.sleep(100)
    """
    run = Run(sandbox, code, Limits(memory=60 * MIB))
    assert run.reason == "memory"
    assert str(run.failure) == "Your code needed more than 60 MiB of memory and was stopped."


def test_shared_memory_counts_once(sandbox):
    code = f"""
        import os, time, numpy
        memory = numpy.ones({40 * MIB}, "u1")
        for _ in range(3):
            if os.fork() == 0:
                memory.sum()
                time.sleep(100)
        time.sleep(0.5)
        result = 1
    """
    assert Run(sandbox, code, Limits(memory=80 * MIB)).result == 1


def test_memory_of_a_process_whose_first_thread_has_ended(sandbox):
    code = f"""
        import ctypes, os, platform, threading, time, numpy
        def hold():
            memory = numpy.ones({30 * MIB}, "u1")
            time.sleep(100)
        for _ in range(3):
            if os.fork() == 0:
                threading.Thread(target=hold).start()
                ctypes.CDLL(None).syscall({{"x86_64": 60, "aarch64": 93}}[platform.machine()], 0)
        time.sleep(100)
    """
    assert Run(sandbox, code, Limits(memory=60 * MIB, wall=10)).reason == "memory"


@pytest.mark.parametrize("kind", ["socket.socketpair", "os.pipe"])
def test_what_sockets_and_pipes_hold_counts_as_memory(sandbox, kind):
    code = f"""
        import os, socket, time
        for _ in range(8):
            if os.fork() == 0:
                kept = [{kind}() for _ in range(60)]
                time.sleep(100)
        time.sleep(100)
    """
    limits = Limits(memory=200 * MIB if "socket" in kind else 25 * MIB, wall=10)
    assert Run(sandbox, code, limits).reason == "memory"


def test_where_the_system_tells_no_shares_the_largest_process_counts(sandbox, folders, monkeypatch, tmp_path):
    """Nothing is held against students' code that was not measured."""
    if os.getuid():
        pytest.skip("an ordinary user sees the shares of its own processes")
    patch_inside(monkeypatch, tmp_path, forkserver="def proportional_size(thread): raise PermissionError")
    code = f"""
        import os, time, numpy
        memory = numpy.ones({40 * MIB}, "u1")
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(100)
        time.sleep(0.5)
        result = 1
    """
    with make(folders, namespaces=sandbox.namespaces) as other:
        assert Run(other, code, Limits(memory=80 * MIB)).result == 1


def patch_inside(monkeypatch, folder, **patches):
    """Have sandboxes run other code: copies of the modules with something in addition."""
    shutil.copytree(sandbox_module.HERE / "inside", folder / "inside")
    for name, patch in patches.items():
        path = folder / "inside" / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        head, main, tail = text.partition('\nif __name__ == "__main__":')
        path.write_text(f"{head}\n{patch}\n{main}{tail}", encoding="utf-8")
    monkeypatch.setattr(sandbox_module, "HERE", folder)


def test_number_of_processes(sandbox):
    code = """
        import os, time
        while True:
            if os.fork() == 0:
                time.sleep(100)
    """
    limits = Limits(processes=8)
    try:
        assert Run(sandbox, code, limits).reason == "processes"
    except SubmissionError as error:
        assert isinstance(error, OSError)  # the system was faster than the watch
    assert Run(sandbox, "result = 1").result == 1


def test_a_fork_bomb_ends(sandbox):
    run = None
    with suppress(SubmissionError):
        run = Run(sandbox, "import os\nwhile True: os.fork()", Limits(wall=2))
    assert run is None or run.failure
    psutil.wait_procs(supervisors(sandbox), timeout=5)
    assert supervisors(sandbox) == []


def test_open_files_and_file_size(sandbox):
    attempt(sandbox, "files = [open('/dev/null') for _ in range(1000)]", OSError)
    attempt(sandbox, f"open('big', 'wb').write(bytes({2 * MIB}))", OSError, Limits(file_size=MIB))


def test_disk_space(sandbox):
    run = Run(sandbox, WRITE.format(before="", more=""), Limits(disk=8 * MIB, wall=10))
    assert run.reason == "disk"
    assert str(run.failure) == "Your code wrote more than 8 MiB, or very many files, to disk and was stopped."


@pytest.mark.parametrize(
    ("before", "more"),
    [
        ("pass", "os.unlink(name)"),
        ("os.chdir('/dev/shm')", "pass"),
        ("for _ in range(20): os.mkdir('d' * 240); os.chdir('d' * 240)", "pass"),
    ],
    ids=["in no folder", "in shared memory", "deeper than a path can say"],
)
def test_disk_space_of_files_out_of_sight(sandbox, before, more):
    if os.getuid() and "shm" in before:
        pytest.skip("what is in there may be anything of the same user's")
    code = WRITE.format(before=before, more=more)
    assert Run(sandbox, code, Limits(disk=8 * MIB, wall=10)).reason == "disk"


WRITE = f"""
    import os, time
    {{before}}
    kept = []
    for number in range(60):
        name = f"left-{{{{number:03}}}}"
        file = open(name, "wb")
        file.write(bytes({MIB}))
        file.flush()
        kept.append(file)
        {{more}}
    time.sleep(100)
"""


def test_number_of_files(folders, monkeypatch, tmp_path):
    patch_inside(monkeypatch, tmp_path, forkserver="FILES = 50")
    code = """
        import time
        for number in range(100):
            open(str(number), "x").close()
        time.sleep(100)
    """
    with make(folders, namespaces=False) as sandbox:
        assert Run(sandbox, code, Limits(wall=10)).reason == "disk"


def test_prints_are_kept_up_to_the_limit(sandbox):
    run = Run(sandbox, "print('début'); print('x' * 5_000_000); result = 1")
    assert run.result == 1
    assert run.output.startswith("début\nxxx")
    assert len(run.output.encode()) == Limits().output


def test_prints_are_kept_when_the_worker_dies(sandbox):
    assert Run(sandbox, "import os; print('last words'); os._exit(1)").output == "last words\n"


# Endings.


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        ("import os; os._exit(3)", "exit", "ended Python (with exit code 3)"),
        ("import ctypes; ctypes.string_at(0)", "signal", "crashed Python (Segmentation fault)"),
        ("import os; os.abort()", "signal", "crashed Python (Aborted)"),
        ("import os; os.kill(os.getpid(), 9)", "signal", "stopped by the system"),
        ("import os, time; os.closerange(3, 99); time.sleep(100)", "garbled", "broke the connection"),
    ],
)
def test_the_end_is_explained(sandbox, code, reason, message):
    run = Run(sandbox, code)
    assert run.reason == reason
    assert message in str(run.failure)


def test_what_is_registered_for_the_end_does_not_run(sandbox):
    code = "import atexit; atexit.register(print, 'at exit'); result = 1"
    run = Run(sandbox, code)
    assert (run.result, run.output) == (1, "")


def test_a_process_that_escapes_is_ended(sandbox):
    code = """
        import os, signal, time
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                os.closerange(3, writer)
                os.write(writer, b"1")
                while True:
                    open("alive", "a").write("1")
                    time.sleep(0.01)
            os._exit(0)
        os.read(reader, 1)
        result = 1
    """
    with sandbox.worker(modules=["play"], stand_ins=[]) as worker:
        assert Session(worker).request("module", "play").run(textwrap.dedent(code)) == 1
        processes = supervisors(sandbox)[-1].children(recursive=True)
        assert len(processes) >= 2
    assert not any(process.is_running() for process in processes)


def test_nothing_is_left_behind(sandbox):
    code = f"""
        import os
        for folder in (".", *{lockdown.OPEN_TO_ALL}):
            try:
                os.makedirs(folder + "/left/behind")
                open(folder + "/left.txt", "w").close()
                os.symlink("/etc", folder + "/link")
            except OSError:
                pass
    """
    run = Run(sandbox, code)
    assert sorted(path.name for path in sandbox._scratch.iterdir()) == ["files"]
    assert run.worker.user is None or left_behind(run.worker.user) == ([], [])
    assert Path("/etc").stat().st_mode & 0o777 == 0o755


def test_the_scratch_folder_goes_with_the_sandbox(folders):
    with make(folders, namespaces=False) as sandbox:
        folder = sandbox._scratch
        assert folder.exists()
    assert not folder.exists()


def test_the_worker_is_gone_when_its_context_ends(sandbox):
    with sandbox.worker(modules=["play"], stand_ins=[]) as worker:
        with pytest.raises(RuntimeError, match="one worker at a time"):
            sandbox.worker()
        worker.check()
    assert worker.is_over
    worker.close()


# The processes around it.


def test_a_lost_forkserver_costs_nothing_but_is_replaced(sandbox):
    with sandbox.worker(modules=["play"], stand_ins=[]) as worker:
        play = Session(worker).request("module", "play")
        sandbox._forkserver.kill()
        sandbox._forkserver.wait()
        assert play.run("result = 1") == 1
    assert Run(sandbox, "result = 2").result == 2


def test_a_lost_supervisor_costs_one_worker(sandbox):
    with sandbox.worker(modules=["play"], stand_ins=[]) as worker:
        session = Session(worker)
        session.request("module", "play")
        supervisors(sandbox)[-1].kill()
        with pytest.raises(WorkerFailure) as caught:
            session.request("module", "play").run("import time; time.sleep(100)")
    assert caught.value.reason == "sandbox"
    assert Run(sandbox, "result = 1").result == 1


def test_each_worker_has_a_user_of_its_own(sandbox):
    if os.getuid():
        pytest.skip("only root can change users")
    code = "import os; result = os.getuid(), os.getgid()"
    users, groups = zip(*(Run(sandbox, code).result for _ in range(4)), strict=True)
    assert len(set(users)) == 4
    assert len(set(groups)) == 1


def test_no_user_is_given_out_twice(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox_module, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(sandbox_module, "USERS", range(4))
    monkeypatch.setattr(sandbox_module, "next_users", iter([*range(4), *range(4), 1]))
    locks = [reserve_user() for _ in range(4)]
    assert [user for user, _ in locks] == list(range(4))
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
    with pytest.raises(SandboxError, match=r"all of the 4 users .* are taken"):
        reserve_user()
    os.close(locks[1][1])
    locks[1] = reserve_user()
    assert locks[1][0] == 1
    for _, lock in locks:
        os.close(lock)


def test_a_user_is_taken_for_as_long_as_its_supervisor_lives(sandbox):
    if os.getuid():
        pytest.skip("only root can change users")
    with sandbox.worker(modules=["play"], stand_ins=[]) as worker:
        Session(worker).request("module", "play")
        assert sandbox_module.lock_user(worker.user) is None
    psutil.wait_procs(supervisors(sandbox), timeout=5)
    lock = sandbox_module.lock_user(worker.user)
    assert lock is not None
    os.close(lock)


def test_a_worker_cannot_signal_another_sandbox(sandbox, folders):
    with make(folders) as other, other.worker(modules=["play"], stand_ins=[]) as victim:
        play = Session(victim).request("module", "play")
        pid = play.run("import os; result = os.getpid()")
        code = f"""
            import os, signal
            for target in (-1, 1, {pid}, {os.getpid()}, {other._forkserver.pid}, {sandbox._forkserver.pid}):
                try:
                    if target != os.getpid():
                        os.kill(target, signal.SIGKILL)
                except OSError:
                    pass
            result = 1
        """
        if not os.getuid() or sandbox.namespaces:
            Run(sandbox, code)
        assert play.run("result = 1") == 1


def test_what_ends_a_worker_cannot_be_stopped_by_it():
    if os.getuid():
        pytest.skip("only root can change users")
    user, lock = reserve_user()
    with open(lock, "rb"):
        reader, writer = os.pipe()
        killer = os.fork()
        if killer == 0:
            os.kill = lambda *args: (os.write(writer, b"1"), time.sleep(100))
            lockdown.kill_all_of(user)
        os.read(reader, 1)
        worker = os.fork()
        if worker == 0:
            lockdown.become(user, user)
            try:
                os.kill(killer, signal.SIGSTOP)
            except PermissionError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(worker, 0)[1] == 0
        os.kill(killer, signal.SIGKILL)
        os.waitpid(killer, 0)
        os.close(reader)
        os.close(writer)


def test_who_stops_all_processes_is_ended(sandbox):
    code = """
        import os, signal
        for _ in range(10):
            if os.fork() == 0:
                os.setsid()
                while True:
                    for target in (-1, os.getppid()):
                        try:
                            os.kill(target, signal.SIGSTOP)
                        except OSError:
                            pass
        while True:
            pass
    """
    if os.getuid() and not sandbox.namespaces:
        pytest.skip("these would be all processes of an ordinary user")
    began = time.monotonic()
    assert Run(sandbox, code, Limits(wall=1)).reason == "timeout"
    assert time.monotonic() - began < 4
    psutil.wait_procs(supervisors(sandbox), timeout=5)
    assert supervisors(sandbox) == []


LEFT = """
import os, signal, sys
from pathlib import Path
import psutil
from autograder.remote import Session
from autograder.sandbox import Sandbox

with Sandbox(Path(sys.argv[1]), namespaces=False) as sandbox, sandbox.worker(modules=["play"]) as worker:
    code = "import os, time; open('/dev/shm/left-' + str(os.getuid()), 'w'); os.fork() or time.sleep(100)"
    worker.socket.settimeout(1)
    try:
        Session(worker).request("module", "play").run(code)
    except Exception:
        pass
    print(worker.user, sandbox._scratch, flush=True)
    psutil.Process(sandbox._forkserver.pid).children()[0].kill()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_graders_have_left_is_removed_by_the_next(folders):
    if os.getuid():
        pytest.skip("students' code has no user of its own here")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LEFT, folders / "submission"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    user, folder = done.stdout.split()
    assert Path(folder).exists()
    assert left_behind(int(user))[1] == [f"/dev/shm/left-{user}"]
    with make(folders):
        assert not Path(folder).exists()
        assert left_behind(int(user)) == ([], [])


def test_a_scratch_folder_in_use_is_left_alone():
    with scratch.scratch_folder() as one, scratch.scratch_folder() as other:
        assert one.exists()
        assert other.exists()
        assert one != other


def test_no_folder_lies_too_deep_to_be_removed():
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        before, top = os.getcwd(), Path(name, "top")
        top.mkdir()
        os.chdir(top)
        for _ in range(1_500):
            Path("file").touch()
            os.mkdir("in-it")
            os.chdir("in-it")
        os.chdir(before)
        (top / "closed").mkdir(mode=0)
        (top / "link").symlink_to(before)
        scratch.remove_tree(top)
        assert os.listdir(name) == []
        assert os.path.isdir(before)


# Without Landlock.

NO_LANDLOCK = "def landlock_version(): return 0"


def test_without_landlock_nothing_is_run(folders, monkeypatch, tmp_path):
    patch_inside(monkeypatch, tmp_path, lockdown=NO_LANDLOCK)
    for namespaces in (False, True):
        with pytest.raises(SandboxError, match=r"not be safe.* no Landlock .* --unsafe runs it all the same"):
            make(folders, namespaces=namespaces).__enter__()


def test_unsafely_it_is_run_and_staff_are_warned(folders, monkeypatch, tmp_path):
    patch_inside(monkeypatch, tmp_path, lockdown=NO_LANDLOCK)
    code = f"""
        import os
        made = []
        for folder in filter(os.path.isdir, {lockdown.OPEN_TO_ALL}):
            made.append(folder)
            os.makedirs(folder + "/left-by-a-test/behind")
        result = made
    """
    with make(folders, namespaces=False, unsafe=True) as sandbox:
        assert "unsafely: there is no Landlock" in sandbox.warnings[0]
        if os.getuid():
            assert Run(sandbox, "result = 1").result == 1
        else:
            run = Run(sandbox, code)
            assert {"/tmp", "/dev/shm"} <= set(run.result)
            assert left_behind(run.worker.user) == ([], [])


def test_an_unreadable_data_folder_is_an_error(folders, tmp_path):
    if os.getuid():
        pytest.skip("students' code has no user of its own here")
    (tmp_path / "data").mkdir(mode=0o700)
    with pytest.raises(SandboxError, match=r"can't read .*; neither Python nor the data nor .* in a private"):
        make(folders, data=tmp_path / "data").__enter__()


def test_what_lies_in_a_private_folder_is_made_reachable_where_that_is_possible(sandbox, folders, tmp_path):
    (tmp_path / "private" / "data").mkdir(parents=True)
    (tmp_path / "private" / "data" / "numbers.txt").write_text("4 5", encoding="utf-8")
    (tmp_path / "private").chmod(0o700)
    try:
        with make(folders, data=tmp_path / "private" / "data", namespaces=sandbox.namespaces) as other:
            assert Run(other, "result = open('data/numbers.txt').read()").result == "4 5"
    except SandboxError as error:
        assert "in a private folder" in str(error)


def test_an_unknown_module_to_preload_is_an_error(folders):
    with pytest.raises(SandboxError, match="No module named 'no_such_module'"):
        make(folders, preload=["no_such_module"]).__enter__()


def test_workers_of_a_data_loader(folders):
    if os.getuid():
        pytest.skip("it takes long to import PyTorch, and root has tried it")
    code = """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        data = TensorDataset(torch.arange(64.0))
        held = torch.ones(120 * 2**18)
        result = [
            sum(float(x.sum()) for x, in DataLoader(data, 16, num_workers=4, multiprocessing_context=context))
            for context in (None, "spawn", "forkserver")
        ]
    """
    with make(folders, preload=["numpy", "torch"], namespaces=False) as sandbox:
        assert Run(sandbox, code, Limits(memory=256 * MIB)).result == [2016] * 3


# Run the command line on a system that says it has no Landlock: a filter of system calls sees to that.
COMMAND_WITHOUT_LANDLOCK = """
import ctypes, errno, os, struct, sys
from autograder.inside import lockdown as l
lines = [(l.LOAD, 0, 0, l.NUMBER), (l.IF_EQUAL, 0, 1, l.LANDLOCK_CREATE_RULESET),
         (l.RETURN, 0, 0, l.FAIL | errno.ENOSYS), (l.RETURN, 0, 0, l.ALLOW)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
head = ctypes.create_string_buffer(struct.pack("HP", len(lines), ctypes.addressof(program)))
l.prctl(l.PR_SET_NO_NEW_PRIVS, 1)
l.prctl(l.PR_SET_SECCOMP, l.SECCOMP_MODE_FILTER, ctypes.addressof(head))
os.execv(sys.executable, [sys.executable, "-m", "autograder", *sys.argv[1:]])
"""


HOMEWORK = {
    "assignment.py": """
        from autograder.assignment import Assignment, Suite

        ASSIGNMENT = Assignment("Made up", suites=(Suite("stats"),))
    """,
    "test_stats.py": """
        import unittest
        import stats
        from gradescope_utils.autograder_utils.decorators import number, weight

        class TestMean(unittest.TestCase):
            @weight(3)
            @number("1")
            def test_mean(self):
                self.assertEqual(stats.mean([1, 3]), 2)
    """,
    "solution/stats.py": "def mean(x): return sum(x) / len(x)",
}


def test_the_command_line_without_landlock(tmp_path):
    (tmp_path / "solution").mkdir()
    for name, text in HOMEWORK.items():
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
    results = tmp_path / "results.json"

    def grade(*options):
        arguments = ["grade", tmp_path / "solution", "--assignment", tmp_path, "--results", results, *options]
        done = subprocess.run(
            [sys.executable, "-c", COMMAND_WITHOUT_LANDLOCK, *arguments],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
        )
        return done, json.loads(results.read_text(encoding="utf-8"))

    done, document = grade()
    assert done.returncode == 1
    assert "not be safe. There is no Landlock" in done.stderr.strip().split("\n")[-1]
    assert document["score"] == 0
    assert "tell the course staff" in document["output"]
    assert "Landlock" not in document["output"]

    done, document = grade("--unsafe")
    assert done.returncode == 0
    assert document["score"] == 3
    for shown in (done.stderr, document["extra_data"]["warnings"][0]):
        assert "Students' code was run unsafely: there is no Landlock" in shown


# As an ordinary user, most of the above again.

# Where Python lies in a private folder, such as root's home, mount it anew so that others can reach it.
MAKE_PYTHON_REACHABLE = """
    mkdir -p "$KEPT"
    mount --bind "$PREFIX" "$KEPT"
    mount -t tmpfs -o mode=755 none "$PRIVATE"
    mkdir -p "$PREFIX"
    mount --bind "$KEPT" "$PREFIX"
"""


def test_as_an_ordinary_user(tmp_path):
    tools = ("setpriv", "unshare", "mount")
    if os.getuid() or not all(map(shutil.which, tools)):
        pytest.skip(f"only root can try this, with the tools {', '.join(tools)}")
    prefix = Path(sys.base_prefix)
    private = [folder for folder in prefix.parents if not folder.stat().st_mode & 0o001]
    become = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
    slow = (
        "ordinary_user",
        "cpu_time",
        "explained",
        "fork_bomb",
        "too_deep",
        "no_way_out",
        "data_loader",
        "link",
    )
    # With namespaces, what an ordinary user gets otherwise than root does.
    again = (
        "warnings_say",
        "another_user",
        "out_of_sight",
        "fresh_copy",
        "wall_time",
        "memory_of_all",
        "number_of_processes",
        "escapes",
        "left_behind",
        "signal_another",
        "stops_all",
    )
    run = subprocess.run(
        [
            *(
                "unshare",
                "--mount",
                "sh",
                "-e",
                "-c",
                f"{MAKE_PYTHON_REACHABLE if private else ''}\n{become}",
                "-",
            ),
            *(sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__),
            *("-k", f"not {' and not '.join(slow)} and (not namespaces or {' or '.join(again)})"),
        ],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PREFIX": str(prefix),
            "PRIVATE": str(private[0]) if private else "",
            "KEPT": str(tmp_path / "kept"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root has users for workers")
def test_what_a_dead_supervisor_has_left_is_removed(tmp_path):
    """The next sandbox ends processes and removes files of users that nobody has locked, and no others."""
    left = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="left-"))
    user, lock = reserve_user()
    os.chown(left, user, user)
    with subprocess.Popen(["sleep", "600"], user=user, group=user, extra_groups=[]) as process:
        try:
            with Sandbox(tmp_path):
                assert process.poll() is None
                assert left.exists()
            os.close(lock)
            with Sandbox(tmp_path):
                assert process.wait(10) == -signal.SIGKILL
                assert not left.exists()
        finally:
            process.kill()
