"""``--seeds``: several runs of each network, shown as means, standard deviations and bands."""

import csv
from pathlib import Path

import numpy as np
import pytest
from runs import draw_less, make_record, records_in

import fashion_mnist
from fashion_mnist import ARCHITECTURES, Measured, Results, Setting, plot

FAST = ("--dataset", "synthetic", "--epochs", "2", "--results-dir", "results")


def random_record(setting):
    """Make up the record of a run; no two models, sizes or seeds have the same numbers."""
    random = np.random.default_rng([setting.seed, setting.hidden_size1, setting.hidden_size2 or 0])
    own = 0.1 * (setting.model == "custom")
    losses, accuracies = random.uniform(1, 2, setting.epochs) + own, random.uniform(0, 1, setting.epochs)
    return make_record(setting, losses.tolist(), accuracies.tolist(), random.uniform(), random.uniform(1, 9))


@pytest.fixture
def trained(monkeypatch):
    """Let nothing be trained: make up records, and note the settings in their order."""
    settings = []

    def run(setting, *_, **__):
        settings.append(setting)
        return random_record(setting), {}

    monkeypatch.setattr(fashion_mnist, "run", run)
    return settings


@pytest.fixture
def figures(monkeypatch):
    """Keep figures by their name, unsaved."""
    kept = {}
    draw_less(monkeypatch)
    monkeypatch.setattr(
        Results, "save_figure", lambda _, figure, name: kept.update({name: figure} if figure else {})
    )
    return kept


def records():
    """Return the records that are kept, by setting."""
    return records_in("results")


@pytest.mark.parametrize("experiment", ["train", "learning-rates", "architectures", "all"])
def test_runs(main, trained, figures, experiment):
    """Every network is trained with each seed, counted up from --seed; one seed after the other."""
    assert main(experiment, *FAST, "--seeds", "3", "--seed", "5")[0] == 0
    settings = list(trained)
    trained.clear()
    assert main(experiment, *FAST, "--seed", "9")[0] == 0
    assert [setting.seed for setting in settings] == [seed for seed in (5, 6, 7) for _ in trained]
    for seed in (5, 6, 7):
        once = [fashion_mnist.replace(setting, seed=seed) for setting in trained]
        assert [setting for setting in settings if setting.seed == seed] == once


def test_from_one_seed_to_three(main, trained, figures):
    """Runs that are there are not done again: only the two new seeds are trained."""
    main(*FAST)
    before = records()
    assert main(*FAST, "--seeds", "3")[0] == 0
    assert [(setting.seed, setting.model) for setting in trained[2:]] == [
        (seed, model) for seed in (1, 2) for model in ("pytorch", "custom")
    ]
    assert records().items() >= before.items()
    status, stdout, _ = main(*FAST, "--seeds", "2")
    assert (status, len(trained)) == (0, 6)
    assert stdout.count("kept from before") == 4


def test_fresh(main, trained, figures):
    """--fresh starts the runs of all asked seeds over, and no others."""
    main(*FAST, "--seeds", "3")
    main(*FAST, "--seeds", "2", "--fresh")
    assert [setting.seed for setting in trained[6:]] == [0, 0, 1, 1]


def test_seeds_are_told_apart(main, trained, figures):
    """Each line says which seed it is about, but for the first, whose output is as ever."""
    stdout = main(*FAST, "--seeds", "2")[1]
    assert "[1/4] PyTorch 256-128, lr 0.002, batch 8: test" in stdout
    assert "[3/4] PyTorch 256-128, lr 0.002, batch 8, seed 1: test" in stdout


def test_printed_summary(main, trained, figures):
    """``train`` prints the mean and the standard deviation of the seeds' test accuracies and times."""
    stdout = main(*FAST, "--seeds", "3")[1]
    for model, name in (("pytorch", "PyTorch"), ("custom", "custom")):
        runs = [record for setting, record in records().items() if setting.model == model]
        accuracies, seconds = [run.test_accuracy for run in runs], [run.training_seconds for run in runs]
        expected = f"{np.mean(accuracies):.4f} ± {np.std(accuracies, ddof=1):.4f}"
        expected += f", trained in {np.mean(seconds):.1f} ± {np.std(seconds, ddof=1):.1f} s"
        assert f"{name}: test accuracy {expected}" in stdout
    assert "any epoch: 1.0e-01 in training loss, 0.0000 in validation accuracy" in stdout


def test_tables(main, trained, figures):
    """Mean and standard deviation of the seeds' records; in the CSV each is a number of its own."""
    assert main("architectures", *FAST, "--seeds", "3")[0] == 0
    kept = records()
    with open("results/architectures.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = Path("results/architectures.md").read_text(encoding="utf-8").splitlines()
    assert "3 seeds" in lines[1]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len(rows) == len(table[2:]) == 20

    def runs_of(model, architecture):
        own = {"hidden_size1": architecture.hidden_size1, "hidden_size2": architecture.hidden_size2}
        settings = [
            Setting(model=model, dataset="synthetic", epochs=2, seed=seed, **own) for seed in range(3)
        ]
        return [kept[setting] for setting in settings]

    names = {architecture.name: architecture for architecture in ARCHITECTURES}
    for row, cells in zip(rows, table[2:], strict=True):
        model = {"PyTorch": "pytorch", "custom": "custom"}[row["Model"]]
        runs, originals = runs_of(model, names[row["Configuration"]]), runs_of(model, ARCHITECTURES[0])
        seconds = np.array([run.training_seconds for run in runs])
        for name, values, digits in (
            ("Test accuracy", [run.test_accuracy for run in runs], 4),
            ("Training (s)", seconds, 1),
            ("Speed (original = 1)", [run.training_seconds for run in originals] / seconds, 2),
        ):
            mean, std = np.mean(values), np.std(values, ddof=1)
            assert float(row[name]) == pytest.approx(mean, rel=1e-5)
            assert float(row[f"{name}, standard deviation"]) == pytest.approx(std, rel=1e-5)
            assert cells[table[0].index(name)] == f"{mean:.{digits}f} ± {std:.{digits}f}"


def test_bands(main, trained, figures):
    """Curves are means; around each is a band of one standard deviation, in its colour."""
    assert main("learning-rates", *FAST, "--seeds", "3")[0] == 0
    for name, figure in figures.items():
        if name == "samples.png":
            continue
        (axes,) = figure.axes
        assert "mean ± standard deviation of 3 seeds" in axes.get_title()
        quantity = "train_losses" if "loss" in name else "val_accuracies"
        lr = float(Path(name).stem.split("-lr-")[1])
        assert len(axes.lines) == len(axes.collections) == 2
        for model, line, band in zip(("pytorch", "custom"), axes.lines, axes.collections, strict=True):
            values = [
                getattr(record, quantity)
                for setting, record in records().items()
                if (setting.model, setting.lr) == (model, lr)
            ]
            mean, std = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
            np.testing.assert_allclose(line.get_ydata(), mean)
            edges = band.get_paths()[0].vertices
            for epoch in (1, 2):
                ys = edges[edges[:, 0] == epoch, 1]
                np.testing.assert_allclose(
                    [ys.min(), ys.max()], [mean[epoch - 1] - std[epoch - 1], mean[epoch - 1] + std[epoch - 1]]
                )
            assert band.get_facecolor()[0][:3] == pytest.approx(
                fashion_mnist.matplotlib.colors.to_rgb(line.get_color())
            )


def test_no_bands_of_one_seed(main, trained, figures):
    main("all", *FAST)
    for name, figure in figures.items():
        if name != "samples.png":
            assert [axes.collections[:] for axes in figure.axes] == [[]] * len(figure.axes), name
            assert "seeds" not in figure.get_suptitle() + figure.axes[0].get_title()


def test_architectures_figure(main, trained, figures):
    """The means of accuracy and time, with error bars of one standard deviation both ways."""
    assert main("architectures", *FAST, "--seeds", "2")[0] == 0
    for model, axes in zip(("pytorch", "custom"), figures["architectures.png"].axes, strict=True):
        bars = [path for collection in axes.collections for path in collection.get_segments()]
        assert len(bars) == 20
        by_size = {}
        for setting, record in records().items():
            if setting.model == model:
                point = record.training_seconds, record.test_accuracy
                by_size.setdefault((setting.hidden_size1, setting.hidden_size2), []).append(point)
        for points in by_size.values():
            mean, std = np.mean(points, axis=0), np.std(points, axis=0, ddof=1)
            for axis in (0, 1):
                ends = np.array([mean, mean])
                ends[:, axis] += [-std[axis], std[axis]]
                assert any(np.allclose(bar, ends) for bar in bars)


def test_diverged_runs(main, monkeypatch, figures):
    """If one of the seeds diverges, the mean has a gap there; nothing breaks."""

    def run(setting, *_, **__):
        losses = [2.0, float("nan") if setting.seed == 1 else 1.0]
        return make_record(setting, losses), {}

    monkeypatch.setattr(fashion_mnist, "run", run)
    for _ in range(2):
        status, _, stderr = main("all", *FAST, "--seeds", "2")
        assert (status, stderr) == (0, "")
    figures["training.png"].canvas.draw()
    ys = figures["training.png"].axes[0].lines[0].get_ydata()
    assert ys[0] == 2
    assert np.isnan(ys[1])


def test_plot_several_runs():
    """``plot`` takes rows of numbers too, and needs as many epochs of both."""
    figure = plot([[2, 1], [4, 2]], [[0.5, 0.6], [0.7, 0.8]])
    assert list(figure.axes[0].lines[0].get_ydata()) == [3, 1.5]
    with pytest.raises(ValueError, match="expected as many losses as accuracies, got 2 and 3"):
        plot([[2, 1], [4, 2]], [[0.5, 0.6, 0.7]])


def test_measured():
    assert f"{Measured.of([0.5]):.2f}" == "0.50"
    assert f"{Measured.of([1, 2, 3]):.2f}" == "2.00 ± 1.00"
    np.testing.assert_allclose(Measured.of([[1, 5], [3, 5]]).std, [2**0.5, 0])
