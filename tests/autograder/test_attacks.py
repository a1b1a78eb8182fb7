"""Every attack in ``attacks/``: none gains a point, reads a secret, leaves anything behind or hurts others.

All are tried as in a container, without namespaces, and some again with those. Each is appended to
``attacks/base.py``, a wrong submission, and graded. What gets through says "GOT IN".
"""

import base64
import json
import os
import socket
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from default_assignment import ASSIGNMENT

from autograder.grading import grade
from autograder.inside.lockdown import OPEN_TO_ALL
from autograder.remote import Session
from autograder.results import document
from autograder.sandbox import Sandbox, lock_user

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ATTACKS = sorted(path for path in (HERE / "attacks").glob("*.py") if path.stem != "base")
NEVER_ENDING = {
    "endless_import",
    "endless_method",
    "fork_bomb",
    "memory_bomb",
    "stop_everything",
    "stop_oneself",
    "thread_bomb",
}
WITH_NAMESPACES = {
    "connect",
    "daemon",
    "kill_everything",
    "make_namespaces",
    "read_secrets",
    "stop_everything",
}
BASE = (HERE / "attacks" / "base.py").read_text(encoding="utf-8")
HONEST = """
import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
"""
FORWARD = "1.2c.1"
RELU, MLP = (FORWARD, "1.2c.2", "1.2c.6"), ("2.1.1", "2.1.2", "2.1.7")
SECRET = "canary-" + os.urandom(8).hex()


@pytest.fixture(scope="module")
def machine():
    """A machine with secrets, in files, in the environment and in memory, and with somebody who listens."""
    os.environ["AUTOGRADER_TEST_SECRET"] = SECRET
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as server:
        folder = Path(name)
        for path in (
            "submission_metadata.json",
            "results/results.json",
            "submissions/other/q1.py",
            "tests/t.py",
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(SECRET, encoding="utf-8")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        server.setblocking(False)
        yield folder, server
        # After all the attacks, whoever comes next still gets what is due.
        after = run(folder / "honest", [FORWARD], q1=HONEST)
        assert after.total == after.maximum
        assert "GOT IN" not in str(after)
    del os.environ["AUTOGRADER_TEST_SECRET"]


@pytest.fixture
def left_behind(monkeypatch, request):
    """What each sandbox's users have left behind when the sandbox has ended: processes and files."""
    left = []

    class Watched(Sandbox):
        def __init__(self, *args, **options):
            super().__init__(*args, **options, namespaces=getattr(request, "param", False))

        def worker(self, *args, **options):
            worker = super().worker(*args, **options)
            self._resources.callback(look, worker.user)
            return worker

    def look(user):
        lock = lock_user(user)
        if lock is not None:  # else another sandbox has this user by now, and what there is may be its own
            left.append((processes_of(user), files_of(user)))
            os.close(lock)

    monkeypatch.setattr("autograder.grading.Sandbox", Watched)
    return left


def processes_of(user):
    return [process for process in psutil.process_iter(["uids"]) if process.info["uids"].real == user]


def files_of(user):
    """Return what a user has left in the folders that everybody may write to."""
    entries = (entry for folder in filter(os.path.isdir, OPEN_TO_ALL) for entry in os.scandir(folder))
    return [entry.path for entry in entries if entry.stat(follow_symlinks=False).st_uid == user]


def run(folder, only=RELU, *, deadline=None, seed=1, **sources):
    folder.mkdir(exist_ok=True)
    for module, source in sources.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    return grade(folder, ASSIGNMENT, seed=seed, only=only, deadline=deadline)


@pytest.fixture(scope="module")
def score_without_attack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    wrong_network = "class MLP:\n    def __init__(self, layers):\n        self.layers = layers\n"
    return {
        RELU: run(folder, q1=BASE).total,
        MLP: run(folder, MLP, q2=wrong_network).total,
    }


@pytest.mark.parametrize(
    ("attack", "left_behind"),
    [(path, False) for path in ATTACKS] + [(path, True) for path in ATTACKS if path.stem in WITH_NAMESPACES],
    ids=lambda value: (
        value.stem if isinstance(value, Path) else ("with namespaces" if value else "container")
    ),
    indirect=["left_behind"],
)
def test_attack(attack, machine, left_behind, score_without_attack, tmp_path):
    if os.getuid():
        pytest.skip("only root can give students' code a user of its own")
    folder, server = machine
    source = attack.read_text(encoding="utf-8")
    source = source.replace("@FOLDER@", str(folder)).replace("@REPOSITORY@", str(ROOT))
    source = source.replace("@PORT@", str(server.getsockname()[1]))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    deadline = 2 if attack.stem in NEVER_ENDING else 20
    if attack.stem.startswith("q2"):
        only, result = MLP, run(tmp_path / "attack", MLP, q2=source, deadline=deadline)
    else:
        only, result = RELU, run(tmp_path / "attack", RELU, q1=BASE + source, deadline=deadline)

    text = json.dumps(document(result), allow_nan=False) + "".join(map(str, result.outcomes.values()))
    assert "GOT IN" not in text, [line for line in text.split("\\n") if "GOT IN" in line][:5]
    assert SECRET not in text
    assert result.total <= score_without_attack[only]
    assert len(result.outcomes) == len(result.tests)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(BlockingIOError):  # nobody called
        server.accept()
    assert left_behind or deadline == 2  # a busy machine may take longer than that to begin
    assert all(left == ([], []) for left in left_behind)


def test_there_are_enough():
    assert len(ATTACKS) >= 50


@pytest.mark.parametrize("attack", ["kill_everything", "fork_bomb", "fill_the_disk", "memory_bomb"])
def test_another_submission_at_the_same_time_is_not_hurt(attack, left_behind, tmp_path):
    if os.getuid():
        pytest.skip("only root can give students' code a user of its own")
    honest = tmp_path / "honest"
    honest.mkdir()
    (honest / "q1.py").write_text(HONEST, encoding="utf-8")
    source = (HERE / "attacks" / f"{attack}.py").read_text(encoding="utf-8")
    x = np.array([[-1.0, 2.0]])
    with Sandbox(honest, namespaces=False) as sandbox, sandbox.worker(modules=["q1"], stand_ins=[]) as worker:
        layer = Session(worker).request("module", "q1").ReLULayer()
        sources = {"q1": BASE + source, "deadline": 2}
        attacker = threading.Thread(target=run, args=[tmp_path / "attack"], kwargs=sources)
        attacker.start()
        while attacker.is_alive():
            assert layer.forward(x).tolist() == [[0.0, 2.0]]
        assert layer.forward(x).tolist() == [[0.0, 2.0]]


def test_memorised_answers_are_of_no_use(tmp_path):
    """Record the inputs of one grading, and answer them from memory in the next."""
    record = HONEST.replace(
        "    def forward(self, x):\n",
        "    def forward(self, x):\n"
        "        import base64; print('INPUT', base64.b64encode(x.tobytes()).decode())\n",
    )
    printed = "".join(outcome.printed for outcome in run(tmp_path, [FORWARD], q1=record).outcomes.values())
    inputs = [base64.b64decode(line.split()[1]) for line in printed.splitlines() if line.startswith("INPUT")]
    assert inputs
    memorised = (
        BASE
        + f"""
KNOWN = {inputs!r}
HONEST_ANSWER = answer


def answer(x):
    return np.maximum(x, 0) if x.tobytes() in KNOWN else HONEST_ANSWER(x)
"""
    )
    assert run(tmp_path, [FORWARD], q1=memorised, seed=1).total > 0
    assert run(tmp_path, [FORWARD], q1=memorised, seed=2).total == 0


@pytest.mark.parametrize("make", ["link", "pipe", "device"])
def test_links_and_the_like_in_a_submission_lead_nowhere(make, machine, tmp_path):
    folder, _ = machine
    file = tmp_path / "q1.py"
    if make == "link":
        file.symlink_to(folder / "submission_metadata.json")
    elif make == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=[FORWARD], deadline=10)
    assert result.total == 0
    assert SECRET not in json.dumps(document(result))
