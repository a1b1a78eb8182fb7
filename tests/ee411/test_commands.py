"""The command line: what each command makes, what is kept, what is chosen by what, and bad input."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ee411 import experiments
from ee411.__main__ import COMMANDS, main
from ee411.bonus import CHANGES, RECIPES, Outcome, Recipe
from ee411.data import PARTS, load_parts, make_permutation
from ee411.experiments import ADAM_EPOCHS, ADAM_RUNS, ADAM_SEEDS, CODE, CONFIGURATIONS, Experiments
from ee411.figures import plot_images, plot_learning_curves, plot_training_time
from ee411.training import CURVES, Run, RunRecord
from ee411.unpermute import Permuted, Recovered
from fashion_mnist import DataError, Results

REPOSITORY = Path(__file__).resolve().parents[2]
SYNTHETIC = ("--dataset", "synthetic", "--results-dir", "results")
FILES = {
    "backprop": {"backprop.txt"},
    "samples": {"samples.png"},
    "mlp": {"mlp.md", "mlp.png"},
    "cnn": {"cnn.md", "cnn.png"},
    "adam": {"adam.md"},
    "parameters": {"parameters.md"},
    "permuted": {"permuted.md", "permuted.png", "permuted-samples.png"},
    "bonus": {"bonus.md", "bonus.png"},
    "ablation": {"ablation.md"},
    "unpermute": {"unpermuted.md", "unpermuted.png", "unpermuted-samples.png", "grids.md"},
}


def accuracy_of(setting):
    """Return made-up validation and test accuracies: those of Nesterov's and of Adam's disagree."""
    validation = {"sgd": 0.5, "nesterov": 0.9, "adam": 0.7}[setting.optimizer] - 0.01 * setting.seed
    test = {"sgd": 0.5, "nesterov": 0.6, "adam": 0.8}[setting.optimizer]
    return validation, test


@pytest.fixture
def untrained(monkeypatch):
    """Let nothing be trained and no grid be recovered: note what is to be done, and make up records."""
    settings = []

    def made_up(setting, parts, workers):
        settings.append(setting)
        values = dict.fromkeys(CURVES, 0.4)
        values["validation_accuracy"], values["test_accuracy"] = accuracy_of(setting)
        curves = {name: [value] * setting.epochs for name, value in values.items()}
        return RunRecord(setting, 1000, curves, 0.0, 1.0, "cpu")

    def made_up_outcome(recipe, parts, workers):
        settings.append(recipe)
        return Outcome(recipe, 1000, 0.89, 0.895, 4.0 * recipe.epochs, "cpu")

    def undone(images):
        original = load_parts("synthetic")["train"].images[:50].flatten(1).numpy()
        columns = {column.tobytes(): place for place, column in enumerate(original.T)}
        mine = [columns[column.tobytes()] for column in images[:50].reshape(50, -1).T]
        seeds = (seed for seed in range(10) if make_permutation(seed).reindex.tolist() == mine)
        settings.append(Permuted("synthetic", next(seeds)))
        return np.argsort(mine)

    monkeypatch.setattr(experiments, "train", made_up)
    monkeypatch.setattr(experiments, "train_recipe", made_up_outcome)
    monkeypatch.setattr(experiments, "recover_order", undone)
    return settings


def call(capsys, *arguments):
    """Call the command line, and return exit status, stdout and stderr."""
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


def files_in(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_makes_its_files(untrained, tmp_path, capsys, command):
    status, stdout, stderr = call(capsys, command, *SYNTHETIC, "--epochs", "2")
    assert (status, stderr) == (0, "")
    assert files_in(tmp_path / "results") == FILES[command]
    assert all(f"saved results/{name}" in stdout for name in FILES[command])


def test_all_and_again(untrained, tmp_path, capsys):
    """Nothing is trained twice, and the second time nothing at all."""
    arguments = ("all", *SYNTHETIC, "--epochs", "3", "--seeds", "2", "--batch-size", "50")
    assert call(capsys, *arguments)[0] == 0
    assert files_in(tmp_path / "results") == set().union(*FILES.values())
    adams = 2 * len(ADAM_RUNS) * ADAM_SEEDS
    recipes = 2 * len(RECIPES) + len(CHANGES) + 1
    grids = 2
    assert len(untrained) == len(set(untrained)) == 2 * (2 * 3 + 2 + 1) + adams + recipes + grids
    asked_for = [s for s in untrained if isinstance(s, Run) and s.epochs != ADAM_EPOCHS]
    assert {(s.seed, s.epochs, s.batch_size) for s in asked_for} == {(0, 3, 50), (1, 3, 50)}
    count = len(untrained)
    untrained.clear()
    _, stdout, _ = call(capsys, *arguments)
    assert untrained == []
    assert stdout.count("(kept from before)") == count


def test_what_is_no_record_is_done_again(untrained, tmp_path, capsys, monkeypatch):
    """A broken one, one of another run, and all of them once the code has changed."""
    arguments = ("mlp", *SYNTHETIC, "--epochs", "2")
    call(capsys, *arguments)
    first, second, third = untrained
    runs = tmp_path / "results" / "runs"
    (runs / f"{first.name}.json").write_text("{", encoding="utf-8")
    (runs / f"{third.name}.json").replace(runs / f"{second.name}.json")
    untrained.clear()
    status, _, stderr = call(capsys, *arguments)
    assert (status, untrained) == (0, [first, second, third])
    (line,) = stderr.splitlines()
    assert f"{first.name}.json: expected the record of a run" in line
    untrained.clear()
    assert call(capsys, *arguments)[2] == ""
    assert untrained == []
    monkeypatch.setattr(experiments, "CODE", "other")
    _, _, stderr = call(capsys, *arguments)
    assert untrained == [first, second, third]
    assert stderr == "some runs were of other code, and are done again\n"


def test_the_validation_set_chooses(untrained, tmp_path, capsys):
    """Adam's made-up test accuracy is higher, Nesterov's validation accuracy: that one goes on."""
    _, stdout, _ = call(capsys, "permuted", *SYNTHETIC)
    assert {s.optimizer for s in untrained if s.pixels == "permuted"} == {"nesterov"}
    _, stdout, _ = call(capsys, "parameters", *SYNTHETIC)
    rows = re.findall(r"\| (MLP|CNN) +\| ([\d,]+) +\| (.+?) +\|", stdout)
    name = "SGD, lr 0.01, Nesterov momentum 0.9"
    assert rows == [("MLP", "89,610", name), ("CNN", "29,066", name)]


def test_tables_say_what_was_run(untrained, tmp_path, capsys):
    call(capsys, "mlp", *SYNTHETIC, "--epochs", "2", "--seeds", "3")
    table = (tmp_path / "results" / "mlp.md").read_text(encoding="utf-8")
    assert table.startswith(
        "synthetic data (not Fashion-MNIST), mean ± standard deviation of 3 seeds, 2 epochs, batches of 64\n"
    )
    assert all(name in table for name in CONFIGURATIONS)
    assert "0.8900 ± 0.0100" in table


def test_adams_table(untrained, tmp_path, capsys):
    """Its own seeds and epochs, and how many runs guess: none of those made up here, at 0.68 to 0.7."""
    call(capsys, "adam", *SYNTHETIC, "--epochs", "7", "--seeds", "2")
    table = (tmp_path / "results" / "adam.md").read_text(encoding="utf-8")
    assert f"standard deviation of {ADAM_SEEDS} seeds, {ADAM_EPOCHS} epochs\n" in table
    rows = re.findall(r"\| (MLP|CNN) +\| ([\d.]+) +\| (\d+) +\| 0.6900 ± [\d.]+ +\| 0 of 3 ", table)
    assert rows == [(model, f"{lr:g}", str(batch)) for model in ("MLP", "CNN") for lr, batch in ADAM_RUNS]
    assert {s.epochs for s in untrained} == {ADAM_EPOCHS}


def test_the_bonus_table(untrained, tmp_path, capsys):
    call(capsys, "bonus", *SYNTHETIC, "--seeds", "2")
    table = (tmp_path / "results" / "bonus.md").read_text(encoding="utf-8")
    assert all(f"| {name} " in table for name in RECIPES)
    assert table.count("| 0.8900 ± 0.0000 | 0.8950 ± 0.0000") == len(RECIPES)
    assert {setting.seed for setting in untrained} == {0, 1}
    assert all(recipe.final for recipe in untrained if isinstance(recipe, Recipe))


def test_the_ablation_leaves_the_test_images_alone(untrained, tmp_path, capsys):
    call(capsys, "ablation", *SYNTHETIC)
    table = (tmp_path / "results" / "ablation.md").read_text(encoding="utf-8")
    assert all(name in table for name in ("the recipe", *CHANGES))
    assert "Test" not in table
    assert not any(recipe.final for recipe in untrained)


def test_recovered_pixels(untrained, tmp_path, capsys):
    """The recovered order is kept, and undoes the permutation in every part."""
    parts = load_parts("synthetic")
    for _ in range(2):
        own = Experiments(tmp_path, "synthetic")
        grid = own.recover(4)
        assert (grid.neighbours, grid.displacement) == (1, 0)
        assert untrained == [grid.setting] == [Permuted("synthetic", 4)]
        assert Results(tmp_path, CODE).load(grid.setting, Recovered) == grid
    for name, part in own.arranged("recovered", 4).items():
        assert torch.equal(part.images, parts[name].images)
    for name, part in own.arranged("permuted", 4).items():
        assert torch.equal(part.images, parts[name].rearranged(make_permutation(4).reindex).images)


def test_only_training_images_are_looked_at(untrained, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(experiments, "recover_order", lambda images: seen.append(images) or np.arange(784))
    own = Experiments(tmp_path, "synthetic")
    own.recover(0)
    assert len(seen) == 1
    assert len(seen[0]) == len(own.parts["train"])


def test_backprop_prints_the_answers(untrained, tmp_path, capsys):
    _, stdout, _ = call(capsys, "backprop", *SYNTHETIC)
    assert re.search(r"naive loss, y_hat = 0, y = 0 +nan", stdout)
    assert re.search(r"stable loss, z_2 = -1e10, y = 0 +0\.0\n", stdout)
    assert re.search(r"largest difference from PyTorch's +\d\.\de-1[5-9]", stdout)


# Figures.


def make_runs(setting, seeds=1, **values):
    curves = {name: [values.get(name, 0.5)] * setting.epochs for name in CURVES}
    return [RunRecord(replace(setting, seed=seed), 1, curves, 0.0, 1.0, "cpu") for seed in range(seeds)]


@pytest.mark.parametrize("seeds", [1, 3])
def test_learning_curves(seeds):
    groups = {
        name: make_runs(Run("mlp", *configuration), seeds) for name, configuration in CONFIGURATIONS.items()
    }
    figure = plot_learning_curves(groups, "MLP")
    assert figure.get_suptitle().startswith("MLP, Fashion-MNIST")
    assert ("3 seeds" in figure.get_suptitle()) == (seeds == 3)
    for axes in figure.axes:
        assert len(axes.lines) == 9
        assert len(axes.collections) == (9 if seeds > 1 else 0)
        assert axes.get_xlabel() == "Epoch"
        assert axes.get_ylabel()
        assert axes.get_yscale() == "linear"
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == [f"{name}, {part}" for name in CONFIGURATIONS for part in PARTS]


def test_one_that_diverges_does_not_squeeze_the_others():
    runs = make_runs(Run("cnn", "adam", 0.1), train_loss=50.0)
    loss, accuracy = plot_learning_curves({"Adam": runs}, "CNN").axes
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")


def test_one_that_learns_nothing_does_not_squeeze_the_others():
    """It has panels of its own, and the others' axes reach no farther than their curves."""
    names = list(CONFIGURATIONS)
    settings = [Run("cnn", *configuration) for configuration in CONFIGURATIONS.values()]
    groups = {name: make_runs(it, 2, train_accuracy=0.9) for name, it in zip(names, settings, strict=True)}
    groups[names[-1]] = make_runs(settings[-1], 2, train_loss=2.3, train_accuracy=0.1)
    figure = plot_learning_curves(groups, "CNN")
    figure.draw_without_rendering()
    assert [len(axes.lines) for axes in figure.axes] == [3, 6, 6, 3]
    above, accuracy, loss, below = figure.axes
    assert above.get_position().y0 > loss.get_position().y1
    assert accuracy.get_position().y0 > below.get_position().y1
    assert accuracy.get_position().height > 2 * below.get_position().height
    assert loss.get_ylim()[1] < 1
    assert accuracy.get_ylim()[0] > 0.3
    assert len(figure.legends[0].texts) == 9


@pytest.mark.parametrize("seeds", [1, 2])
def test_training_time(seeds):
    recipe = Recipe("ResNet", 2, 10, 0.1, 0.0)
    outcomes = [Outcome(recipe, 1, 0.9 + 0.01 * seed, 0.95, 20.0, "cpu") for seed in range(seeds)]
    plain = {"MLP": make_runs(Run("mlp", "sgd", 0.01), seeds, test_accuracy=0.8)}
    (axes,) = plot_training_time(plain, {"ResNet": outcomes}, "synthetic data").axes
    mean = 0.9 if seeds == 1 else 0.905
    points = [container.lines[0].get_xydata().tolist() for container in axes.containers]
    assert points == [[[1, 0.8]], [[20, pytest.approx(mean)]], [[20, 0.95]]]
    bars = [np.ptp(container.lines[2][0].get_segments()[0][:, 1]) for container in axes.containers]
    assert bars == pytest.approx([0, 0 if seeds == 1 else 2 * np.std([0.9, 0.91], ddof=1), 0])
    assert [text.get_text() for text in axes.texts] == ["MLP", "ResNet"]
    assert axes.get_xlabel() == "Seconds of training"
    assert axes.get_ylabel() == "Test accuracy"


def test_images():
    part = load_parts("synthetic")["train"]
    rows = {"original": part.images, "negative": -part.images}
    figure = plot_images(rows, part.labels, "Images", "synthetic")
    assert figure.get_suptitle() == "Images, synthetic data (not Fashion-MNIST)"
    assert figure.get_supxlabel()
    assert len(figure.axes) == 20
    shown = np.array([axes.images[0].get_array() for axes in figure.axes])
    assert np.array_equal(shown[10:], -shown[:10])
    assert [axes.get_title() for axes in figure.axes[:10]] == [str(label) for label in range(10)]
    first = part.images[(part.labels == 3).nonzero()[0, 0], 0]
    assert np.array_equal(shown[3], first)


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "required: command"),
        (("rnn",), "invalid choice: 'rnn'"),
        (("mlp", "--epochs", "0"), "--epochs: expected a whole number >= 1, got '0'"),
        (("mlp", "--batch-size", "2.5"), "got '2.5'"),
        (("mlp", "--seeds", "-1"), "--seeds: expected a whole number of 1 to 1,000, got '-1'"),
        (("mlp", "--dataset", "mnist"), "invalid choice: 'mnist'"),
        (("mlp", "--optimizer", "sgd"), "unrecognized arguments"),
    ],
)
def test_bad_arguments(capsys, tmp_path, arguments, words):
    status, stdout, stderr = call(capsys, *arguments)
    assert (status, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert words in stderr
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_scipy():
    """It names the command as it is typed."""
    script = "import sys; sys.modules['scipy'] = None; from ee411.__main__ import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m ee411 ")


def test_home_and_underscores(untrained, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert call(capsys, "samples", "--dataset", "synthetic", "--results_dir", "~/mine")[0] == 0
    assert files_in(tmp_path / "mine") == FILES["samples"]


def test_no_data(capsys, monkeypatch):
    def nothing(*_):
        raise DataError("Fashion-MNIST was not found")

    monkeypatch.setattr(experiments, "load_parts", nothing)
    status, _, stderr = call(capsys, "mlp")
    assert (status, stderr) == (2, "python -m ee411: error: Fashion-MNIST was not found\n")


def test_no_place_for_results(capsys, tmp_path):
    (tmp_path / "results").write_text("a file", encoding="utf-8")
    status, _, stderr = call(capsys, "mlp", *SYNTHETIC)
    assert status == 2
    assert "expected a place to write to, got results" in stderr
    assert len(stderr.splitlines()) == 1


def test_interrupted(capsys, monkeypatch, untrained):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "train", interrupt)
    status, _, stderr = call(capsys, "mlp", *SYNTHETIC)
    assert status == 130
    assert "the same command goes on from here" in stderr


def test_figures_are_closed(untrained, capsys):
    call(capsys, "mlp", *SYNTHETIC)
    assert plt.get_fignums() == []


def test_nothing_else_of_the_first_part_is_used():
    """Of this repository's other modules only fashion_mnist is imported."""
    for name, module in list(sys.modules.items()):
        if name.startswith("ee411."):
            used = {getattr(value, "__module__", None) for value in vars(module).values()}
            assert not used & {"q1", "q2"}, name
