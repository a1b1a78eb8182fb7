"""Grades in a container like Gradescope's: Ubuntu 22.04, Docker's capabilities, 768 MB, half a CPU.

    python -m tools.container
    python -m tools.container --engine runc --folder /var/tmp/container SUBMISSION ...

Builds the bundle, makes an image with its setup.sh, and runs its run_autograder on each submission in a
container of its own; then prints the points, and what they took. podman and docker make the image of
ubuntu:22.04. Where neither works, debootstrap makes it and runc enters it, which takes root:
apt-get install debootstrap runc. On its command line PIP_... in the environment holds for setup.sh too.

"memory" is the largest sum of anonymous and shared memory, "peak" is the cgroup's, cached files included,
which the system drops before it runs out. 1 is returned if a right solution lost points, if a grading took
longer than Gradescope's 600 seconds, or if the system ended a process for lack of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tabulate import tabulate

from autograder.sandbox import LOCKS
from autograder.starter import with_gaps
from tools.fairness import BASE, MODULES, ROOT, TESTS, lay_out

MIB = 2**20
MEMORY = 768 * MIB
CPUS = 0.5
LONGEST = 600  # seconds
IMAGE = "docker.io/library/ubuntu:22.04"
SUITE, MIRROR = "jammy", "http://archive.ubuntu.com/ubuntu"
MEASURED_RUN = Path(__file__).with_name("measured_run.sh")
RIGHT = ("reference", "course_files")

# What Docker gives a container where nobody asks for more or less.
CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP"),
        *("SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
]
# Of the calls that Docker's filter refuses, those that such a root could still do something with.
REFUSED = [
    *("add_key", "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "io_uring_enter"),
    *("io_uring_register", "io_uring_setup", "keyctl", "mount", "mount_setattr", "move_mount", "open_tree"),
    *("perf_event_open", "pivot_root", "request_key", "setns", "umount2", "unshare", "userfaultfd"),
]
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
ENOSYS = 38


class Usage(NamedTuple):
    """What came of a submission in a container: the document, what staff are told, and ``usage.json``."""

    results: dict[str, Any]
    told: str
    usage: dict[str, int]


class Engine(Protocol):
    """What makes an image and runs containers."""

    def set_up(self, laid_out: Path) -> None:
        """Make an image that has this folder as /autograder, and has run the setup.sh of the bundle in it."""

    def grade(self, submission: Path, target: Path) -> str:
        """Grade a submission, write results.json and usage.json into a folder, return what was printed."""

    def clean_up(self) -> None:
        """Leave nothing behind."""


def pip_settings(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Path]]:
    """Return what an environment tells pip, proxies included, and the files that this names.

    The files are by their paths in the container, which are what the settings there say.
    """
    settings, files = {}, {}
    for name, value in environment.items():
        if name.startswith("PIP_") or name.lower() in ("http_proxy", "https_proxy", "no_proxy"):
            if value.startswith("/") and Path(value).exists():
                files[f"/settings/{name}"] = Path(value).resolve()
                value = f"/settings/{name}"
            settings[name] = value
    return settings, files


class Docker:
    """Runs containers with docker or podman.

    Args:
        program: the one or the other.
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self.image = f"autograder-{secrets.token_hex(4)}"

    def set_up(self, laid_out: Path) -> None:
        """See ``Engine``."""
        settings, files = pip_settings(os.environ)
        options = [f"--env={name}={value}" for name, value in settings.items()]
        options += [f"--volume={path}:{inside}:ro" for inside, path in files.items()]
        run(
            self.program,
            "create",
            f"--name={self.image}",
            *options,
            IMAGE,
            "bash",
            "/autograder/source/setup.sh",
        )
        try:
            run(self.program, "cp", laid_out, f"{self.image}:/")
            run(self.program, "start", "--attach", self.image)
            run(self.program, "commit", self.image, self.image)
        finally:
            run(self.program, "rm", "--force", self.image)

    def grade(self, submission: Path, target: Path) -> str:
        """See ``Engine``."""
        name = f"{self.image}-run"
        limits = [f"--memory={MEMORY}", f"--memory-swap={MEMORY}", f"--cpus={CPUS}"]
        run(
            self.program,
            "create",
            f"--name={name}",
            *limits,
            self.image,
            "bash",
            "/autograder/measured_run.sh",
        )
        try:
            run(self.program, "cp", submission, f"{name}:/autograder/submission")
            told = run(self.program, "start", "--attach", name)
            for file in ("results/results.json", "usage.json"):
                run(self.program, "cp", f"{name}:/autograder/{file}", target)
        finally:
            run(self.program, "rm", "--force", name)
        return told

    def clean_up(self) -> None:
        """See ``Engine``."""
        subprocess.run([self.program, "rmi", "--force", self.image], capture_output=True)


class Runc:
    """Runs containers with runc, in a root that debootstrap makes.

    Containers share this system's users, so they see its locks, too: else what is graded outside meanwhile
    would end their workers, taking them for abandoned ones of the same user.

    Each container writes into a layer of its own above the image. The mount is made in a namespace of the
    process that becomes runc: whatever ends that, no mount is left.

    Args:
        folder: for the image and the containers.
        suite: of Ubuntu or Debian.
        mirror: where debootstrap finds it.
    """

    def __init__(self, folder: Path, suite: str, mirror: str) -> None:
        self.folder, self.suite, self.mirror = folder, suite, mirror
        self.image = folder / suite

    def set_up(self, laid_out: Path) -> None:
        """See ``Engine``; a root that is there already is used again."""
        made = self.folder / f"{self.suite}.made"
        if not made.exists():
            shutil.rmtree(self.image, ignore_errors=True)
            components = "main,universe" if "ubuntu" in self.mirror else "main"
            options = ["--variant=minbase", f"--components={components}"]
            # In mounts of its own, so that its /proc goes when it does, however it ends.
            alone = ["unshare", "--mount", "--propagation", "private"]
            run(*alone, "debootstrap", *options, self.suite, self.image, self.mirror)
            made.touch()
        shutil.rmtree(self.image / "autograder", ignore_errors=True)
        shutil.copytree(laid_out, self.image / "autograder", symlinks=True)
        command = ["bash", "/autograder/source/setup.sh"]
        self._run(self.image, runc_config(command, *pip_settings(os.environ), limited=False))

    def grade(self, submission: Path, target: Path) -> str:
        """See ``Engine``."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            layer = Path(name)
            for part in ("upper/autograder", "work", "merged"):
                (layer / part).mkdir(parents=True)
            shutil.copytree(submission, layer / "upper" / "autograder" / "submission")
            lower = f"lowerdir={self.image},upperdir={layer}/upper,workdir={layer}/work"
            mount = f"mount -t overlay overlay -o {lower} {layer}/merged"
            LOCKS.mkdir(mode=0o700, parents=True, exist_ok=True)
            config = runc_config(["bash", "/autograder/measured_run.sh"], {}, {}, limited=True)
            config["mounts"].append(
                {"destination": str(LOCKS), "type": "bind", "source": str(LOCKS), "options": ["bind", "rw"]}
            )
            told = self._run(layer / "merged", config, mount)
            for file in ("results/results.json", "usage.json"):
                shutil.copy(layer / "upper" / "autograder" / file, target)
        return told

    def _run(self, root: Path, config: dict[str, Any], mount: str = "true") -> str:
        name = f"autograder-{secrets.token_hex(4)}"
        config = {**config, "root": {"path": str(root)}}
        config["linux"] = {**config["linux"], "cgroupsPath": f"/{name}"}
        with tempfile.TemporaryDirectory(dir=self.folder) as bundle:
            Path(bundle, "config.json").write_text(json.dumps(config), encoding="utf-8")
            runc = ["runc", "--root", f"{bundle}/state"]
            try:
                script = f'{mount} && exec "$@"'
                private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
                return run(*private, *runc, "run", "--bundle", bundle, name)
            finally:
                subprocess.run([*runc, "delete", "--force", name], capture_output=True)

    def clean_up(self) -> None:
        """See ``Engine``: who names a folder removes it."""


def runc_config(
    command: Sequence[str], settings: dict[str, str], files: dict[str, Path], *, limited: bool
) -> dict[str, Any]:
    """Return how runc is to run a command in a container that is as Docker's, as a config.json says it.

    Args:
        command: with its arguments.
        settings: environment variables besides PATH.
        files: of this system that it sees, by their paths there.
        limited: whether it has Gradescope's limits and no network, or as much of both as there is.
    """
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    own = ["nosuid", "noexec", "nodev"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["newinstance", "ptmxmode=0666"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*own, "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": own},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*own, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*own, "ro"]},
    ]
    if not limited:
        files = {"/etc/resolv.conf": Path("/etc/resolv.conf").resolve(), **files}
    for inside, file in files.items():
        bind = {"type": "bind", "source": str(file), "options": ["bind", "ro"]}
        mounts.append({"destination": inside, **bind})
    clone = [
        {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": [masked(bit)]} for bit in NEW_NAMESPACES
    ]
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": REFUSED, "action": "SCMP_ACT_ERRNO"},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
            *clone,
        ],
    }
    period = 100_000
    limits = {
        "memory": {"limit": MEMORY, "swap": MEMORY},
        "cpu": {"quota": int(CPUS * period), "period": period},
    }
    namespaces = ["pid", "ipc", "uts", "mount", *(["network"] if limited else [])]
    linux = {
        "namespaces": [{"type": kind} for kind in namespaces],
        "seccomp": seccomp,
        "resources": limits if limited else {},
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
    process = {
        "user": {"uid": 0, "gid": 0},
        "args": list(command),
        "env": [path, *(f"{name}={value}" for name, value in settings.items())],
        "cwd": "/",
        "capabilities": capabilities,
    }
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "hostname": "autograder",
        "mounts": mounts,
        "linux": linux,
    }


def masked(bit: int) -> dict[str, Any]:
    """Return seccomp's condition that the first argument of a call has a bit."""
    return {"index": 0, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"}


def run(*command: object) -> str:
    """Run a command, and return what it has printed, which is shown as well.

    Raises:
        RuntimeError: it has failed.
    """
    words = [str(word) for word in command]
    lines = []
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  | {line}", end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words[:3])} ... has failed with exit status {process.returncode}")
    return "".join(lines)


def find_engine(name: str | None) -> str:
    """Return the first program of docker, podman, runc that works here, or the one that is asked for.

    Raises:
        RuntimeError: none does.
    """
    for program in ("podman", "docker", "runc") if name is None else (name,):
        check = [program, "--version"] if program == "runc" else [program, "info"]
        with suppress(FileNotFoundError):
            if subprocess.run(check, capture_output=True).returncode == 0 and not missing(program):
                return program
    raise RuntimeError(
        f"expected {name or 'podman or docker'} that works here, or root with runc, debootstrap and unshare"
    )


def missing(program: str) -> bool:
    """Return whether what an engine needs besides its own program is not there."""
    others = ("debootstrap", "unshare", "mount") if program == "runc" else ()
    return bool(others) and (os.getuid() != 0 or not all(map(shutil.which, others)))


def lay_out_bundle(assignment: Path, folder: Path) -> Path:
    """Build the bundle with a key of its own, and unpack it as Gradescope does in its /autograder.

    The script that runs in the container lies beside it.

    Returns:
        What is to be /autograder.
    """
    command = [sys.executable, "-m", "autograder", "build", "--assignment", assignment.resolve()]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=True)
    laid_out = folder / "autograder"
    with zipfile.ZipFile(folder / "dist" / "autograder.zip") as bundle:
        for entry in bundle.infolist():
            Path(bundle.extract(entry, laid_out / "source")).chmod(entry.external_attr >> 16 & 0o777)
    shutil.copy(MEASURED_RUN, laid_out)
    return laid_out


def lay_out_default(folder: Path) -> list[Path]:
    """Write what is graded where nothing is named: two right submissions, a broken one, what students get."""
    submissions = {name: folder / name for name in (*RIGHT, "broken", "starter")}
    for path in submissions.values():
        path.mkdir()
    for module in MODULES:
        shutil.copy(ROOT / module, submissions["reference"])
    lay_out("course_files", submissions["course_files"])
    lay_out(BASE, submissions["broken"])
    shutil.copy(TESTS / "autograder" / "broken" / "endless_import.py", submissions["broken"] / "q1.py")
    for module in MODULES:
        handed_out = with_gaps((TESTS / "starter" / module).read_text(encoding="utf-8"))
        (submissions["starter"] / module).write_text(handed_out, encoding="utf-8")
    return list(submissions.values())


def row(name: str, graded: Usage) -> list[str]:
    """Return a submission's row of the table."""
    results, usage = graded.results, graded.usage
    warnings = re.findall(r"^(?:warning: |run_autograder: )(.*)", graded.told, re.MULTILINE)
    return [
        name,
        f"{results['score']:g} / {sum(test['max_score'] for test in results['tests']):g}",
        f"{usage['seconds'] / 1e6:.0f}",
        f"{usage['cpu'] / 1e6:.0f}",
        f"{usage['memory'] / MIB:.0f}",
        f"{usage['peak'] / MIB:.0f}",
        f"{usage['kills']}",
        "; ".join(warnings),
    ]


def faults(name: str, graded: Usage) -> list[str]:
    """Return what was not as it should be."""
    results, usage = graded.results, graded.usage
    lost = [
        f"{test['number']} {test['name']}: {test['output']}" for test in results["tests"] if not test["score"]
    ]
    found = [f"{name}: a right solution lost {text}" for text in lost if name in RIGHT]
    if usage["seconds"] > LONGEST * 1e6:
        found.append(f"{name}: expected at most {LONGEST} s, got {usage['seconds'] / 1e6:.0f}")
    if usage["kills"]:
        found.append(f"{name}: the system ended {usage['kills']} processes for lack of memory")
    return found


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """Provide a folder, or one that is removed afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="container-") as name:
            yield Path(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, grade, print the table, and return 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.container", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "submissions", metavar="SUBMISSION", type=Path, nargs="*", help="folders; default: four"
    )
    parser.add_argument("--assignment", metavar="FOLDER", type=Path, default=TESTS, help="default: tests")
    parser.add_argument(
        "--engine", choices=["podman", "docker", "runc"], help="default: the first that works"
    )
    parser.add_argument("--suite", default=SUITE, help="for debootstrap (%(default)s)")
    parser.add_argument("--mirror", default=MIRROR, help="for debootstrap (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="keeps runc's image, for the next time; default: a new one"
    )
    options = parser.parse_args(arguments)
    rows, found = [], []
    with place(options.folder) as folder, tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        program = find_engine(options.engine)
        engine: Engine = Runc(folder, options.suite, options.mirror) if program == "runc" else Docker(program)
        laid_out = lay_out_bundle(options.assignment, scratch)
        (scratch / "submissions").mkdir()
        submissions = options.submissions or lay_out_default(scratch / "submissions")
        try:
            engine.set_up(laid_out)
            for submission in submissions:
                target = scratch / f"graded-{len(rows)}"
                target.mkdir()
                told = engine.grade(submission, target)
                texts = [
                    (target / name).read_text(encoding="utf-8") for name in ("results.json", "usage.json")
                ]
                graded = Usage(json.loads(texts[0]), told, json.loads(texts[1]))
                rows.append(row(submission.name, graded))
                found += faults(submission.name, graded)
        except RuntimeError as error:
            found.append(str(error))
        finally:
            engine.clean_up()
    headers = ["submission", "points", "seconds", "CPU s", "memory MiB", "peak MiB", "OOM kills", "warnings"]
    print(tabulate(rows, headers, tablefmt="simple", maxcolwidths=[None] * 7 + [60]))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
