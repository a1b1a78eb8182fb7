"""What the pages show runs as it stands there, on synthetic data; what programs say of themselves fits."""

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import run_tests
import torch
import yaml
from PIL import Image
from runs import make_record

import fashion_mnist
from autograder.results import Grade
from fashion_mnist import CLASSES, Results, Setting, make_synthetic_images
from tools import publish

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *("README.md", "CONTRIBUTING.md", "docs/library.md", "docs/results.md"),
    *("benchmarks/README.md", "ee411/README.md"),
)
ON_SYNTHETIC_DATA = """
import functools, fashion_mnist
fashion_mnist.FashionMNIST = functools.partial(fashion_mnist.FashionMNIST, dataset="synthetic")
"""


def blocks(page, language):
    """Return the code blocks of a page that are in a language, "" for none."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def shown():
    """Yield the commands that the pages show, in blocks and in the text, each with its page."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        lines = [line for block in blocks(page, "") for line in block.splitlines()]
        inline = re.findall(r"`((?:python |\./run_all|torchrun |source |ruff |pip )[^`]*)`", text)
        for line in [*lines, *inline]:
            command = line.partition("  #")[0].partition("    #")[0].strip()
            if re.match(r"(python|\./|torchrun|source|ruff|pip) ?", command):
                yield page, command


COMMANDS = sorted({command for _, command in shown()})


def python(*arguments, cwd, **variables):
    """Run Python in a folder, with the repository's modules."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "PYTHONUTF8": "1", **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def test_pages_show_commands():
    assert len(COMMANDS) > 20
    programs = {" ".join(command.split()[:3]) for command in COMMANDS}
    assert {"python -m report", "python -m autograder", "python -m benchmarks", "python -m ee411"} <= programs


@pytest.mark.parametrize("command", [it for it in COMMANDS if it.startswith("python fashion_mnist.py")])
def test_fashion_mnist_commands(main, monkeypatch, command):
    """With made-up records and without figures, which are tested elsewhere."""
    weights = fashion_mnist.build_model(Setting()).state_dict()

    def trained(setting, *_, **__):
        return make_record(setting), weights

    monkeypatch.setattr(fashion_mnist, "run", trained)
    monkeypatch.setattr(fashion_mnist, "run_in_processes", lambda settings, *_: map(trained, settings))
    monkeypatch.setattr(fashion_mnist, "plot_samples", lambda *_: None)
    monkeypatch.setattr(Results, "save_figure", lambda *_: None)
    for name in fashion_mnist.EXPERIMENTS:
        monkeypatch.setitem(fashion_mnist.EXPERIMENTS, name, lambda *_: None)
    monkeypatch.setattr(fashion_mnist, "available_cores", lambda: 2)
    status, stdout, stderr = main(*shlex.split(command)[2:], "--dataset", "synthetic")
    assert (status, stderr) == (0, "")
    assert "[1/" in stdout


MODULES = "autograder|benchmarks|ee411|report|tools"


@pytest.mark.parametrize("command", [it for it in COMMANDS if re.search(rf"-m ({MODULES})\b", it)])
def test_other_commands(monkeypatch, command):
    """They read their command line; what they do is tested in their folders."""
    words = shlex.split(command.replace(" N", " 8"))
    words = words[words.index("-m") + 1 :]
    parsed = []

    def parse(parser, *_):
        parsed.append(original(parser, words[1:]))
        raise SystemExit(0)

    original = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    module = importlib.import_module(words[0])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{words[0]}.__main__")
    with pytest.raises(SystemExit):
        module.parser().parse_args() if words[0] == "autograder" else module.main()
    assert len(parsed) == 1


@pytest.mark.parametrize("command", [it for it in COMMANDS if it.startswith("python tests/run_tests.py")])
def test_graded_tests_in_place(monkeypatch, command):
    """It reads its command line; tests/assignment4/test_starter_files.py runs it."""
    graded = []
    monkeypatch.setattr(run_tests, "grade_in_place", lambda *_, **__: graded.append(1) or Grade(()))
    assert run_tests.main(shlex.split(command)[2:]) == 0
    assert graded


def test_every_command_is_tried():
    """By one of the tests here, or as what a shell and tools of others do."""
    tried = rf"python fashion_mnist.py|python tests/run_tests.py|python -m (pytest|{MODULES})|\./run_all.sh"
    others = r"source .venv/bin/activate|pip install|ruff check|torchrun .* -m ee411"
    assert [command for command in COMMANDS if not re.match(f"{tried}|{others}", command)] == []


@pytest.mark.parametrize("command", [it for it in COMMANDS if it.startswith("python -m pytest")])
def test_pytest_commands(command):
    """The files are there, and so are tests of such names and marks."""
    words = shlex.split(command)[3:]
    places = [ROOT / word for word in words if word.startswith("tests")]
    assert places
    assert all(place.exists() for place in places)
    files = [place for place in places if place.is_file()]
    sources = [*files, *(path for place in places for path in place.rglob("test_*.py"))]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    if "-k" in words:
        assert re.search(rf"def test_\w*{words[words.index('-k') + 1]}", text)
    if "-m" in words:
        assert f"pytest.mark.{words[words.index('-m') + 1]}\n" in text


EXPECTED = {
    "": [
        "-m report --only-author",
        "fashion_mnist.py all",
        "-m report",
        "-m autograder submit",
    ],
    "ee411": [
        "-m ee411 samples",
        "-m ee411 ablation",
        "-m ee411 adam",
        "-m ee411 bonus --recipe CNN",
        "-m ee411 bonus --recipe MLP 100-100",
        "-m ee411 bonus --recipe MLP 256-128",
        "-m ee411 cnn",
        "-m ee411 grids",
        "-m ee411 mlp",
        "-m ee411 permuted",
        "-m ee411 all",
    ],
    "test": ["-m pytest -n auto --dist worksteal tests"],
    "test fast": ["-m pytest -n auto --dist worksteal -m fast tests"],
    "publish": ["-m tools.publish"],
    "--help": [],
}
"""What ./run_all.sh calls, by its arguments."""


@pytest.fixture
def elsewhere(tmp_path):
    """Return a folder with run_all.sh and a Python that only notes what it is called with."""
    shutil.copy(ROOT / "run_all.sh", tmp_path)
    for path in (*ROOT.glob("requirements*.txt"), *ROOT.glob("*/requirements.txt")):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {shlex.quote(sys.executable)} "$@"\n'
        'echo "$@" >> calls\n[ "$2" = pip ] || exit 0\n'
        'echo "Collecting thing"\necho noise\nexit ${PIP_STATUS:-0}\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("arguments", EXPECTED)
def test_run_all(elsewhere, arguments):
    """Every use calls what it says, after an installation that is heard of; no line is too long."""
    command = [elsewhere / "run_all.sh", *arguments.split()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    path = elsewhere / "calls"
    calls = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    own = [call for call in calls if not call.startswith("-m pip")]
    if arguments == "ee411":
        own[1:-1] = sorted(own[1:-1])  # two at a time, in any order
    assert own == EXPECTED[arguments]
    assert any(call.startswith("-m pip install") for call in calls) == (arguments != "--help")
    assert ("Collecting thing" in done.stdout) == (arguments != "--help")
    assert "noise" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert all(f"./run_all.sh {it}".strip() in done.stdout for it in EXPECTED) or arguments != "--help"


def test_run_all_without_packages(elsewhere):
    """What can't be installed ends it, and is tried again the next time."""
    for _ in range(2):
        done = subprocess.run(
            [elsewhere / "run_all.sh"], env={**os.environ, "PIP_STATUS": "3"}, capture_output=True
        )
        assert done.returncode == 3
    calls = (elsewhere / "calls").read_text(encoding="utf-8").splitlines()
    assert len(calls) == 2
    assert all(call.startswith("-m pip") for call in calls)


@pytest.mark.parametrize("page", PAGES)
def test_run_all_on_the_pages(page):
    for command in (command for of_page, command in shown() if of_page == page):
        if command.startswith("./run_all.sh"):
            assert command.removeprefix("./run_all.sh").strip() in EXPECTED


SNIPPETS = [block for page in PAGES for block in blocks(page, "python") if "Image.open" not in block]


@pytest.mark.parametrize("place", range(len(SNIPPETS)))
def test_snippets(tmp_path, place):
    """They run as they stand, without a warning, but on synthetic data."""
    (tmp_path / "snippet.py").write_text(ON_SYNTHETIC_DATA + SNIPPETS[place], encoding="utf-8")
    done = python("-W", "error", "snippet.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    if "save_weights" in SNIPPETS[place]:
        assert re.search(
            r"training loss \d\.\d+, validation accuracy 0\.\d+, test accuracy 0\.\d+", done.stdout
        )
        assert done.stdout.count("taken for") == 8
        assert (tmp_path / "weights.pt").exists()


def test_predicting_with_saved_weights(command, tmp_path):
    """The lines that load what --save has written, of either kind, tell what an image shows, and show it."""
    options = ("--dataset", "synthetic", "--epochs", "5", "--lr", "0.05", "--models", "custom")
    done = command(*options, "--save", "weights.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    arrays = {key: value.numpy() for key, value in state.items()}
    fashion_mnist.save_weights(tmp_path / "weights.npz", {"custom": arrays})
    (lines,) = (block for block in blocks("docs/library.md", "python") if "scale_pixels" in block)
    other = lines.replace('torch.load("weights.pt", weights_only=True)', 'np.load("weights.npz")')
    assert "(np.load" in other
    images, labels = make_synthetic_images()[2:]
    program = (
        "import shutil\nimport numpy as np\n"  # one for all images, as each would have to import PyTorch
    )
    for number, image in enumerate(images[:5]):
        large = Image.fromarray(image).resize((56, 56), Image.Resampling.NEAREST).convert("RGB")
        large.save(tmp_path / f"{number}.png")
        program += f"shutil.copy('{number}.png', 'image.png')\n"
        program += f"{lines}\nprint(plt.gca().get_title())\n{other}\nprint(plt.gca().get_title())\n"
    (tmp_path / "show.py").write_text(program, encoding="utf-8")
    done = python("-W", "error", "show.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    right = 0
    for line, label in zip(done.stdout.splitlines(), labels[:5].repeat(2), strict=True):
        likely = [part.rpartition(" ") for part in line.split(", ")]
        shares = [float(share.rstrip("%")) for _, _, share in likely]
        assert len(likely) == 3
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 102
        right += likely[0][0] == CLASSES[label]
    assert right >= 8, "the set is an easy one"
    assert np.unique(labels[:5]).size > 1


# Screens of 80 columns.

PROGRAMS = (
    *("fashion_mnist.py", "-m report", "-m benchmarks", "-m benchmarks.contenders", "-m autograder"),
    *("-m autograder grade", "-m autograder grade-all", "-m autograder build", "-m autograder submit"),
    *("-m tools.publish", "-m tools.fairness", "-m tools.mutation", "-m tools.container", "-m ee411"),
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits(monkeypatch, capsys, program):
    """It has 80 columns, and its usage names the command as it is typed."""
    words = program.removeprefix("-m ").removesuffix(".py").split()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    module = importlib.import_module(words[0])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{words[0]}.__main__")
    with pytest.raises(SystemExit):
        module.parser().parse_args() if words[0] == "autograder" else module.main()
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80, text
    assert re.match(rf"usage: (python )?{re.escape(program)}\b", text)


def test_table_fits(main, monkeypatch):
    """The table of architectures, of several seeds, with numbers as large as they come."""

    def large(setting, *_, **__):
        return make_record(setting, test_accuracy=1 - setting.seed, seconds=99 + setting.seed), {}

    monkeypatch.setattr(fashion_mnist, "run", large)
    monkeypatch.setattr(Results, "save_figure", lambda *_: None)
    status, stdout, _ = main("architectures", "--dataset", "synthetic", "--seeds", "2")
    assert status == 0
    assert "Hidden layer" in stdout
    assert "second: none    custom" in stdout
    table = stdout[stdout.index("Hidden layer") :].splitlines()[:22]
    assert max(map(len, table)) <= 80


# What is published.


def keep_results(*seeds, dataset="fashion-mnist"):
    """Make a results folder with figures and tables, and records of some seeds."""
    results = Results(Path("results"))
    for seed in seeds:
        results.save(make_record(Setting(seed=seed, dataset=dataset)))
    results.save_text("a table", "architectures.md")
    results.save_text("an image", "learning-rates/training.png")
    results.save_text("not published", "author.txt")
    results.save_text("of another kind", "synthetic/architectures.md")


def test_publish(capsys):
    """Figures and tables are copied, records and names are not; what has not changed is not written again."""
    keep_results(0, 1, 2)
    for changed in (2, 0):
        capsys.readouterr()
        assert publish.main(["--docs-dir", "docs"]) == 0
        assert f"{changed} files have changed" in capsys.readouterr().out
    found = sorted(path.as_posix() for path in Path("docs").rglob("*") if path.is_file())
    assert found == ["docs/architectures.md", "docs/learning-rates/training.png"]
    Results(Path("results")).save_text("a new table", "architectures.md")
    assert publish.publish(Path("results"), Path("docs")) == [Path("architectures.md")]
    assert Path("docs/architectures.md").read_text(encoding="utf-8") == "a new table"


@pytest.mark.parametrize(
    ("seeds", "dataset", "words"),
    [((0,), "fashion-mnist", "got 1 of fashion-mnist"), ((0, 1, 2), "synthetic", "got 3 of synthetic")],
)
def test_what_is_not_published(one_line, capsys, seeds, dataset, words):
    keep_results(*seeds, dataset=dataset)
    with pytest.raises(SystemExit):
        publish.main(["--docs-dir", "docs"])
    one_line(capsys.readouterr().err, "expected runs of Fashion-MNIST with 3 seeds or more", words)
    assert not Path("docs").exists()
    assert publish.main(["--docs-dir", "docs", "--anyway"]) == 0
    assert Path("docs/architectures.md").exists()


def test_nothing_to_publish(one_line, capsys):
    with pytest.raises(SystemExit):
        publish.main(["--docs-dir", "docs"])
    one_line(capsys.readouterr().err, "results: expected figures and tables, got none")


def test_runs_change_nothing_that_is_tracked():
    """git ignores the folders that runs write to, and the environment; it knows all that is published."""
    tracked = subprocess.run(
        ["git", "ls-files", "results", "dist", ".venv"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    if tracked.returncode:
        pytest.skip("this is no git repository")
    assert tracked.stdout == ""
    ignored = subprocess.run(
        ["git", "check-ignore", "results/training.png", "results/ee411/mlp.png", "dist/report.pdf", ".venv"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert len(ignored.stdout.splitlines()) == 4
    published = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.*"))
    known = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert [path for path in published if path not in known.stdout.splitlines()] == []


def test_pre_commit():
    """Each hook calls a tool that requirements-dev.txt has, with files that are there."""
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in content["repos"] for hook in repo["hooks"]]
    assert {"ruff-check", "ruff-format", "mypy", "shellcheck", "notebook"} == {hook["id"] for hook in hooks}
    pins = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    for hook in hooks:
        program, *words = shlex.split(hook["entry"])
        assert program == "python" or re.search(rf"^{program}(-py)?==", pins, re.M), program
        assert all((ROOT / word).exists() for word in words if word.endswith(".py"))
