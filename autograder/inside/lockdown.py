"""What a process does to give up its privileges, and what of the system it may still see.

Python has no names for most of the system calls that this takes, so they are called through the C library.
These stand between a student's code and the rest of the machine, in a container with few privileges, too:

- users of their own, if the autograder runs as root: another one for each worker;
- Landlock: rules for which files a process may open;
- seccomp: a filter that refuses system calls.

Namespaces are added where they are to be had: a network and a view of processes of their own.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import importlib.machinery
import itertools
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
PACKAGES = ("/usr/lib/python3*/*-packages", "/usr/local/lib/python3*/*-packages")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SHARED_MEMORY = "/dev/shm"
OPEN_TO_ALL = ("/tmp", "/var/tmp", SHARED_MEMORY, "/dev/mqueue", "/run/lock")  # where everybody may write


@dataclass(frozen=True)
class Setup:
    """What all workers of a sandbox share.

    Attributes:
        scratch: folder that holds ``files``, which every worker may read, and where each gets one of its own.
        data: folder that a worker finds as ``./data``; None if there is none.
        group: number of the group that students' code runs as, with a user of its own for each worker; None
            if we can't change user.
        namespaces: whether to use namespaces where there are some.
        unsafe: whether to do without Landlock or a filter of system calls where there is none.
        preload: modules to import before the first fork.
        hidden: packages that students' code must not have.
        optional: packages that it can do without, where they are not installed.
        secrets: files and folders that it must not be able to read.
    """

    scratch: str
    data: str | None
    group: int | None
    namespaces: bool
    unsafe: bool
    preload: list[str]
    hidden: list[str]
    optional: list[str]
    secrets: list[str]

    @property
    def files(self) -> str:
        """What every worker may read: this folder, helpers, the submission."""
        return f"{self.scratch}/files"

    @property
    def python_folders(self) -> list[str]:
        """The folders that hold this Python and its packages, outermost first."""
        packages = {path for path in sys.path if os.path.isdir(path) and not path.startswith(self.files)}
        folders = {sys.prefix, sys.base_prefix, *packages}
        return sorted(folders | {os.path.realpath(folder) for folder in folders})

    @property
    def hidden_paths(self) -> list[str]:
        """The secrets, the hidden packages wherever Python finds them, and all that other Pythons have."""
        paths = list(self.secrets)
        for name, place in itertools.product(self.hidden, sys.path):
            spec = importlib.machinery.PathFinder.find_spec(name, [place])
            if spec is not None:
                paths += spec.submodule_search_locations or filter(None, [spec.origin])
        paths += {path for pattern in PACKAGES for path in glob.glob(pattern)} - {*self.python_folders}
        return [os.path.realpath(path) for path in paths]


# ----------------------------------------------------------------------------------------------- system calls

libc: Any = ctypes.CDLL(None, use_errno=True) if hasattr(os, "fork") else None  # not on Windows

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 1, 4, 22, 36
PR_SET_NO_NEW_PRIVS = 38
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 1 << 14, 1 << 18
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library by its name.

    Raises:
        OSError: it says no.
    """
    encoded = [value.encode() if isinstance(value, str) else value for value in arguments]
    result: int = getattr(libc, name)(*encoded)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, *values: int) -> None:
    """Change something about this process; ``man 2 prctl`` has the options."""
    call("prctl", option, *(ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Make files appear in a folder; ``man 2 mount`` has the details."""
    call("mount", source, target, kind, ctypes.c_ulong(flags), options)


# ------------------------------------------------------------------------------------------------- namespaces


def enter_namespaces(setup: Setup) -> None:
    """Leave the system's network, host name and so on; without root, by way of a user namespace."""
    wanted = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC
    user, group = os.getuid(), os.getgid()
    call("unshare", wanted if setup.group else wanted | CLONE_NEWUSER)
    if not setup.group:
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="utf-8")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def see_own_processes() -> None:
    """Have no other processes in ``/proc`` than those of this process's namespace."""
    call("unshare", CLONE_NEWNS)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")


def make_reachable(setup: Setup) -> None:
    """Show what students' code needs of folders closed to others, such as root's home, in open ones.

    These take the closed ones' places, for this process and those that come from it, and hold nothing else.

    Raises:
        OSError: that takes privileges that this process does not have.
    """
    closed: dict[Path, list[str]] = {}
    for path in [*setup.python_folders, setup.scratch, *([setup.data] if setup.data else [])]:
        for folder in reversed(Path(path).parents):
            if not folder.stat().st_mode & 0o001:
                closed.setdefault(folder, []).append(path)
                break
    if not closed:
        return
    call("unshare", CLONE_NEWNS)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    for folder, paths in closed.items():
        kept = {path: os.open(path, os.O_PATH) for path in paths}
        mount("tmpfs", str(folder), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
        for path, file in kept.items():
            if not os.path.exists(path):  # not in one that has been shown before
                os.makedirs(path)
                mount(f"/proc/self/fd/{file}", path, "", MS_BIND | MS_REC)
            os.close(file)


# --------------------------------------------------------------------------------------------------- Landlock

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION, LANDLOCK_RULE_PATH_BENEATH = 1, 1
WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
EVERYTHING = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}  # that a version can forbid with files
TCP_SINCE, SCOPES_SINCE = 4, 6


def landlock_version() -> int:
    """Return the version of Landlock that this system has; 0 if none."""
    return max(0, libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION))


def restrict_files(setup: Setup, writable: list[str]) -> None:
    """Deny this process all files but those that Python needs, and some folders that it may write to.

    Where Landlock is new enough, also signals to processes that are not restricted in the same way, and their
    abstract sockets. Before its third version it does not forbid cutting short files open to everybody.
    """
    version = landlock_version()
    everything = EVERYTHING[min(version, max(EVERYTHING))]
    tcp = 0b11 if version >= TCP_SINCE else 0
    scopes = 0b11 if version >= SCOPES_SINCE else 0
    rules = struct.pack("QQQ", everything, tcp, scopes)
    ruleset = call("syscall", LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    allowed = {"/dev/null": READ_FILE | WRITE_FILE, **dict.fromkeys(writable, everything)}
    hidden = setup.hidden_paths
    data = [setup.data] if setup.data else []
    for path in (
        *SYSTEM_FOLDERS,
        *SYSTEM_FILES,
        *DEVICES,
        "/proc",
        *setup.python_folders,
        setup.files,
        *data,
    ):
        for part, access in around(hidden, os.path.realpath(path)):
            allowed.setdefault(part, access)
    for path, access in allowed.items():
        with suppress(FileNotFoundError, PermissionError):
            file = os.open(path, os.O_PATH)
            rule = struct.pack("=Qi", access if os.path.isdir(path) else access & ~READ_FOLDER, file)
            call("syscall", LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
            os.close(file)
    call("syscall", LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def around(hidden: list[str], path: str) -> Iterator[tuple[str, int]]:
    """Yield what has to be allowed so that all in ``path`` can be read but the hidden files and folders."""
    if any(folder.startswith(f"{path}/") for folder in hidden):
        yield path, READ_FOLDER
        for entry in os.scandir(path):
            if not entry.is_symlink():  # which may lead to a hidden folder
                yield from around(hidden, entry.path)
    elif path not in hidden:
        yield path, READ_FILE | READ_FOLDER


# ---------------------------------------------------------------------------------------------------- seccomp

# The numbers on x86_64 and aarch64 of what is refused. What takes privileges that students don't have is
# refused by the system in any case, and mostly not listed.
REFUSED = {
    "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    # memory that outlives its process, or that no process is seen to have
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # what would tell of other processes' files
    "inotify_init": (253, 26), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
}  # fmt: skip
CLONE3 = (435, 435)
NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
)
AF_UNIX = 1  # the socket module of Windows has no name for it
# Calls of which an argument decides: their numbers, which argument, which of its bits, a value, and whether
# the bits have to be that or must not. Sockets hold more than can be seen if they are no streams, or if
# many wait there; and of a process that is not dumpable nobody sees what memory it uses.
CHECKED = [
    ((41, 198), 0, 0xFFFFFFFF, AF_UNIX, True),  # socket
    ((41, 198), 1, 0xF, socket.SOCK_STREAM, True),
    ((53, 199), 1, 0xF, socket.SOCK_STREAM, True),  # socketpair
    ((56, 220), 0, NAMESPACES, 0, True),  # clone
    ((157, 167), 0, 0xFFFFFFFF, PR_SET_DUMPABLE, False),  # prctl
    ((50, 201), 1, 0xFFFFFF00, 0, True),  # listen
]
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, number in the filter
X32 = 0x40000000  # numbers from here on are another way into an x86_64 system
LOAD, AND, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # the filter's instructions
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # what it can load
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000  # what it can return; FAIL | the error's number
SECCOMP_MODE_FILTER = 2


def refuse_system_calls() -> None:
    """Have this process's system calls filtered, and those of all that come from it, for good.

    What is refused fails with EPERM. Sockets of files remain; multiprocessing needs those. ``clone3`` hides
    from filters whether it makes namespaces, so it fails as if there were none; libraries then try ``clone``.
    """
    column, architecture = ARCHITECTURES[platform.machine()]
    program = [  # (instruction, lines to skip if so, lines to skip if not, number)
        (LOAD, 0, 0, ARCHITECTURE), (IF_EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER), (IF_AT_LEAST, 0, 1, X32), (RETURN, 0, 0, KILL),
        (IF_EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, FAIL | errno.ENOSYS),
    ]  # fmt: skip
    for numbers in REFUSED.values():
        program += [(IF_EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, FAIL | errno.EPERM)]
    for numbers, argument, bits, value, wanted in CHECKED:
        program += [
            (IF_EQUAL, 0, 5, numbers[column]), (LOAD, 0, 0, FIRST_ARGUMENT + 8 * argument), (AND, 0, 0, bits),
            (IF_EQUAL, int(wanted), int(not wanted), value), (RETURN, 0, 0, FAIL | errno.EPERM),
            (LOAD, 0, 0, NUMBER),
        ]  # fmt: skip
    program.append((RETURN, 0, 0, ALLOW))
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(lines)))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(head))


# ------------------------------------------------------------------------------------------------- privileges


CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN = 0, 1, 3, 6, 7, 21


def keep_capabilities(*kept: int) -> None:
    """Give up all of root's privileges but these, which a container's root has, too."""
    bits = sum(1 << number for number in kept)
    version, this_process = 0x20080522, 0
    low, high = bits & 0xFFFFFFFF, bits >> 32
    call("capset", struct.pack("Ii", version, this_process), struct.pack("6I", low, low, 0, high, high, 0))


def become(user: int, group: int) -> None:
    """Change to another user, for good."""
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


@contextmanager
def seeing_as(user: int | None, group: int | None) -> Iterator[None]:
    """See of processes what a user can see, who can do nothing to this process meanwhile.

    So it takes no privilege to look into all processes. Without a user this process sees what it does.
    """
    if user is not None:
        libc.setfsgid(group)
        libc.setfsuid(user)
    try:
        yield
    finally:
        if user is not None:
            libc.setfsuid(os.geteuid())
            libc.setfsgid(os.getegid())


def kill_all_of(user: int) -> None:
    """Kill all processes of a user at once, and be good for nothing afterwards.

    For them this process is another user's: theirs could stop it before it comes to that.
    """
    killer = user + 1
    os.setgroups([])
    os.setresuid(killer, user, killer)
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def lock_up(setup: Setup, user: int | None, writable: list[str]) -> None:
    """Give up every privilege of this process, and of all that come from it, for good.

    Args:
        setup: of the sandbox.
        user: who students' code runs as; None if we can't change user.
        writable: folders that it may write to.
    """
    if user is not None and setup.group is not None:
        become(user, setup.group)
    prctl(PR_SET_DUMPABLE, 1)  # so that the supervisor can see what this process uses; ptrace is refused
    keep_capabilities()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if landlock_version():
        restrict_files(setup, writable)
    if platform.machine() in ARCHITECTURES:
        refuse_system_calls()
