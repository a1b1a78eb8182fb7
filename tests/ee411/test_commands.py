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
from ee411.__main__ import COMMANDS, USED_BY, main
from ee411.bonus import (
    ALL_RECIPES,
    CHANGES,
    GPU_RECIPES,
    NETWORKS,
    RECIPES,
    Outcome,
    Recipe,
    recipes_for,
)
from ee411.data import PARTS, load_parts, make_loaders, make_permutation
from ee411.experiments import (
    ABLATION_EPOCHS,
    ADAM_EPOCHS,
    ADAM_RUNS,
    ADAM_SEEDS,
    CONFIGURATIONS,
    Experiments,
    code_of,
)
from ee411.figures import NAMES, plot_images, plot_learning_curves, plot_recovered_share, plot_training_time
from ee411.models import MODELS, make_model
from ee411.training import ALONE, CURVES, Checkpoint, Place, Run, RunRecord, Workers
from ee411.unpermute import CONFIDENT, Permuted, Recovered
from fashion_mnist import DataError, Results, replacing

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
    "grids": {"few-images.md", "few-images.png", "few-images-cnn.md", "few-images-cnn.png"},
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

    def made_up(setting, parts, workers, checkpoint):
        settings.append(setting)
        values = dict.fromkeys(CURVES, 0.4)
        values["validation_accuracy"], values["test_accuracy"] = accuracy_of(setting)
        curves = {name: [value] * setting.epochs for name, value in values.items()}
        return RunRecord(setting, 1000, curves, 0.0, 1.0)

    def made_up_outcome(recipe, parts, workers, checkpoint):
        settings.append(recipe)
        return Outcome(recipe, 1000, 0.89, 0.895, 4.0 * recipe.epochs)

    def undone(setting, pixels, reindex):
        settings.append(setting)
        return Recovered(setting, np.argsort(reindex).tolist(), 0.96, 0.97, 1.0, 0.0, 1.0)

    monkeypatch.setattr(experiments, "train", made_up)
    monkeypatch.setattr(experiments, "train_recipe", made_up_outcome)
    monkeypatch.setattr(experiments, "recover_known", undone)
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
    epochs = ("--epochs", "2") if command in USED_BY["epochs"] else ()
    status, stdout, stderr = call(capsys, command, *SYNTHETIC, *epochs)
    assert (status, stderr) == (0, "")
    assert files_in(tmp_path / "results") == FILES[command]
    assert all(f"saved results/{name}" in stdout for name in FILES[command])


def test_all_and_again(untrained, tmp_path, capsys):
    """Nothing is trained twice, and the second time nothing at all."""
    arguments = ("all", *SYNTHETIC, "--epochs", "3", "--seeds", "2", "--batch-size", "50")
    assert call(capsys, *arguments)[0] == 0
    assert files_in(tmp_path / "results") == set().union(*FILES.values())
    adams = 2 * len(ADAM_RUNS) * 2
    recipes = 2 * len(RECIPES) + len(CHANGES["CNN"]) + 1
    grids = 2 * 2  # from 1,000 and from all 1,667
    assert len(untrained) == len(set(untrained)) == 2 * (2 * 3 + 2 + 2) + adams + recipes + grids
    asked_for = [s for s in untrained if isinstance(s, Run) and s.epochs != ADAM_EPOCHS]
    assert {(s.seed, s.epochs, s.batch_size) for s in asked_for} == {(0, 3, 50), (1, 3, 50)}
    count = len(untrained)
    untrained.clear()
    _, stdout, _ = call(capsys, *arguments)
    assert untrained == []
    assert stdout.count("(kept from before)") == count


def test_grids_from_one_number_of_images(untrained, tmp_path, capsys):
    """A table of these alone; no more images than there are."""
    status, stdout, _ = call(capsys, "grids", *SYNTHETIC, "--images", "1500", "--seeds", "4")
    assert status == 0
    assert files_in(tmp_path / "results") == {"grids-1500.md"}
    assert untrained == [Permuted("synthetic", seed, 1500) for seed in range(4)]
    assert stdout.count("| 1,500 ") == 4
    status, _, stderr = call(capsys, "grids", *SYNTHETIC, "--images", "1668")
    assert status == 2
    assert "expected at most the 1,667 training images, got 1,668" in stderr


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
    monkeypatch.setattr(experiments, "code_of", lambda setting: "other")
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
        "synthetic data (not Fashion-MNIST), mean ± standard deviation of 3 seeds, 1,667 images, 2 epochs, "
        "batches of 64, on cpu, 1 thread\n"
    )
    assert all(name in table for name in CONFIGURATIONS)
    assert "0.8900 ± 0.0100" in table


@pytest.mark.parametrize(("options", "seeds"), [((), ADAM_SEEDS), (("--seeds", "2"), 2)])
def test_adams_table(untrained, tmp_path, capsys, options, seeds):
    """Its own epochs, and how many runs guess: none of those made up here, at 0.68 to 0.7."""
    call(capsys, "adam", *SYNTHETIC, *options)
    table = (tmp_path / "results" / "adam.md").read_text(encoding="utf-8")
    assert f"standard deviation of {seeds} seeds, {ADAM_EPOCHS} epochs\n" in table
    rows = re.findall(
        rf"\| (MLP|CNN) +\| ([\d.]+) +\| (\d+) +\| cpu, 1 thread +\| 0.69\d+ ± [\d.]+ +\| 0 of {seeds} ",
        table,
    )
    assert rows == [(model, f"{lr:g}", str(batch)) for model in ("MLP", "CNN") for lr, batch in ADAM_RUNS]
    assert {s.epochs for s in untrained} == {ADAM_EPOCHS}


def test_the_bonus_table(untrained, tmp_path, capsys):
    call(capsys, "bonus", *SYNTHETIC, "--seeds", "2")
    table = (tmp_path / "results" / "bonus.md").read_text(encoding="utf-8")
    assert all(f"| {name} " in table for name in RECIPES)
    assert table.count("| 0.8900 ± 0.0000 | 0.8950 ± 0.0000") == len(RECIPES)
    assert {setting.seed for setting in untrained} == {0, 1}
    assert all(recipe.final for recipe in untrained if isinstance(recipe, Recipe))


def test_one_recipe(untrained, tmp_path, capsys):
    """It alone is trained and shown; the table of all stays as it is."""
    status, stdout, _ = call(capsys, "bonus", *SYNTHETIC, "--recipe", "CNN", "--seeds", "2")
    assert status == 0
    assert [recipe.network for recipe in untrained] == [RECIPES["CNN"].network] * 2
    assert "| CNN " in stdout
    assert files_in(tmp_path / "results") == set()


@pytest.mark.parametrize("name", ["taught CNN", "GPU, 5 s"])
def test_a_recipe_that_the_table_lacks(untrained, tmp_path, capsys, name):
    """It gets a table of its own."""
    call(capsys, "bonus", *SYNTHETIC, "--recipe", name)
    assert untrained == [replace(ALL_RECIPES[name], dataset="synthetic")]
    (file,) = files_in(tmp_path / "results")
    assert file == f"bonus-{name.replace(' ', '-')}.md"
    table = (tmp_path / "results" / file).read_text(encoding="utf-8")
    assert f"| {name} " in table
    parts = load_parts("synthetic")
    assert f"trained on {len(parts['train']) + len(parts['validation']):,} images\n" in table


def test_gpus_have_recipes_of_their_own():
    assert set(recipes_for(torch.device("cpu"))) == set(RECIPES)
    assert set(recipes_for(torch.device("cuda"))) == {*RECIPES, *GPU_RECIPES}


@pytest.mark.parametrize(
    ("options", "names", "seeds", "file"),
    [
        ((), ["CNN"], 1, "ablation.md"),
        (("--recipe", "MLP 256-128"), ["MLP 256-128"], 1, "ablation-MLP-256-128.md"),
        (("--long",), list(CHANGES), 3, "ablation-long.md"),
        (("--long", "--seeds", "2", "--recipe", "CNN"), ["CNN"], 2, "ablation-long-CNN.md"),
        (("--long", "--recipe", "taught CNN"), ["taught CNN"], 3, "ablation-long-taught-CNN.md"),
        (("--recipe", "tiny ResNet"), ["tiny ResNet"], 1, "ablation-tiny-ResNet.md"),
    ],
)
def test_the_ablation(untrained, tmp_path, capsys, monkeypatch, options, names, seeds, file):
    """It leaves the test images alone, and when long has the recipe's length and three seeds."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # a teacher's, so there are two places
    call(capsys, "ablation", *SYNTHETIC, *options)
    table = (tmp_path / "results" / file).read_text(encoding="utf-8")
    for name in names:
        assert all(f"| {name} " in table and f"| {change} " in table for change in CHANGES[name])
    shared = names == list(CHANGES)  # the untaught CNN is also that of the first rows, and trained once
    assert len(untrained) == seeds * (sum(1 + len(CHANGES[name]) for name in names) - shared)
    whole = {name: ALL_RECIPES[name].epochs if "--long" in options else ABLATION_EPOCHS for name in names}
    changed = {values.get("epochs", whole[name]) for name in names for values in CHANGES[name].values()}
    assert {recipe.epochs for recipe in untrained} == {*whole.values()} | changed
    assert "Test" not in table
    assert not any(recipe.final for recipe in untrained)
    one, two = "cpu, 1 thread", "cpu, 2 threads"
    places = {"taught CNN": [two, one], "small ResNet": [two], "tiny ResNet": [two]}
    where = " and on ".join(dict.fromkeys(place for name in names for place in places.get(name, [one])))
    assert f"trained on {len(load_parts('synthetic')['train']):,} images, on {where}\n" in table


@pytest.mark.parametrize("option", USED_BY)
def test_options_are_honoured_or_refused(untrained, capsys, tmp_path, option):
    """No command takes one that makes no difference to it."""
    words = {"recipe": ["CNN"], "long": []}.get(option, ["1"])
    name = f"--{option.replace('_', '-')}"
    for command in {*COMMANDS, "all"} - {*USED_BY[option]}:
        status, _, stderr = call(capsys, command, *SYNTHETIC, name, *words)
        assert status == 2
        assert f"{name}: expected one of the commands {', '.join(USED_BY[option])}, got {command}" in stderr
    assert untrained == []
    assert not (tmp_path / "results").exists()


def test_threads(untrained, tmp_path, monkeypatch):
    """The homeworks' networks turn out the same on any number of cores; the residual ones use all."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    own = Experiments(tmp_path, "synthetic")
    for model in MODELS:
        own.runs(Run(model, "sgd", 0.01, dataset="synthetic"))
    for name in ("MLP 256-128", "CNN", "ResNet", "taught CNN"):
        own.outcomes(ALL_RECIPES[name])
    assert [setting.place.threads for setting in untrained] == [1, 1, 1, 1, 3, 3]


def test_another_place_is_another_run(untrained, tmp_path):
    """What was trained elsewhere is not "kept from before", and each keeps its own record."""
    elsewhere = Workers(0, 2, torch.device("cpu"))
    for workers in (ALONE, elsewhere):
        own = Experiments(tmp_path, "synthetic", workers=workers)
        (run,) = own.runs(Run("mlp", "sgd", 0.01, dataset="synthetic"))
        (outcome,) = own.outcomes(RECIPES["MLP 256-128"])
        assert run.setting.place == outcome.setting.place == Place("cpu", workers.count, 1)
    assert len(untrained) == 4
    assert len(list((tmp_path / "runs").iterdir())) == 4


def test_a_killed_run_leaves_a_checkpoint_until_its_record_is_kept(untrained, tmp_path, monkeypatch):
    """And the same command finds it."""
    setting, found = Run("mlp", "sgd", 0.01, dataset="synthetic"), []
    made_up = experiments.train

    def dying(setting, parts, workers, checkpoint):
        found.append(checkpoint.load())
        checkpoint.save({"epochs": 1})
        if len(found) == 1:
            raise SystemError("killed")
        return made_up(setting, parts, workers, checkpoint)

    monkeypatch.setattr(experiments, "train", dying)
    with pytest.raises(SystemError):
        Experiments(tmp_path, "synthetic").runs(setting)
    assert [path.suffix for path in (tmp_path / "runs").iterdir()] == [".pt"]
    Experiments(tmp_path, "synthetic").runs(setting)
    assert found == [None, {"epochs": 1}]
    assert [path.suffix for path in (tmp_path / "runs").iterdir()] == [".json"]


def test_commands_at_once_in_one_folder(tmp_path):
    """Each writes beside, under a name of its own: none can take another's half-written file."""
    for write in (
        lambda path, content: path.write_text(content, encoding="utf-8"),
        lambda path, content: torch.save(content, path),
    ):
        path = tmp_path / "file"
        with replacing(path) as first, replacing(path) as second:
            write(first, "first")
            write(second, "second")
        assert [p.name for p in tmp_path.iterdir()] == ["file"]
    for content in (1, 2):
        Checkpoint(path, "code").save({"epochs": content})
        Checkpoint(path, "code").forget()
        Checkpoint(path, "code").forget()  # by the other one


@pytest.mark.parametrize("images", [None, 1000])
def test_recovered_pixels(untrained, tmp_path, images):
    """The recovered order is kept, and undoes the permutation in every part."""
    parts, setting = load_parts("synthetic"), Permuted("synthetic", 4, images or 1667)
    for _ in range(2):
        own = Experiments(tmp_path, "synthetic")
        grid = own.recover(4, images)
        assert untrained == [grid.setting] == [setting]
        assert Results(tmp_path, code_of(setting)).load(setting, Recovered) == grid
    for name, part in own.arranged("recovered-1000" if images else "recovered", 4).items():
        assert torch.equal(part.images, parts[name].images)
    for name, part in own.arranged("permuted", 4).items():
        assert torch.equal(part.images, parts[name].rearranged(make_permutation(4).reindex).images)
    assert len(untrained) == 1


def test_only_training_images_are_looked_at(untrained, tmp_path, monkeypatch):
    """So many as are asked for, or all, under the permutation; and that of the truth measures."""
    seen, undone = [], experiments.recover_known
    monkeypatch.setattr(experiments, "recover_known", lambda *a: seen.append(a[1]) or undone(*a))
    own = Experiments(tmp_path, "synthetic")
    own.recover(0, 1000)
    own.recover(0)
    permuted = own.arranged("permuted", 0)["train"].images.flatten(1)
    assert np.array_equal(seen[0], permuted[:1000])
    assert np.array_equal(seen[1], permuted)


def test_backprop_prints_the_answers(untrained, tmp_path, capsys):
    _, stdout, _ = call(capsys, "backprop", *SYNTHETIC)
    assert re.search(r"naive loss, y_hat = 0, y = 0 +nan", stdout)
    assert re.search(r"stable loss, z_2 = -1e10, y = 0 +0\.0\n", stdout)
    assert re.search(r"largest difference from PyTorch's +\d\.\de-1[5-9]", stdout)


# Figures.


def make_runs(setting, seeds=1, **values):
    curves = {name: [values.get(name, 0.5)] * setting.epochs for name in CURVES}
    return [RunRecord(replace(setting, seed=seed), 1, curves, 0.0, 1.0) for seed in range(seeds)]


@pytest.mark.parametrize("seeds", [1, 3])
def test_learning_curves(seeds):
    groups = {
        name: make_runs(Run("mlp", *configuration), seeds) for name, configuration in CONFIGURATIONS.items()
    }
    figure = plot_learning_curves(groups, "MLP", PARTS[:2])
    assert figure.get_suptitle().startswith("MLP, Fashion-MNIST")
    assert ("3 seeds" in figure.get_suptitle()) == (seeds == 3)
    for axes in figure.axes:
        assert len(axes.lines) == 6
        assert len(axes.collections) == (6 if seeds > 1 else 0)
        assert axes.get_xlabel() == "Epoch"
        assert axes.get_ylabel()
        assert axes.get_yscale() == "linear"
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == [f"{name}, {part}" for name in CONFIGURATIONS for part in PARTS[:2]]


def test_one_that_diverges_does_not_squeeze_the_others():
    runs = make_runs(Run("cnn", "adam", 0.1), train_loss=50.0)
    loss, accuracy = plot_learning_curves({"Adam": runs}, "CNN", PARTS).axes
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")


def test_the_useful_range_is_enlarged():
    """Where one guesses and another learns, a panel shows where the latter is."""
    guessing = make_runs(Run("mlp", "adam", 0.1), **{f"{part}_accuracy": 0.1 for part in PARTS})
    learning = make_runs(Run("mlp", "sgd", 0.01), train_accuracy=0.9, test_accuracy=0.8)
    _, whole, enlarged = plot_learning_curves(
        {"Adam": guessing, "SGD": learning}, "MLP", ("train", "test")
    ).axes
    assert whole.get_ylim()[0] <= 0.1
    low, high = enlarged.get_ylim()
    assert 0.75 < low < 0.8
    assert 0.9 < high < 0.95


def test_the_curves_that_the_handout_asks_for(untrained, tmp_path, capsys):
    """Training and test of the MLP (2.2), training and validation of the CNN (2.3)."""
    own = Experiments(tmp_path, "synthetic")
    for figure, part in ((own.mlp(), "test"), (own.cnn(), "validation")):
        labels = [text.get_text() for text in figure.legends[0].texts]
        assert labels == [f"{name}, {shown}" for name in CONFIGURATIONS for shown in ("train", part)]


def test_networks_have_one_name_each(untrained, tmp_path):
    """No two networks in a figure share a name, and the handout's MLP has a recipe as well."""
    own = Experiments(tmp_path, "synthetic")
    (axes,) = own.bonus().axes
    named = {model: str(make_model(model, 0)) for model in MODELS}
    for model, name in NAMES.items():
        assert str(NETWORKS[RECIPES[name].network]()) == named[model]
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == sorted(RECIPES)


def test_recovered_share():
    grids = {
        count: [
            Recovered(Permuted("synthetic", seed, count), list(range(784)), 0.9, 0.8, share, 1.0, 1.0)
            for seed, share in enumerate(shares)
        ]
        for count, shares in {1000: (0.5, 0.7), 5000: (1.0, 1.0)}.items()
    }
    (axes,) = plot_recovered_share(grids, "synthetic data").axes
    found, confidence, truth = (bars.lines[0].get_xydata().tolist() for bars in axes.containers)
    assert found == [[1000, pytest.approx(0.6)], [5000, 1]]
    assert confidence == [[1000, pytest.approx(0.9)], [5000, pytest.approx(0.9)]]
    assert truth == [[1000, pytest.approx(0.8)], [5000, pytest.approx(0.8)]]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1,000", "5,000"]


def test_a_grid_that_is_not_to_be_trusted_is_said_to_be():
    sure, unsure = (
        Recovered(Permuted("synthetic", 0, 1000), list(range(784)), confidence, 1.0, 0.13, 9.0, 1.0)
        for confidence in (CONFIDENT, CONFIDENT - 0.01)
    )
    assert "it may be wrong" in str(unsure)
    assert "wrong" not in str(sure)


@pytest.mark.parametrize("seeds", [1, 2])
def test_training_time(seeds):
    recipe = Recipe("ResNet", 2, 10, 0.1, 0.0)
    outcomes = [Outcome(recipe, 1, 0.9 + 0.01 * seed, 0.95, 20.0) for seed in range(seeds)]
    (axes,) = plot_training_time({"ResNet": outcomes}, "synthetic data").axes
    mean = 0.9 if seeds == 1 else 0.905
    points = [container.lines[0].get_xydata().tolist() for container in axes.containers]
    assert points == [[[20, pytest.approx(mean)]], [[20, 0.95]]]
    bars = [np.ptp(container.lines[2][0].get_segments()[0][:, 1]) for container in axes.containers]
    assert bars == pytest.approx([0 if seeds == 1 else 2 * np.std([0.9, 0.91], ddof=1), 0])
    assert [text.get_text() for text in axes.texts] == ["ResNet"]
    assert axes.get_xlabel() == "Seconds of training"
    assert axes.get_ylabel() == "Test accuracy"


@pytest.mark.parametrize("seed", range(10))
def test_labels_of_training_time(check_labels, seed):
    """Any times and accuracies; those of the first half lie as close together as real ones."""
    random = np.random.default_rng(seed)
    low = 0.88 if seed < 5 else 0.5

    def outcome(recipe):
        accuracy, seconds = random.uniform(low, 0.95), random.uniform(10, 400)
        return [Outcome(recipe, 1, accuracy, min(1, accuracy + 0.005), seconds + run) for run in range(2)]

    check_labels(plot_training_time({name: outcome(it) for name, it in RECIPES.items()}, "synthetic data"))


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
        ((), "required: COMMAND"),
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


def test_a_mistyped_folder_of_data_is_refused(capsys, tmp_path):
    """And is not made, nor passed over for another place that has the data."""
    status, _, stderr = call(capsys, "samples", "--data-dir", "dta")
    assert status == 2
    assert "--data-dir: expected a folder that is there" in stderr
    assert "got 'dta'" in stderr
    assert not (tmp_path / "dta").exists()
    for load in (load_parts, make_loaders):
        with pytest.raises(DataError, match="got 'dta'"):
            load("fashion-mnist", "dta")


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
