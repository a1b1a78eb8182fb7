"""What a worker can and cannot do, on this machine and with fewer privileges than the tests have."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

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


@pytest.fixture(scope="module")
def sandbox(folders):
    os.environ["AUTOGRADER_TEST_SECRET"] = SECRET
    with make(folders) as sandbox:
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
        for folder in ("/tmp", "/var/tmp", "/dev/shm")
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
    tested_as = os.environ.get("AUTOGRADER_TESTED_AS", "")
    expected = [
        *(["not run as root"] if os.getuid() else []),
        *(["no namespaces"] if "without" in tested_as else []),
    ]
    assert len(sandbox.warnings) == len(expected), sandbox.warnings
    for warning, words in zip(sandbox.warnings, expected, strict=True):
        assert words in warning


def test_the_worker_is_another_user_without_privileges(sandbox):
    status = Run(sandbox, "result = open('/proc/self/status').read()").result
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["CapEff"].split() == fields["CapPrm"].split() == ["0" * 16]
    assert fields["NoNewPrivs"].split() == ["1"]
    assert fields["Seccomp"].split() == ["2"]
    users = set(fields["Uid"].split() + fields["Gid"].split() + fields["Groups"].split())
    if os.getuid() == 0:
        assert len(users) == 1
        assert int(users.pop()) in USERS
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

with Sandbox(Path(sys.argv[1])) as sandbox, sandbox.worker(modules=["play"]) as worker:
    play = Session(worker).request("module", "play")
    print(sandbox.warnings, play.run("import numpy; result = numpy.arange(3).sum()"))
"""


def test_an_environment_behind_a_link(sandbox, folders):
    """Whoever reaches Python by a link is locked in as well as others."""
    (folders / "environment").symlink_to(sys.prefix)
    done = subprocess.run(
        [folders / "environment" / "bin" / "python", "-c", LINKED, folders / "submission"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{sandbox.warnings} 3"


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
    for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"):
        attempt(sandbox, f"import socket; socket.socket(socket.{family})", PermissionError)
    attempt(sandbox, "import os; os.setuid(0) or open('/root/x', 'w')", OSError)
    for call, *arguments in (
        ("ptrace", 16, 1, 0, 0),
        ("unshare", 0x10000000),
        ("mount", None, None, None, 0, None),
        ("chroot", b"/"),
        ("syscall", 425, 1, None),
        ("syscall", 321, 0, None, 0),
        ("shmget", 0, 4096, 0o1600),
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
    if os.environ.get("AUTOGRADER_TESTED_AS", "").startswith("root without"):
        pytest.skip("the system does not say how much memory processes share")
    assert Run(sandbox, code, Limits(memory=80 * MIB)).result == 1


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
    if sandbox.warnings and any("no namespaces" in warning for warning in sandbox.warnings):
        pytest.skip("without namespaces each file is limited, not all of them together")
    code = f"""
        for name in range(100):
            open(str(name), "wb").write(bytes({MIB}))
    """
    with pytest.raises(SubmissionError, match="No space left"):
        Run(sandbox, code, Limits(disk=8 * MIB))


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


def test_nothing_is_left_behind(folders):
    if os.getuid():
        pytest.skip("students' code has no user of its own here")
    with make(folders) as sandbox:
        code = """
            import os
            for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):
                try:
                    os.makedirs(folder + "/left/behind")
                    open(folder + "/left.txt", "w").close()
                    os.symlink("/etc", folder + "/link")
                except OSError:
                    pass
        """
        Run(sandbox, code)
        scratch, user = sandbox._scratch, sandbox._user
        assert list(scratch.joinpath("root").iterdir()) == []
    assert not scratch.exists()
    assert left_behind(user) == ([], [])
    assert Path("/etc").stat().st_mode & 0o777 == 0o755


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


def test_sandboxes_have_different_users():
    with reserve_user() as one, reserve_user() as other:
        assert one != other
        assert {one, other} <= set(USERS)


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
        if not os.getuid() or not any("no namespaces" in warning for warning in sandbox.warnings):
            Run(sandbox, code)
        assert play.run("result = 1") == 1


def test_an_unreadable_data_folder_is_an_error(folders, tmp_path):
    if os.getuid() or "AUTOGRADER_TESTED_AS" not in os.environ:
        pytest.skip("only where there are no namespaces and another user")
    tmp_path.chmod(0o700)
    with pytest.raises(
        SandboxError, match=r"can't read .*; neither Python nor the data may lie in a private"
    ):
        make(folders, data=tmp_path).__enter__()


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
        result = [
            sum(float(x.sum()) for x, in DataLoader(data, 16, num_workers=2, multiprocessing_context=context))
            for context in (None, "spawn", "forkserver")
        ]
    """
    with make(folders, preload=["numpy", "torch"]) as sandbox:
        assert Run(sandbox, code).result == [2016] * 3


# With fewer privileges, most of the above again.

# How to run a command with fewer privileges than root's. "$@" is the command.
FEWER_PRIVILEGES = {
    "root without namespaces, as in a container": 'setpriv --bounding-set=-sys_admin,-sys_ptrace "$@"',
    "an ordinary user": 'setpriv --reuid=65534 --regid=65534 --clear-groups "$@"',
    "an ordinary user without namespaces": """
        setpriv --reuid=65534 --regid=65534 --clear-groups \\
        unshare --user --map-current-user --keep-caps sh -c '
        echo 0 > /proc/sys/user/max_user_namespaces
        exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"' - "$@"
    """,
}
# Where Python lies in a private folder, such as root's home, mount it anew so that others can reach it.
MAKE_PYTHON_REACHABLE = """
    mkdir -p "$KEPT"
    mount --bind "$PREFIX" "$KEPT"
    mount -t tmpfs -o mode=755 none "$PRIVATE"
    mkdir -p "$PREFIX"
    mount --bind "$KEPT" "$PREFIX"
"""


@pytest.mark.parametrize("who", FEWER_PRIVILEGES)
def test_with_fewer_privileges(who, tmp_path):
    tools = ("setpriv", "unshare", "mount")
    if os.getuid() or not all(map(shutil.which, tools)):
        pytest.skip(f"only root can try this, with the tools {', '.join(tools)}")
    prefix = Path(sys.base_prefix)
    private = [folder for folder in prefix.parents if not folder.stat().st_mode & 0o001]
    script = f"set -e\n{MAKE_PYTHON_REACHABLE if private else ''}\n{FEWER_PRIVILEGES[who]}"
    run = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", script, "-"),
            *(sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__),
            *("-k", "not fewer_privileges and not cpu_time and not explained and not shared_memory"),
        ],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PREFIX": str(prefix),
            "PRIVATE": str(private[0]) if private else "",
            "KEPT": str(tmp_path / "kept"),
            "AUTOGRADER_TESTED_AS": who,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stdout + run.stderr
