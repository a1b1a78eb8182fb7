"""The notebook: it runs from beginning to end, and what is committed of it belongs together."""

import os
import re
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ee411.__main__ import COMMANDS
from ee411.data import make_permutation
from ee411.experiments import code_of
from ee411.unpermute import Permuted, Recovered
from fashion_mnist import Results

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ee411"
NOTEBOOK = FOLDER / "homework3.ipynb"
SMALL = """
from dataclasses import replace

from ee411 import experiments as scale
from fashion_mnist import STYLE, make_synthetic_images

STYLE["savefig.dpi"] = 30
make_synthetic_images.__defaults__ = 400, 100  # images
dataset, data_dir, results_dir, epochs, batch_size, seeds = "synthetic", None, {folder!r}, 1, 64, 1
scale.ADAM_RUNS, scale.ADAM_SEEDS, scale.ADAM_EPOCHS, scale.ABLATION_EPOCHS = ((0.1, 256),), 1, 1, 1
scale.IMAGE_COUNTS = ()
for name, it in scale.ALL_RECIPES.items():
    network = "ResNet 32-64" if it.network.startswith("ResNet") else it.network
    scale.ALL_RECIPES[name] = replace(it, epochs=1, network=network)
"""
"""The parameters with which the notebook is tested."""
SHOWN = {
    "samples": (0, 1),
    "mlp": (1, 1),
    "cnn": (1, 1),
    "adam": (1, 0),
    "parameters": (1, 0),
    "permuted": (1, 2),
    "bonus": (1, 1),
    "ablation": (1, 0),
    "unpermute": (2, 2),
    "grids": (2, 2),
}
"""How many tables and figures each experiment has."""


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return next(cell for cell in notebook.cells if tag in cell.metadata.get("tags", ()))


def shown(notebook):
    """Return the names of the experiments in the notebook's order, and the cells that show them."""
    found = [(re.match(r"show\(experiments\.(\w+)", cell.source), cell) for cell in code_cells(notebook)]
    return {match[1]: cell for match, cell in found if match}


def texts(cell):
    """Return the text of each of a cell's outputs, Markdown where it has it."""
    outputs = [output.get("data", output) for output in cell.outputs]
    return [data.get("text/markdown") or data.get("text/plain") or data.get("text", "") for data in outputs]


def check_outputs(notebook):
    """All cells were run, in order; each experiment's tables and figures are there once, and nothing else."""
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert bool(cell.outputs) != ("setup" in cell.metadata.get("tags", ())), cell.source
        assert not [o for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    for name, cell in shown(notebook).items():
        kinds = Counter("image/png" if "image/png" in o.data else "text/markdown" for o in cell.outputs)
        assert (kinds["text/markdown"], kinds["image/png"]) == SHOWN[name], name
        assert all("|---" in o.data["text/markdown"] for o in cell.outputs if "image/png" not in o.data)


def test_it_runs(notebook, tmp_path):
    """On synthetic data, started where the notebook is; recovering the grid takes too long, so it is kept."""
    order = make_permutation(0).reindex.argsort().tolist()
    setting = Permuted("synthetic", 0, 333)  # five sixths of them
    Results(tmp_path, code_of(setting)).save(Recovered(setting, order, 1.0, 1.0, 1.0, 0.0, 1.0))
    tagged(notebook, "parameters").source = SMALL.format(folder=str(tmp_path))
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}})
    client.execute()
    check_outputs(notebook)


def test_every_experiment_is_shown(notebook):
    """But for exercise 1, whose functions are called one by one."""
    assert list(shown(notebook)) == [command for command in COMMANDS if command != "backprop"]


# What is committed.


def test_committed_outputs(notebook):
    check_outputs(notebook)


def test_nothing_is_pending_and_nothing_tells_of_a_machine(notebook):
    assert NOTEBOOK.stat().st_size < 1_500_000
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        for text in (cell.source, *(texts(cell) if cell.cell_type == "code" else ())):
            assert "PENDING" not in text
            assert not re.search(r"(?<![\w.:/)])/\w+/\w|\b[A-Z]:\\", text), text


def test_the_comments_agree_with_the_tables(notebook):
    """Every accuracy that a comment names stands in the outputs."""
    measured = "\n".join(text for cell in code_cells(notebook) for text in texts(cell))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for accuracy in re.findall(r"\b0\.\d{4}\b", cell.source):
                assert accuracy in measured, cell.source


def test_the_tables_are_the_kept_ones(notebook):
    for cell in code_cells(notebook):
        for table in re.findall(r"[\w-]+\.md", cell.source if cell.outputs else ""):
            kept = (ROOT / "docs" / "results" / "ee411" / table).read_text(encoding="utf-8")
            assert kept in texts(cell), table


def test_the_derivation_is_the_current_one(notebook):
    outputs = "".join(text for cell in code_cells(notebook) for text in texts(cell))
    text = (FOLDER / "backprop.md").read_text(encoding="utf-8")
    for section in re.split("^#+ .*\n", text, flags=re.MULTILINE):
        assert section.strip() in outputs


ANSWERS = (
    *("predict", "logistic_loss", "stable_logistic_loss", "gradient", "make_loaders", "make_mlp", "make_cnn"),
    *("train", "train_one_epoch", "evaluate", "count_parameters", "RandomPermutation"),
)


def test_the_code_stands_beside_the_answers(notebook):
    """Each block of it is in a module as it is shown, and what the exercises ask for is among it."""
    modules = [path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")]
    blocks = []
    for cell in code_cells(notebook):
        if cell.source.startswith("code("):
            blocks += re.findall("```python\n(.*?)```", "".join(texts(cell)), flags=re.DOTALL)
    assert not [block for block in blocks if not any(block in module for module in modules)]
    shown_names = [re.search(r"^(?:def|class) (\w+)", block, flags=re.MULTILINE)[1] for block in blocks]
    assert set(ANSWERS) <= set(shown_names)


# The first cell.


@pytest.fixture
def first_cell(notebook, monkeypatch):
    """The first cell, to be run with the folder that this is called with; the path of imports is restored."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(repository=""):
        source = tagged(notebook, "setup").source.replace('REPOSITORY = ""', f"REPOSITORY = {repository!r}")
        exec(source, {})  # noqa: S102  (the committed cell, nothing else)

    return run


@pytest.mark.parametrize("place", [".", "ee411"])
def test_the_root_is_found(first_cell, tmp_path, monkeypatch, place):
    (tmp_path / "ee411").mkdir()
    monkeypatch.chdir(tmp_path / place)
    first_cell()
    assert os.getcwd() == sys.path[0] == str(tmp_path)


def test_colab(first_cell, tmp_path, monkeypatch):
    """There the repository is cloned and its requirements are installed, once."""
    commands = []

    def run(command, check):
        commands.append(command)
        if command[0] == "git":
            (tmp_path / command[-1] / "ee411").mkdir(parents=True)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    with pytest.raises(ValueError, match="REPOSITORY: expected the address of this notebook's repository"):
        first_cell()
    assert commands == []
    for _ in range(2):
        first_cell("https://example.org/homework.git")
        assert os.getcwd() == sys.path[0] == str(tmp_path / "homework")
    git, pip = commands
    assert "https://example.org/homework.git" in git
    assert pip[1:4] == ["-m", "pip", "install"]
    assert pip[-1] == "ee411/requirements.txt"
    assert (ROOT / pip[-1]).exists()
