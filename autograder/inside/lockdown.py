"""What a process does to give up its privileges, and what of the system it may still see.

Python has no names for most of the system calls that this takes, so they are called through the C library.
Three things stand between a student's code and the rest of the machine, besides a user of its own:

- namespaces (mounts, processes, network, ...) and a root folder with nothing in it but what Python needs;
- where those are not to be had, Landlock: rules for which files a process may open;
- seccomp: a filter that refuses system calls.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.machinery
import os
import platform
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


@dataclass(frozen=True)
class Setup:
    """What all workers of a sandbox share.

    Attributes:
        scratch: folder that holds ``files`` (what every worker may read), ``work`` (where each worker starts)
            and ``root`` (where a root folder can be made).
        data: folder that a worker finds as ``./data``; None if there is none.
        user: number of the user and group that students' code runs as; None if we can't change user.
        preload: modules to import before the first fork.
        hidden: packages that students' code must not have.
        optional: packages that it can do without, where they are not installed.
        secrets: files and folders that it must not be able to read.
    """

    scratch: str
    data: str | None
    user: int | None
    preload: list[str]
    hidden: list[str]
    optional: list[str]
    secrets: list[str]

    @property
    def files(self) -> str:
        """What every worker may read: this folder, helpers, the submission."""
        return f"{self.scratch}/files"

    @property
    def work(self) -> str:
        """Where each worker starts."""
        return f"{self.scratch}/work"

    @property
    def python_folders(self) -> list[str]:
        """The folders that hold this Python and its packages, outermost first."""
        packages = {path for path in sys.path if os.path.isdir(path) and not path.startswith(self.files)}
        folders = {sys.prefix, sys.base_prefix, *packages}
        return sorted(folders | {os.path.realpath(folder) for folder in folders})

    @property
    def hidden_folders(self) -> list[str]:
        """The folders that hold the hidden packages."""
        specs = [importlib.machinery.PathFinder.find_spec(name) for name in self.hidden]
        folders = [folder for spec in specs if spec for folder in spec.submodule_search_locations or ()]
        return [os.path.realpath(folder) for folder in folders]


# ----------------------------------------------------------------------------------------------- system calls

libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 1, 4, 22, 36
PR_SET_NO_NEW_PRIVS = 38
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MNT_DETACH = 1 << 14, 1 << 18, 2
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
    """Leave the system's network, mounts, host name and so on; without root, by way of a user namespace."""
    wanted = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC
    user, group = os.getuid(), os.getgid()
    call("unshare", wanted if setup.user else wanted | CLONE_NEWUSER)
    if not setup.user:
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="utf-8")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def enter_root(setup: Setup) -> Setup:
    """Make a root folder of nothing but what Python needs, all of it read-only, and move into it.

    Returns:
        The setup as it is in there.
    """
    root = f"{setup.scratch}/root"
    inside = replace(setup, scratch="/sandbox", data=setup.data and "/sandbox/data")
    mount("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755,size=1m")
    shown: list[str] = []
    for folder in sorted({*SYSTEM_FOLDERS, *setup.python_folders}):
        if any(f"{folder}/".startswith(f"{other}/") for other in shown):
            continue
        if os.path.islink(folder):  # what it leads to is one of the folders, too
            os.makedirs(os.path.dirname(root + folder), exist_ok=True)
            os.symlink(os.readlink(folder), root + folder)
        elif os.path.isdir(folder):
            show(folder, root + folder)
        shown.append(folder)
    show(setup.files, root + inside.files)
    if setup.data and inside.data:
        show(setup.data, root + inside.data)
    for folder in (*TEMPORARY_FOLDERS, "/proc", "/etc", inside.work):
        os.makedirs(root + folder, exist_ok=True)
    mount("/proc", f"{root}/proc", "", MS_BIND | MS_REC)  # who has none may not mount one in a user namespace
    for device in DEVICES:
        Path(root + device).touch()
        mount(device, root + device, "", MS_BIND)
    for file in filter(os.path.exists, SYSTEM_FILES):
        shutil.copyfile(file, root + file)
    user = setup.user or os.getuid()
    account = f"student:x:{user}:{user}::{inside.work}:/bin/false\n"
    Path(f"{root}/etc/passwd").write_text(account, encoding="utf-8")
    for path in filter(os.path.exists, (root + path for path in (*setup.hidden_folders, *setup.secrets))):
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", MS_RDONLY, "mode=755")
        else:
            mount("/dev/null", path, "", MS_BIND)
    mount("none", root, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)
    os.chdir(root)
    call("pivot_root", ".", ".")
    call("umount2", ".", MNT_DETACH)
    os.chdir("/")
    sys.path[:] = [path.replace(setup.files, inside.files) for path in sys.path]
    return inside


def show(source: str, target: str) -> None:
    """Mount a folder of the system at another place, read-only."""
    os.makedirs(target)
    mount(source, target, "", MS_BIND | MS_REC)
    kept = os.statvfs(source).f_flag & MS_NOEXEC  # what a user namespace may not drop
    mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept)


def mount_private_folders(setup: Setup, size: int) -> None:
    """Give this process its own view of processes, and empty folders to write in.

    Args:
        setup: that ``enter_root`` returned.
        size: bytes that each folder can hold.
    """
    call("unshare", CLONE_NEWNS)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")
    for folder in (*TEMPORARY_FOLDERS, setup.work):
        if not os.listdir(folder):  # Python itself may be installed in there
            mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={size},nr_inodes=4096")


# --------------------------------------------------------------------------------------------------- Landlock

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION, LANDLOCK_RULE_PATH_BENEATH = 1, 1
WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
EVERYTHING = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}  # that a version can forbid with files
TCP_SINCE, SCOPES_SINCE = 4, 6


def landlock_version() -> int:
    """Return the version of Landlock that this system has; 0 if none."""
    return max(0, libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION))


def restrict_files(setup: Setup) -> None:
    """Deny this process all files but those that Python needs.

    Where Landlock is new enough, also signals to processes that are not restricted in the same way.
    """
    version = landlock_version()
    everything = EVERYTHING[min(version, max(EVERYTHING))]
    tcp = 0b11 if version >= TCP_SINCE else 0
    scopes = 0b11 if version >= SCOPES_SINCE else 0
    rules = struct.pack("QQQ", everything, tcp, scopes)
    ruleset = call("syscall", LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    allowed = {setup.work: everything, "/dev/shm": everything, "/dev/null": READ_FILE | WRITE_FILE}
    hidden = setup.hidden_folders
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
    """Yield what has to be allowed so that all in ``path`` can be read but the hidden folders."""
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
}  # fmt: skip
SOCKET, CLONE, CLONE3 = (41, 198), (56, 220), (435, 435)
NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, number in the filter
X32 = 0x40000000  # numbers from here on are another way into an x86_64 system
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # the filter's instructions
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # what it can load
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000  # what it can return; FAIL | the error's number
SECCOMP_MODE_FILTER = 2


def refuse_system_calls() -> None:
    """Have this process's system calls filtered, and those of all that come from it, for good.

    What is refused fails with EPERM. Sockets must be AF_UNIX; multiprocessing needs those. ``clone3`` hides
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
    program += [
        (IF_EQUAL, 0, 4, SOCKET[column]), (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_EQUAL, 0, 1, socket.AF_UNIX), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL | errno.EPERM),
        (IF_EQUAL, 0, 3, CLONE[column]), (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_ANY_BIT, 0, 1, NAMESPACES), (RETURN, 0, 0, FAIL | errno.EPERM),
        (RETURN, 0, 0, ALLOW),
    ]  # fmt: skip
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(lines)))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(head))


# ------------------------------------------------------------------------------------------------- privileges


def become(user: int) -> None:
    """Change to another user, for good."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def kill_all() -> None:
    """Kill every process but this one that it may kill: those of its user, or those of its namespace."""
    if os.getuid() == 0 and os.getpid() != 1:
        raise PermissionError("root must not kill all processes of the system")
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def lock_up(setup: Setup, namespaces: bool) -> None:
    """Give up every privilege of this process, and of all that come from it, for good.

    Args:
        setup: of the sandbox.
        namespaces: whether this process is in some; if not, Landlock has to do.
    """
    if setup.user:
        become(setup.user)
    else:
        prctl(PR_SET_DUMPABLE, 1)  # so that the supervisor, of the same user, can see what this process uses
    version, this_process, nothing = 0x20080522, 0, bytes(24)
    call("capset", struct.pack("Ii", version, this_process), nothing)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if not namespaces and landlock_version():
        restrict_files(setup)
    if platform.machine() in ARCHITECTURES:
        refuse_system_calls()
