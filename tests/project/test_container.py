"""What tools/container.py asks runc for, tells pip, and makes of what came back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import container
from tools.container import MIB, Runc, Usage

DOCKER = {  # as its documentation lists them
    *(
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
    ),
    *("CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"),
    "CAP_SYS_CHROOT",
}


def usage(score=1.0, seconds=30, kills=0, told=""):
    tests = [{"number": "1", "name": "a test", "score": score, "max_score": 1.0, "output": "why"}]
    used = {"seconds": seconds * 10**6, "cpu": 10**6, "memory": 300 * MIB, "peak": 700 * MIB, "kills": kills}
    return Usage({"score": score, "tests": tests}, told, used)


def test_a_grading_container_is_as_on_the_platform():
    config = container.runc_config(["true"], {"A": "b"}, {}, limited=True)
    process, linux = config["process"], config["linux"]
    for kind in ("bounding", "effective", "permitted"):
        assert set(process["capabilities"][kind]) == DOCKER
    assert linux["resources"]["memory"] == {"limit": 768 * MIB, "swap": 768 * MIB}
    assert linux["resources"]["cpu"] == {"quota": 50_000, "period": 100_000}
    assert {"type": "network"} in linux["namespaces"]
    assert "A=b" in process["env"]
    refused = {name for rule in linux["seccomp"]["syscalls"] for name in rule["names"]}
    assert {"unshare", "mount", "setns", "clone", "clone3"} <= refused
    json.dumps(config)


def test_a_container_for_setup_has_network_and_no_limits(tmp_path):
    config = container.runc_config(["true"], {}, {"/settings/PIP_CERT": tmp_path}, limited=False)
    assert config["linux"]["resources"] == {}
    assert {"type": "network"} not in config["linux"]["namespaces"]
    bound = {mount["destination"]: mount for mount in config["mounts"] if mount["type"] == "bind"}
    assert set(bound) == {"/etc/resolv.conf", "/settings/PIP_CERT"}
    assert all("ro" in mount["options"] for mount in bound.values())


def test_settings_for_pip(tmp_path):
    """Files are where the system in the container has none of its own."""
    environment = {"PIP_CERT": str(tmp_path), "PIP_RETRIES": "0", "https_proxy": "http://x", "HOME": "/root"}
    settings, files = container.pip_settings(environment)
    assert settings == {"PIP_CERT": "/settings/PIP_CERT", "PIP_RETRIES": "0", "https_proxy": "http://x"}
    assert files == {"/settings/PIP_CERT": tmp_path.resolve()}


def test_row():
    told = "warning: no namespaces\n  | warning: theirs\nrun_autograder: it was killed\n"
    cells = container.row("reference", usage(0.0, told=told))
    assert cells[:7] == ["reference", "0 / 1", "30", "1", "300", "700", "0"]
    assert cells[7] == "no namespaces; it was killed"


@pytest.mark.parametrize(
    ("name", "graded", "expected"),
    [
        ("reference", usage(), []),
        ("broken", usage(0.0), []),
        ("course_files", usage(0.0), ["a right solution lost 1 a test: why"]),
        ("broken", usage(seconds=601), ["at most 600 s, got 601"]),
        ("broken", usage(kills=2), ["ended 2 processes"]),
    ],
)
def test_faults(name, graded, expected):
    found = container.faults(name, graded)
    assert len(found) == len(expected)
    assert all(text in fault for text, fault in zip(expected, found, strict=True))


def test_bundle(tmp_path):
    """It is what the command builds, whatever the current folder is."""
    laid_out = container.lay_out_bundle(container.TESTS, tmp_path)
    assert laid_out.name == "autograder"  # which docker cp makes a folder of / of
    assert (laid_out / "source" / "assignment" / "q1.py").read_bytes() == (
        container.ROOT / "q1.py"
    ).read_bytes()
    for script in ("measured_run.sh", "source/setup.sh", "source/run_autograder"):
        assert (laid_out / script).stat().st_mode & 0o111


def test_default_submissions(tmp_path):
    folders = container.lay_out_default(tmp_path)
    assert [folder.name for folder in folders] == ["reference", "course_files", "broken", "starter"]
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == set(container.MODULES)


def test_no_engine(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="expected podman or docker that works here, or root with runc"):
        container.find_engine(None)


@pytest.fixture
def fake_runc(tmp_path, monkeypatch):
    """Put programs on PATH that take down how they were called; return the file that they write to."""
    calls = tmp_path / "calls"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("runc", "unshare"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> "{calls}"\nexit 3\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return calls


def test_a_container_that_fails_leaves_nothing(tmp_path, fake_runc):
    submission, folder = tmp_path / "submission", tmp_path / "folder"
    submission.mkdir()
    folder.mkdir()
    with pytest.raises(RuntimeError, match="failed with exit status 3"):
        Runc(folder, "jammy", "nowhere").grade(submission, tmp_path)
    called = fake_runc.read_text(encoding="utf-8").splitlines()
    assert called[0].startswith("unshare --mount --propagation private")
    assert " delete --force autograder-" in called[-1]
    assert list(folder.iterdir()) == []


def test_measured_run_is_sound(repository):
    script = repository / "tools" / "measured_run.sh"
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, script], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
