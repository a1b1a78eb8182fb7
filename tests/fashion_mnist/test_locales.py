"""Other people's locales, encodings, pipes and closed streams."""

import ast
import shlex
import subprocess
import sys

import pytest

OPTIONS = ("--dataset", "synthetic", "--epochs", "1", "--batch-size", "500")
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder where the networks are trained once, by the first test that needs them."""
    return tmp_path_factory.mktemp("locales")


@pytest.mark.parametrize(
    ("encoding", "experiment"), [("", "architectures"), ("latin-1", "train"), ("gbk", "architectures")]
)
def test_encodings(command, folder, encoding, experiment):
    """Files are UTF-8 whatever the terminal's encoding; what that lacks is a question mark, and no error."""
    variables = PLAIN | ({"PYTHONIOENCODING": encoding} if encoding else {})
    arguments = (experiment, "--models", "custom", "--seeds", "2", *OPTIONS)
    done = command(*arguments, cwd=folder, variables=variables, encoding=encoding or "ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert f" {'±' if encoding else '?'} 0.0" in done.stdout
    if experiment == "architectures":
        for name in ("architectures.md", "architectures.csv"):
            text = (folder / "results/synthetic" / name).read_bytes().decode("utf-8")
            assert "±" in text or name.endswith("csv")
        assert len(list((folder / "results/synthetic/runs").iterdir())) == 20


@pytest.fixture
def sh(folder, repository, environment):
    """Return a function that runs the program in a shell, and returns the shell's end and its own status."""

    def run(redirections, *arguments):
        program = shlex.join([sys.executable, str(repository / "fashion_mnist.py"), *arguments])
        done = subprocess.run(
            ["/bin/sh", "-c", f"{{ {program}; echo $? > status; }} {redirections}"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            timeout=120,
        )
        return done, int((folder / "status").read_text(encoding="utf-8"))

    return run


@pytest.mark.parametrize("redirections", ["2>&-", ">&-", ">&- 2>&-", "| head -1", "| true"])
def test_streams(folder, sh, redirections):
    """Closed streams, as services have them, and a reader that has had enough, are no reason to complain."""
    picture = folder / "results/synthetic/architectures.png"
    picture.unlink(missing_ok=True)
    done, status = sh(redirections, "architectures", "--models", "custom", *OPTIONS, "--fresh")
    assert done.stderr == b""
    if redirections in ("2>&-", "| head -1"):
        assert done.stdout.startswith(b"[1/10]")
        assert len(done.stdout.splitlines()) == (1 if "head" in redirections else 26)
    else:
        assert done.stdout == b""
    assert status in {"| head -1": (0, 141), "| true": (141,)}.get(redirections, (0,))
    if "|" not in redirections:
        # A file that is opened first may get the number of a closed stream, and what is printed with it.
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_error_that_nobody_hears(sh):
    """The status still says it."""
    done, status = sh(">&- 2>&-", *OPTIONS, "--lr", "-1")
    assert (status, done.stdout, done.stderr) == (2, b"", b"")


def without_encoding(path):
    """Yield where a Python file opens a text without saying its encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = {keyword.arg for keyword in node.keywords}
        text = {ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg in ("text", "mode")}
        modes = [it.value for it in node.args if isinstance(it, ast.Constant) and isinstance(it.value, str)]
        if None in words or "encoding" in words:
            continue
        if (
            (name == "read_text" and not node.args)
            or (name == "write_text" and len(node.args) < 2)
            or (
                name in ("run", "Popen", "check_output") and ("True" in text or "universal_newlines" in words)
            )
            or (
                name in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile")
                and isinstance(node.func, ast.Name)
                and not any("b" in mode and set(mode) <= set("rwxab+") for mode in [*modes, *text])
            )
        ):
            yield f"{path}:{node.lineno}: {ast.unparse(node)[:80]}"


def test_every_text_file_has_its_encoding(repository):
    """Without one, ``open`` takes the locale's, and a "±" or "→" is an error elsewhere."""
    ours = [
        path
        for path in repository.rglob("*.py")
        if not any(part.startswith(".") for part in path.relative_to(repository).parts)
    ]
    assert len(ours) > 30
    found = [place for path in ours for place in without_encoding(path)]
    assert found == [], "\n".join(found)


def test_every_text_file_has_its_encoding_says_ruff(repository):
    """Its rule for that is a preview."""
    arguments = ["--preview", "--select", "PLW1514", "--no-cache", "--output-format", "concise", "."]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *arguments],
        cwd=repository,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
