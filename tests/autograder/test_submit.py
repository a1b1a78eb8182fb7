"""submit: a zip of the three files, once what is in it has been graded; or a refusal that says why."""

import functools
import io
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from default_assignment import ASSIGNMENT

from autograder import bundle, submission
from autograder.__main__ import main, parser
from autograder.submission import BadSubmissionError, Submission

REPOSITORY = Path(__file__).resolve().parents[2]


def load(path):
    return submission.load(path, ASSIGNMENT.files)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with the reference's three files and more; grading runs one test only."""
    monkeypatch.setattr(bundle, "grade", functools.partial(bundle.grade, only=["1.2c.1"]))
    monkeypatch.chdir(tmp_path)
    for name in ASSIGNMENT.files:
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    return tmp_path


def test_zip(folder, capsys):
    assert main(["submit"]) == 0
    shown = capsys.readouterr().out
    assert "dist/submission.zip is ready to hand in: 3 of 3 points" in shown
    assert "ReLU: forward" in shown
    path = folder / "dist" / "submission.zip"
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == sorted(ASSIGNMENT.files)
        assert all(archive.read(name) == (folder / name).read_bytes() for name in ASSIGNMENT.files)
    for name in ASSIGNMENT.files:
        os.utime(folder / name, (0, 0))
        (folder / name).chmod(0o600)
    assert main(["submit"]) == 0
    assert path.read_bytes() == first


def test_a_wrong_answer_is_no_reason_to_refuse(folder, capsys):
    with (folder / "q1.py").open("a", encoding="utf-8") as file:
        file.write("\n\nReLULayer.forward = lambda self, x: x\n")
    assert main(["submit", str(folder)]) == 0
    assert "0 of 3 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("q2.py", None, "q2.py is missing"),
        ("q2.py", "def forward(x:\n", "q2.py does not compile"),
        ("fashion_mnist.py", "x = '\0'", "fashion_mnist.py does not compile"),
        ("q1.py", "import no_such_module", "no_such_module"),
        ("q1.py", "import os; os._exit(3)", "can't be imported"),
        ("q1.py", "#" * 2_000_000, "q1.py is left out: it has more than 1,000,000 bytes"),
    ],
)
@pytest.mark.parametrize("older", [b"an older zip", None])
def test_refused(folder, capsys, name, source, reason, older):
    """With the reason; a zip that was there stays, and nothing half-written lies about."""
    if source is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(source, encoding="utf-8")
    target = folder / "dist" / "submission.zip"
    if older is not None:
        target.parent.mkdir()
        target.write_bytes(older)
    assert main(["submit"]) == 1
    assert reason in capsys.readouterr().err
    assert [path.name for path in target.parent.glob("*")] == (["submission.zip"] if older else [])
    assert older is None or target.read_bytes() == older


def test_refused_where_the_files_are_links(folder, tmp_path):
    (folder / "q1.py").unlink()
    (folder / "q1.py").symlink_to(REPOSITORY / "q1.py")
    with pytest.raises(BadSubmissionError, match="it is a link"):
        bundle.submit(folder, ASSIGNMENT, tmp_path / "submission.zip", print)


def test_paths_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for arguments in (["grade", "~/a", "--results", "~/b"], ["grade-all", "~/a", "--results", "~/b"]):
        options = vars(parser().parse_args(arguments))
        assert {str(options[name]) for name in options.keys() & {"submission", "folder"}} == {"/home/me/a"}
        assert options["results"] == Path("/home/me/b")
    assert parser().parse_args(["submit", "~"]).folder == Path("/home/me")


class TestLoad:
    """What arrives is not always three files in a folder."""

    def put(self, folder, *names, content="x = 1\n"):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    def test_a_folder_down(self, tmp_path):
        self.put(tmp_path, *(f"homework/{name}" for name in ASSIGNMENT.files))
        self.put(tmp_path, *(f"__MACOSX/{name}" for name in ASSIGNMENT.files), ".git/q1.py", content="junk")
        found = load(tmp_path)
        assert found.files == dict.fromkeys(ASSIGNMENT.files, b"x = 1\n")
        assert found.problems == ("The files in `homework` were graded.",)

    def test_the_fullest_and_then_the_outermost_folder(self, tmp_path):
        self.put(tmp_path, "q1.py", content="outer")
        self.put(tmp_path, *(f"b/{name}" for name in ASSIGNMENT.files), content="fullest")
        self.put(tmp_path, *(f"b/old/{name}" for name in ASSIGNMENT.files), content="old")
        assert load(tmp_path).files["q1.py"] == b"fullest"

    def test_what_is_missing_and_what_is_too_much(self, tmp_path):
        self.put(tmp_path, "q1.py", "helper.py", "notes.txt")
        problems = load(tmp_path).problems
        assert problems[:2] == ("`q2.py` is missing.", "`fashion_mnist.py` is missing.")
        assert problems[2].endswith("other modules are ignored: `helper.py`.")
        assert len(problems) == 3

    def test_nothing(self, tmp_path):
        assert load(tmp_path).files == {}

    def test_links_and_pipes_are_not_followed(self, tmp_path):
        (tmp_path / "secret").write_text("secret", encoding="utf-8")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "q1.py").symlink_to(tmp_path / "secret")
        os.mkfifo(tmp_path / "in" / "q2.py")
        (tmp_path / "in" / "sub").symlink_to(tmp_path)
        found = load(tmp_path / "in")
        assert found.files == {}
        assert "`q1.py` can't be read: it is a link." in found.problems
        assert "`q2.py` can't be read: it is no regular file." in found.problems

    def test_a_zip(self, tmp_path):
        path = tmp_path / "submission.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("homework\\q1.py", "x = 1")  # as Windows has it
            archive.writestr("../q1.py", "x = 2")
            archive.writestr("__MACOSX/homework/q1.py", "junk")
            archive.writestr("homework/q2.py", "#" * 50_000_000)
            link = zipfile.ZipInfo("homework/fashion_mnist.py")
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        found = load(path)
        assert found.files == {"q1.py": b"x = 1"}
        assert "`q2.py` is left out: it has more than 1,000,000 bytes." in found.problems
        assert "`fashion_mnist.py` can't be read: it is a link." in found.problems

    def test_a_zip_in_a_folder(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "homework.zip", "w") as archive:
            archive.writestr("q1.py", "x = 1")
        self.put(tmp_path, "notes.txt")
        assert load(tmp_path).files == {"q1.py": b"x = 1"}

    def test_a_zip_in_a_folder_that_is_none(self, tmp_path):
        (tmp_path / "homework.zip").symlink_to("/etc/passwd")
        assert load(tmp_path) == Submission({}, ("`homework.zip` is a link or no regular file.",))
        (tmp_path / "homework.zip").unlink()
        (tmp_path / "homework.zip").write_text("PK", encoding="utf-8")
        assert "`homework.zip` can't be read as a zip" in load(tmp_path).problems[0]

    def test_a_damaged_zip(self, tmp_path):
        path = tmp_path / "submission.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("q1.py", "x = 12345")
        path.write_bytes(path.read_bytes().replace(b"x = 12345", b"x = 54321"))
        assert "Bad CRC" in load(path).problems[0]

    def test_the_digest_is_that_of_the_files(self, tmp_path):
        self.put(tmp_path, *ASSIGNMENT.files)
        before = load(tmp_path)
        self.put(tmp_path, "notes.txt")
        assert load(tmp_path).digest == before.digest
        self.put(tmp_path, "q2.py", content="x = 2\n")
        assert load(tmp_path).digest != before.digest
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in before.files.items():
                archive.writestr(f"a/{name}", content)
        (tmp_path / "again.zip").write_bytes(packed.getvalue())
        assert load(tmp_path / "again.zip").digest == before.digest
