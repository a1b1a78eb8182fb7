"""Several processes: ``--jobs``, and several commands at once in one results folder."""

import os
import re
import shutil
import signal
import threading
import time
import uuid
from pathlib import Path

import pytest
from runs import heed_interrupts, leftovers_in, records_in

import fashion_mnist

SYNTHETIC = ("--dataset", "synthetic", "--results-dir", "results")
NETWORKS = ("architectures", "--models", "custom", "--epochs", "4", "--batch-size", "10", *SYNTHETIC)
needs_two_cores = pytest.mark.skipif(
    fashion_mnist.available_cores() < 2, reason="there is but one core to share out"
)


def numbers_in(folder):
    """Return the losses and accuracies of the records in a results folder by their setting."""
    return {
        setting: (record.train_losses, record.val_accuracies, record.test_accuracy, record.parameters)
        for setting, record in records_in(folder).items()
    }


@needs_two_cores
def test_same_records(main, command, monkeypatch, tmp_path):
    """Two at a time come to the same numbers as one after the other."""
    # So few images at a time are always for one thread, with which sums are rounded in one way.
    arguments = ("learning-rates", "--epochs", "1", "--batch-size", "25", *SYNTHETIC)
    done = command(*arguments, "--jobs", "2", "--save", "w.npz", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("trained in") == 6
    found = numbers_in("results")
    assert leftovers_in(Path("results")) == []
    assert Path("w.npz").exists()
    shutil.rmtree("results")
    monkeypatch.setattr(fashion_mnist, "plot_samples", lambda *_: None)
    monkeypatch.setattr(fashion_mnist.Results, "save_figure", lambda *_: None)
    assert main(*arguments)[0] == 0
    assert len(found) == 6
    assert numbers_in("results") == found


@pytest.mark.parametrize("jobs", [fashion_mnist.available_cores() + 1, 1000])
def test_more_jobs_than_cores(main, one_line, tmp_path, jobs):
    status, stdout, stderr = main(*SYNTHETIC, "--jobs", str(jobs))
    assert (status, stdout) == (2, "")
    one_line(stderr, "--jobs: expected at most", str(fashion_mnist.available_cores()), f"got {jobs}")
    assert list(tmp_path.iterdir()) == []


def processes_with(mark):
    """Return the running processes that have inherited a variable of this value: command line by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended, or is none of ours
            continue
    return found


def deaf_to_interrupts(process):
    """Return whether a process blocks or ignores SIGINT, by the masks that Linux shows."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    masks = re.findall(r"^Sig(?:Blk|Ign):\s*(\w+)$", status, re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGINT - 1) & 1 for mask in masks)


def wait_until(condition, seconds):
    """Return whether something comes true within some time."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return true


@needs_two_cores
@pytest.mark.parametrize(
    ("moment", "heard_by"), [("the processes start", "the parent alone"), ("there is a record", "all")]
)
def test_interrupt(start, main, tmp_path, moment, heard_by):
    """Ctrl-C ends all processes within seconds, with one line; the same command goes on from there."""
    mark = f"mark-{uuid.uuid4()}"
    child = start(
        *(*NETWORKS, "--jobs", "2"),
        cwd=tmp_path,
        variables={"MARK": mark},
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    runs = tmp_path / "results" / "runs"
    if moment == "there is a record":
        assert wait_until(lambda: list(runs.glob("*.json")) or child.poll() is not None, 60)
    else:
        assert wait_until(lambda: len(processes_with(mark)) >= 3 or child.poll() is not None, 60)
    assert child.poll() is None, f"it ended by itself: {child.communicate()}"
    hearing = {pid: line for pid, line in processes_with(mark).items() if not deaf_to_interrupts(pid)}
    if heard_by == "all":
        os.killpg(child.pid, signal.SIGINT)
    else:
        child.send_signal(signal.SIGINT)
    try:
        _, stderr = child.communicate(timeout=60)
    finally:
        if processes_with(mark):
            wait_until(lambda: not processes_with(mark), 5)
        left = processes_with(mark)
        if child.poll() is None or left:
            os.killpg(child.pid, signal.SIGKILL)
    assert left == {}
    assert hearing.keys() <= {child.pid}, "others could die of Ctrl-C with a traceback"
    assert child.returncode == 130, stderr
    assert "Traceback" not in stderr, stderr
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert "same command" in stderr
    assert leftovers_in(tmp_path / "results") == []
    if moment == "there is a record":
        before = {path.name: path.read_bytes() for path in runs.iterdir()}
        assert 1 <= len(before) < 10
        status, stdout, stderr = main(*NETWORKS)
        assert (status, stderr) == (0, "")
        assert stdout.count("kept from before") == len(before)
        after = {path.name: path.read_bytes() for path in runs.iterdir()}
        assert len(after) == 10
        assert after.items() >= before.items()


@needs_two_cores
@pytest.mark.parametrize("killed", ["a worker", "the parent"])
def test_kill(start, one_line, tmp_path, killed):
    """One of the processes is killed, as for want of memory: all end, and who is left says so."""
    mark = f"mark-{uuid.uuid4()}"
    child = start(*(*NETWORKS, "--jobs", "2"), cwd=tmp_path, variables={"MARK": mark}, start_new_session=True)
    try:
        assert wait_until(lambda: list((tmp_path / "results" / "runs").glob("*.json")), 60)
        workers = [pid for pid, line in processes_with(mark).items() if "spawn_main" in line]
        assert len(workers) == 2
        os.kill(workers[0] if killed == "a worker" else child.pid, signal.SIGKILL)
        _, stderr = child.communicate(timeout=60)
        assert wait_until(lambda: not processes_with(mark), 10), processes_with(mark)
    finally:
        if processes_with(mark):
            os.killpg(child.pid, signal.SIGKILL)
    if killed == "a worker":
        assert child.returncode == 2
        one_line(stderr, "--jobs", "memory")


ENDED_WHILE_IT_SENDS = """
import os, signal
from multiprocessing.connection import Connection


def send_half(connection, content):
    os.write(connection.fileno(), bytes(content)[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGTERM)


def work(*_):
    Connection._send = send_half
    return "the beginning and the end"


if __name__ == "__main__":
    import fashion_mnist

    fashion_mnist.run_on_own_cores = work
    try:
        print(list(fashion_mnist.run_in_processes([None], None, 1)))
    except ChildProcessError as error:
        print(error)
"""


def test_a_process_that_is_ended_while_it_sends(start, repository, tmp_path):
    """Nobody waits for the rest of what it was sending."""
    (tmp_path / "script.py").write_text(ENDED_WHILE_IT_SENDS, encoding="utf-8")
    child = start(cwd=tmp_path, script="script.py", variables={"PYTHONPATH": str(repository)})
    try:
        stdout, stderr = child.communicate(timeout=60)
    finally:
        child.kill()
    assert stdout == "a process of --jobs was ended, perhaps for want of memory\n", stderr


def test_commands_at_once(start, tmp_path):
    """The same command in several windows: all come to their end, and to the same results."""
    arguments = ("--models", "custom", "--epochs", "1", "--batch-size", "400", *SYNTHETIC, "--save", "w.npz")
    children = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    ends = [child.communicate(timeout=120) for child in children]
    found = [(child.returncode, stderr) for child, (_, stderr) in zip(children, ends, strict=True)]
    assert found == [(0, "")] * len(children)
    results = tmp_path / "results"
    assert len(numbers_in(results)) == 1
    figures = ["confusion", "first-layer", "losses", "mistakes", "samples", "training"]
    assert {path.name for path in results.iterdir()} == {"runs", *(f"{name}.png" for name in figures)}
    assert leftovers_in(results) == []
    assert (tmp_path / "w.npz").stat().st_size > 900_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "w.npz"]


# Records and the code that made them.

EDITS = """
import contextlib, io, sys
from pathlib import Path

import fashion_mnist

fashion_mnist.plot_samples = lambda *_: None
fashion_mnist.Results.save_figure = lambda *_: None


def train(*more):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = fashion_mnist.main(
            ["--dataset", "synthetic", "--epochs", "1", "--batch-size", "400", *more]
        )
    print(status, out.getvalue().count("kept from before"), repr(err.getvalue()), sep="|")


def append(name, text):
    with open(name, "a", encoding="utf-8") as file:
        file.write(text)


train()
train()
for name, text in (("q1.py", "# a remark\\n"), ("q2.py", "\\n"), ("fashion_mnist.py", "x = 1\\n")):
    append(name, text)
    train()
    train()
append("q1.py", "# another\\n")
train("--models", "custom")
append("q2.py", "# another\\n")
train("--fresh")
train()
"""


def test_records_of_other_code(command, repository, tmp_path):
    """After any edit, of a remark too, records are of other code: that is said, and they are made anew."""
    for name in ("q1.py", "q2.py", "fashion_mnist.py"):
        shutil.copy(repository / name, tmp_path)
    (tmp_path / "edits.py").write_text(EDITS, encoding="utf-8")
    done = command(cwd=tmp_path, script="edits.py")
    assert done.returncode == 0, done.stderr
    calls = [line.split("|") for line in done.stdout.splitlines()]
    assert [status for status, _, _ in calls] == ["0"] * len(calls)
    assert [int(kept) for _, kept, _ in calls] == [0, 2, 0, 2, 0, 2, 0, 2, 0, 0, 2]
    said = [stderr != "''" for _, _, stderr in calls]
    assert said == [False, False, True, False, True, False, True, False, True, False, False]
    for _, _, stderr in calls:
        assert stderr == "''" or ("other code" in stderr and stderr.count("\\n") == 1)


def test_interrupts_are_held_back_whichever_thread_hears_them():
    """A thread that was there before does not block them; they come as soon as they may."""
    done, held = threading.Event(), []
    thread = threading.Thread(target=done.wait)
    thread.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run with "&"
    try:
        with pytest.raises(KeyboardInterrupt), fashion_mnist.held_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            held.append(True)
        after = signal.getsignal(signal.SIGINT)
    finally:
        done.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert held == [True]
    assert after is signal.default_int_handler
