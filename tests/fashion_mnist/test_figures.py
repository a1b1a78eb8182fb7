"""Figures and tables: what has to be on each of them, and that odd numbers break none."""

import csv
import math
from pathlib import Path

import matplotlib
import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import published
import pytest
import runs

import fashion_mnist
from fashion_mnist import (
    CLASSES,
    FashionMNIST,
    Mistake,
    Results,
    Setting,
    as_text,
    from_text,
    plot,
    plot_accuracy_against_time,
    plot_samples,
    readable,
)

SYNTHETIC = ("--dataset", "synthetic", "--epochs", "4")
RATES = [0.002 * factor for factor in fashion_mnist.LEARNING_RATE_FACTORS.values()]
SIX = [
    f"learning-rates/{quantity}-lr-{lr:g}.png"
    for lr in sorted(RATES)
    for quantity in ("training-loss", "validation-accuracy")
]
OF_TRAINING = ["training.png", "losses.png", "confusion.png", "mistakes.png", "first-layer.png"]
FIGURES = ["samples.png", *OF_TRAINING, "architectures.png", *SIX]


def make_record(setting):
    """Make up the record of a run; no two models, learning rates or sizes have the same numbers."""
    own = setting.lr + (setting.model == "custom") / 3 + setting.hidden_size1 / 1e4
    own += (setting.hidden_size2 or 0) / 1e5 + setting.seed / 100
    losses = [2 / (epoch + 1 + own) for epoch in range(setting.epochs)]
    accuracies = [1 - loss / 4 for loss in losses]
    test_accuracy, seconds, parameters = accuracies[-1] - 0.01, 1 + 10 * own, round(1e6 * own)
    return runs.make_record(setting, losses, accuracies, test_accuracy, seconds, parameters)


@pytest.fixture
def draw(main, monkeypatch):
    """Return a function that runs a command with made-up records, and returns its figures by file name."""
    figures = {}

    def call(*arguments, record=make_record):
        monkeypatch.setattr(fashion_mnist, "run", lambda setting, *_, **__: (record(setting), {}))
        monkeypatch.setattr(Results, "save_figure", lambda _, figure, name: figures.update({name: figure}))
        status, _, stderr = main(*arguments)
        assert (status, stderr) == (0, "")
        return figures

    return call


def records():
    """Return the records that are kept in ./results/synthetic."""
    return list(runs.records_in("results/synthetic").values())


def texts(figure):
    """Return all titles of a figure."""
    return " ".join([figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)])


def curves_of(axes):
    """Return the points of each curve by its name in the legend."""
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        line.get_label() for line in axes.lines
    ]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_title_and_labels(draw):
    """Each of the axes of each figure has a title and both labels, its own or those of the whole figure."""
    figures = draw("all", *SYNTHETIC)
    assert sorted(figures) == sorted(FIGURES)
    for name, figure in figures.items():
        assert figure.axes, name
        for axes in figure.axes:
            assert axes.get_title() or figure.get_suptitle(), name
            assert axes.get_xlabel() or figure.get_supxlabel(), name
            assert axes.get_ylabel() or figure.get_supylabel(), name


@pytest.mark.parametrize("dataset", fashion_mnist.DATASETS)
def test_data_set_is_named(draw, monkeypatch, dataset):
    """Every figure and table says which data it is from: nobody takes synthetic ones for the real ones."""
    data = FashionMNIST(dataset="synthetic")
    data.dataset = dataset
    monkeypatch.setattr(fashion_mnist, "FashionMNIST", lambda *_, **__: data)
    figures = draw("all", "--dataset", dataset, "--epochs", "1", "--results-dir", "here")
    table = Path("here/architectures.md").read_text(encoding="utf-8")
    for text in [*map(texts, figures.values()), table]:
        if dataset == "synthetic":
            assert "synthetic" in text
        else:
            assert "synthetic" not in text
            assert "Fashion-MNIST" in text


def test_six_figures(draw):
    """Section 3.1: both models' losses, or accuracies, in one figure for each of the three learning rates."""
    figures = draw("learning-rates", *SYNTHETIC)
    assert sorted(set(figures) - {"samples.png"}) == sorted(SIX)
    for name in SIX:
        (axes,) = figures[name].axes
        quantity, lr = Path(name).stem.split("-lr-")
        values = {"training-loss": "train_losses", "validation-accuracy": "val_accuracies"}[quantity]
        expected = {
            {"pytorch": "PyTorch", "custom": "custom"}[record.setting.model]: (
                [1, 2, 3, 4],
                getattr(record, values),
            )
            for record in records()
            if record.setting.lr == float(lr)
        }
        assert len(expected) == 2
        assert curves_of(axes) == expected
        assert quantity.replace("-", " ") in axes.get_title().lower()
        assert f"learning rate {'10⁻⁵' if lr == '1e-05' else lr}" in axes.get_title()
        assert axes.get_xlabel() == "Epoch"
        assert {"train_losses": "entropy", "val_accuracies": "ccuracy"}[values] in axes.get_ylabel()


def test_training_figure(draw):
    """``train``: losses left, accuracies right, both models in each."""
    figure = draw("train", *SYNTHETIC)["training.png"]
    left, right = figure.axes
    for axes, values in ((left, "train_losses"), (right, "val_accuracies")):
        assert {name: ys for name, (_, ys) in curves_of(axes).items()} == {
            fashion_mnist.MODELS[record.setting.model]: getattr(record, values) for record in records()
        }
    assert "loss" in left.get_title().lower()
    assert "accuracy" in right.get_title().lower()
    assert "0.002" in figure.get_suptitle()


def test_curves_that_hide_each_other_can_be_told_apart(draw):
    """The two models differ in colour, marker and line, so that one shows through the other."""
    (axes,) = draw("learning-rates", *SYNTHETIC)[SIX[0]].axes
    first, second = axes.lines
    for look in ("color", "marker", "linestyle", "linewidth"):
        assert plt.getp(first, look) != plt.getp(second, look), look


def test_architectures_figure(draw):
    """Section 3.2: accuracy against time, all ten architectures in the panel of each model."""
    figure = draw("architectures", *SYNTHETIC)["architectures.png"]
    assert [axes.get_title() for axes in figure.axes] == ["PyTorch", "custom"]
    for model, axes in zip(("pytorch", "custom"), figure.axes, strict=True):
        drawn = {tuple(map(float, point)) for line in axes.lines for point in line.get_xydata()}
        expected = {
            (record.training_seconds, record.test_accuracy)
            for record in records()
            if record.setting.model == model
        }
        assert len(expected) == 10
        assert drawn == expected
        assert "time" in axes.get_xlabel()
        assert "(s)" in axes.get_xlabel()
        assert "accuracy" in axes.get_ylabel()


def test_tables(draw):
    """Ten architectures times two models, with all that the handout asks for; CSV and Markdown agree."""
    draw("architectures", *SYNTHETIC)
    kept = {record.setting: record for record in records()}
    with open("results/synthetic/architectures.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(kept) == 20
    assert len({(row["Configuration"], row["Model"]) for row in rows}) == 20
    by_numbers = {(record.parameters, fashion_mnist.MODELS[s.model]): record for s, record in kept.items()}
    originals = {
        fashion_mnist.MODELS[s.model]: record
        for s, record in kept.items()
        if (s.hidden_size1, s.hidden_size2) == (256, 128)
    }
    for row in rows:
        record = by_numbers[int(row["Parameters"]), row["Model"]]
        assert int(row["Epochs"]) == record.setting.epochs
        assert int(row["Batch"]) == record.setting.batch_size
        assert float(row["Learning rate"]) == record.setting.lr
        assert float(row["Test accuracy"]) == pytest.approx(record.test_accuracy, rel=1e-5)
        assert float(row["Training (s)"]) == pytest.approx(record.training_seconds, rel=1e-5)
        (speed,) = (value for name, value in row.items() if name.startswith("Speed"))
        expected = originals[row["Model"]].training_seconds / record.training_seconds
        assert float(speed) == pytest.approx(expected, rel=1e-5)
        sizes = [record.setting.hidden_size1, record.setting.hidden_size2]
        if sizes == [256, 128]:
            assert "original" in row["Configuration"]
            assert float(speed) == 1
        else:
            assert ("first" if sizes[0] != 256 else "second") in row["Configuration"]
            changed = sizes[0] if sizes[0] != 256 else sizes[1]
            assert row["Configuration"].endswith(str(changed or "none"))
    lines = Path("results/synthetic/architectures.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header, ruler, *table = cells
    assert header == list(rows[0])
    assert all(set(cell) <= set("-:") for cell in ruler)
    for line, row in zip(table, rows, strict=True):
        assert line[:2] == [row["Configuration"], row["Model"]]
        for cell, value in zip(line[2:], list(row.values())[2:], strict=True):
            digits = len(cell.partition(".")[2])
            assert float(cell.replace(",", "")) == round(float(value), digits)


@pytest.mark.parametrize("model", ["pytorch", "custom"])
def test_one_model_alone(draw, model):
    figures = draw("all", *SYNTHETIC, "--models", model)
    assert sorted(figures) == sorted(FIGURES)
    for name in SIX:
        (axes,) = figures[name].axes
        assert list(curves_of(axes)) == [fashion_mnist.MODELS[model]]
    assert len(figures["architectures.png"].axes) == 1
    with open("results/synthetic/architectures.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 10


def diverged(setting):
    """Make up the record of a run that diverges in its second epoch, or with most rates at once."""
    losses = (
        [2.0] + [math.nan] * (setting.epochs - 1) if setting.lr == max(RATES) else [math.nan] * setting.epochs
    )
    return runs.make_record(setting, losses, [0.1] * setting.epochs, 0.1, seconds=2.0)


def infinite(setting):
    """Make up the record of a run whose loss becomes infinite."""
    losses = [2.0] + [math.inf] * (setting.epochs - 1)
    return runs.make_record(setting, losses, [0.1] * setting.epochs, 0.1, seconds=2.0)


def without_validation(setting):
    """Make up the record of a run with --val-perc 0."""
    return runs.make_record(setting, make_record(setting).train_losses, [math.nan] * setting.epochs)


@pytest.mark.parametrize("record", [diverged, infinite, without_validation], ids=lambda value: value.__name__)
def test_odd_numbers(draw, monkeypatch, record):
    """Losses that are no numbers, and accuracies that there are none of, are gaps in the curves."""
    with monkeypatch.context() as patch:
        patch.setattr(fashion_mnist, "EXPERIMENTS", dict.fromkeys(fashion_mnist.EXPERIMENTS, lambda *_: None))
        assert list(draw("all", *SYNTHETIC, record=record)) == ["samples.png"]
    figures = draw("all", *SYNTHETIC, record=None)  # from the records that are kept
    assert sorted(figures) == sorted(FIGURES)
    for name in ("training.png", "architectures.png", *SIX[:2], *SIX[4:]):
        figures[name].canvas.draw()
    (axes,) = figures[SIX[4]].axes
    ys = curves_of(axes)["custom"][1]
    assert len(ys) == 4
    assert math.isfinite(ys[0])
    assert all(map(math.isfinite, ys)) == (record is without_validation)


def test_val_perc_0(main):
    """The whole command, without validation set."""
    arguments = ("--val-perc", "0", "--epochs", "1", "--batch-size", "200", "--dataset", "synthetic")
    status, stdout, stderr = main(*arguments)
    assert (status, stderr) == (0, "")
    assert "test accuracy" in stdout
    assert Path("results/synthetic/training.png").exists()
    assert all(math.isnan(record.val_accuracies[0]) for record in records())


# What training has made.


def pictures_on(axes, columns, above=2):
    """Yield the pictures on a sheet."""
    sheet = np.ma.filled(axes.images[0].get_array(), np.nan)
    for row, column in np.ndindex(len(sheet) // (28 + above), columns):
        yield sheet[row * (28 + above) + above :, 30 * column :][:28, :28]


def test_losses_figure(draw):
    """A panel for each model, with the losses of its training and validation images."""
    figure = draw("train", *SYNTHETIC)["losses.png"]
    assert [axes.get_title() for axes in figure.axes] == ["PyTorch", "custom"]
    for axes, record in zip(
        figure.axes, sorted(records(), key=lambda it: it.setting.model)[::-1], strict=True
    ):
        drawn = {name: ys for name, (_, ys) in curves_of(axes).items()}
        assert drawn == {"training": record.train_losses, "validation": record.val_losses}
        assert record.val_losses != record.train_losses


def test_confusion_figure(draw):
    """Every share of the matrix, and the accuracy of every class, in the mean of the seeds."""

    def record(setting):
        counts = 20 * np.eye(10, dtype=int) + np.arange(100).reshape(10, 10) + 7 * setting.seed
        return fashion_mnist.replace(make_record(setting), confusion=counts.tolist())

    figure = draw("train", *SYNTHETIC, "--seeds", "2", record=record)["confusion.png"]
    counts = np.array([record(Setting(seed=seed)).confusion for seed in (0, 1)])
    shares = 100 * (counts / counts.sum(axis=2, keepdims=True)).mean(axis=0)
    left, right = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), shares)
    assert [text.get_text() for text in left.texts] == [f"{share:.0f}" for share in shares.flat]
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], shares.diagonal())
    assert [text.get_text() for text in right.texts] == [f"{share:.1f}" for share in shares.diagonal()]
    assert "custom" in figure.get_suptitle()


def test_mistakes_figure(draw):
    """Each picture with its class, what it was taken for and with what probability; as many as there are."""
    for count in (0, 1, 6, 12):
        random = np.random.default_rng(count)
        pictures = random.uniform(-1, 1, (count, 28, 28))
        mistakes = [Mistake(3, 7, 0.875, as_text(picture)) for picture in pictures]
        figure = draw(
            *("train", *SYNTHETIC, "--fresh"),
            record=lambda it, found=mistakes: fashion_mnist.replace(make_record(it), mistakes=found),
        )["mistakes.png"]
        (axes,) = figure.axes
        assert [text.get_text() for text in axes.texts] == ["3, not\n7 (87.5%)"] * count
        for shown, picture in zip(pictures_on(axes, 6, 9), pictures, strict=False):
            np.testing.assert_allclose(shown, picture, atol=1 / 255)


def test_what_training_has_made(all_results):
    """The numbers of the records: the matrix sums to the test set, its diagonal to the accuracy."""
    data = FashionMNIST(dataset="synthetic")
    images = [from_text(as_text(image[0].numpy())) for image, _ in data.test_dataset]
    for record in runs.records_in(all_results).values():
        counts = np.array(record.confusion)
        labels = [int(label) for _, label in data.test_dataset]
        np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(labels, minlength=10))
        assert counts.trace() / len(labels) == pytest.approx(record.test_accuracy, abs=0.0021)
        assert len(record.mistakes) == min(12, len(labels) - counts.trace())
        for mistake in record.mistakes:
            assert 0.1 <= mistake.probability <= 1
            assert counts[mistake.label, mistake.predicted] > 0
            assert mistake.label != mistake.predicted
            picture = from_text(mistake.picture)
            closest = min(range(len(images)), key=lambda place: np.abs(images[place] - picture).max())
            np.testing.assert_array_equal(images[closest], picture)
            assert labels[closest] == mistake.label
        chances = [mistake.probability for mistake in record.mistakes]
        assert chances == sorted(chances, reverse=True)
        assert len(record.first_layer) == min(24, record.setting.hidden_size1)
        assert all(np.abs(from_text(picture)).max() > 0.99 for picture in record.first_layer)
        assert np.isfinite(record.val_losses).all() or record.setting.lr > 0.1


def test_validation_loss(all_results):
    """It is PyTorch's cross-entropy of the validation images: with weights that were saved, to rounding."""
    for record in runs.records_in(all_results).values():
        if record.setting.lr == 0.002 and record.setting.widths == "256-128":
            assert 0.3 < record.val_losses[-1] / record.train_losses[-1] < 1.5
            assert record.val_losses[-1] < record.val_losses[0]


def test_pictures_as_text():
    """Pixels come back to the last bit; weights in 256 levels."""
    pixels = np.arange(784).reshape(28, 28) % 256
    np.testing.assert_array_equal(np.rint(127.5 * from_text(as_text(pixels / 127.5 - 1)) + 127.5), pixels)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.002, "0.002"),
        (1e-5, "10⁻⁵"),
        (3e-4, "3 × 10⁻⁴"),
        (2.5e-10, "2.5 × 10⁻¹⁰"),
        (0.2, "0.2"),
        (0, "0"),
        (20, "20"),
        (999, "999"),
        (5e3, "5 × 10³"),
        (3.01e15, "3.01 × 10¹⁵"),
        (math.inf, "inf"),
    ],
)
def test_readable(value, text):
    assert readable(value) == text


# Labels.


@pytest.mark.parametrize("seeds", ["1", "2"])
def test_labels_of_all_figures(draw, check_labels, seeds):
    for name, figure in draw("all", *SYNTHETIC, "--seeds", seeds).items():
        if name != "samples.png":
            check_labels(figure)
    data = FashionMNIST(dataset="synthetic")
    data.dataset = "fashion-mnist"  # whose classes have longer names
    check_labels(plot_samples(data))
    records = [runs.make_record(Setting())]
    worst = [Mistake(0, 9, 0.999, runs.PICTURE)] * 12
    check_labels(fashion_mnist.plot_mistakes(fashion_mnist.replace(records[0], mistakes=worst)))
    check_labels(fashion_mnist.plot_confusion(records))


@pytest.mark.parametrize("seed", [None, *range(10)])
def test_labels_of_architectures(check_labels, seed):
    """With the published numbers, with these shaken, and with any."""
    random = np.random.default_rng(seed)

    def changed(value, low, high):
        return value * random.uniform(0.995, 1.005) if seed < 5 else random.uniform(low, high)

    changes = [] if seed is None else [lambda it: changed(it, 0.5, 0.9), lambda it: changed(it, 1, 300)]
    figure = plot_accuracy_against_time(published.groups(*changes))
    check_labels(figure)
    for axes in figure.axes:
        star = next(line for line in axes.lines if line.get_marker() == "*")
        assert star.get_zorder() > max(line.get_zorder() for line in axes.lines if line is not star)
        assert sorted(it.get_text() for it in axes.texts if it.get_text()) == sorted(
            ["8", "16", "64", "1024"] * 2 + ["none"]
        )


# The files.


def test_files(all_results):
    """``all`` saves its figures and the table in two formats, beside the records, and nothing else."""
    found = {path.relative_to(all_results).as_posix() for path in all_results.rglob("*") if path.is_file()}
    records = {name for name in found if name.startswith("runs/")}
    assert len(records) == 24
    assert found - records == {*FIGURES, "architectures.csv", "architectures.md"}


@pytest.mark.parametrize("name", FIGURES)
def test_pictures(all_results, name):
    """Each figure can be opened, is large enough to print, and has something on it."""
    picture = matplotlib.image.imread(all_results / name)[..., :3]
    height, width, _ = picture.shape
    assert width >= 1000
    assert height >= (500 if name == "first-layer.png" else 700)
    ink = (picture < 0.9).any(axis=2)
    assert 0.005 < ink.mean() < 0.7
    for half in (ink[: height // 2], ink[height // 2 :], ink[:, : width // 2], ink[:, width // 2 :]):
        assert half.any()
    if name not in ("samples.png", "mistakes.png"):
        colours = (picture.max(axis=2) - picture.min(axis=2)) > 0.3
        assert colours.any(), "there is no coloured curve"


# The functions.


def test_plot_one_model():
    figure = plot([2, 1.5, 1], [0.5, 0.6, 0.7], title="Mine")
    assert figure.get_suptitle() == "Mine"
    for axes, values in zip(figure.axes, ([2, 1.5, 1], [0.5, 0.6, 0.7]), strict=True):
        (line,) = axes.lines
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == values
        assert axes.get_legend() is None
    assert plt.get_fignums() == [figure.number]


def test_plot_one_epoch():
    """Epochs are whole numbers, one alone too."""
    figure = plot({"PyTorch": [2.0]}, {"PyTorch": [0.5]})
    figure.canvas.draw()
    for axes in figure.axes:
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("largest", [1e2, 1e15, 1e300])
def test_one_huge_loss_leaves_the_others_readable(largest):
    """One run of three whose first step overshoots, as a very large rate can make it."""
    others = [[1.2, 1.8, 2.3, 2.3], [1.0, 1.6, 1.7, 2.1]]
    figure = plot(
        {"custom": [[largest, 2.3, 2.3, 2.3], *others], "PyTorch": [*others, others[0]]},
        {name: np.full((3, 4), 0.1) for name in ("custom", "PyTorch")},
    )
    left, right = figure.axes
    assert left.get_ylim()[0] == 0
    assert 2.3 < left.get_ylim()[1] < 3
    drawn = np.mean([largest, *(other[0] for other in others)])
    assert f"(beyond the scale: up to {readable(drawn)})" in left.get_xlabel()
    assert right.get_xlabel() == "Epoch"


@pytest.mark.parametrize(
    ("losses", "accuracies"),
    [([2.3, 0.5, 0.1, 0.01, 0.001, 0.0001], [0.0, 0.0, 0.0, 0.0, 0.1, 0.9]), ([], []), ({}, {})],
    ids=["easy data", "no epochs", "no models"],
)
def test_nothing_else_is_cut(losses, accuracies):
    for axes, values in zip(plot(losses, accuracies).axes, (losses, accuracies), strict=True):
        assert axes.get_xlabel() == "Epoch"
        assert axes.get_ylim()[1] > max(values, default=0)


@pytest.mark.parametrize(
    ("losses", "accuracies"),
    [([1, 2], [1]), ({"a": [1]}, {"b": [1]}), ({"a": [1]}, [1]), ({"a": [1], "b": [1]}, {"a": [1], "b": []})],
)
def test_plot_refuses_curves_that_do_not_fit(losses, accuracies):
    with pytest.raises(ValueError, match="expected as many losses as accuracies, got"):
        plot(losses, accuracies)
    assert plt.get_fignums() == []


def test_style_is_not_left_behind():
    """Whoever uses the module keeps their own matplotlib settings."""
    before = dict(matplotlib.rcParams)
    plot([1.0], [0.5])
    plot_samples(FashionMNIST(dataset="synthetic"), columns=2)
    assert dict(matplotlib.rcParams) == before


def test_samples():
    """A row for each class, with training images of that class."""
    data = FashionMNIST(dataset="synthetic")
    data.dataset = "fashion-mnist"
    figure = plot_samples(data, columns=3)
    labels = {
        image.numpy().tobytes(): int(label)
        for images, batch in data.train_loader
        for image, label in zip(images, batch, strict=True)
    }
    (axes,) = figure.axes
    shown = [picture.astype(np.float32).tobytes() for picture in pictures_on(axes, 3)]
    assert [labels[image] for image in shown] == [row for row in range(10) for _ in range(3)]
    assert len(set(shown)) == 30
    assert [text.get_text() for text in axes.get_yticklabels()] == list(CLASSES)


def test_figures_are_closed(main, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "run", lambda setting, *_, **__: (make_record(setting), {}))
    monkeypatch.setattr(Results, "save_figure", lambda *_: None)
    assert main("all", *SYNTHETIC)[0] == 0
    assert plt.get_fignums() == []
