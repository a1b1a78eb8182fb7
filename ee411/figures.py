"""The figures of homework 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ee411.bonus import Outcome
from ee411.training import RunRecord
from ee411.unpermute import Recovered
from fashion_mnist import CLASSES, STYLE, Measured, label_points, titled

Runs: TypeAlias = "Sequence[RunRecord]"
"""The records of one setting, with one seed after the other."""

LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "marker": "o"},
    {"color": "#D55E00", "marker": "s"},
    {"color": "#009E73", "marker": "^"},
    {"color": "#CC79A7", "marker": "D"},
    {"color": "#E69F00", "marker": "v"},
)
"""Of the curves in a figure, in turn: Okabe and Ito's colours, and markers for who can't tell these apart."""
LINES = {"train": "-", "validation": ":", "test": "--"}
NAMES = {"mlp": "MLP 100-100", "cnn": "CNN"}
"""The handout's models as the recipes call them."""
QUANTITIES = {"loss": "Cross-entropy", "accuracy": "Accuracy"}


def described(dataset: str, seeds: int) -> str:
    """Return what titles say of some runs: the data set and, of several seeds, what is shown."""
    return titled(dataset) + (f"\nmean ± standard deviation of {seeds} seeds" if seeds > 1 else "")


def plot_learning_curves(groups: Mapping[str, Runs], title: str, parts: Sequence[str]) -> Figure:
    """Plot learning curves over the epochs: the loss, the accuracy and, if need be, its upper end enlarged.

    Args:
        groups: the runs by the name that the legend gives them, at most five.
        title: the figure's title, to which the data set is added.
        parts: of which parts of the data to plot the curves.
    """
    runs = next(iter(groups.values()))
    ends = [record.final(f"{part}_accuracy") for part in parts for runs in groups.values() for record in runs]
    enlarged = min(ends) < 0.5 < max(ends)  # one that learns nothing would squeeze the others
    panels = [*QUANTITIES.items(), *[("accuracy", "Accuracy, enlarged")] * enlarged]
    with plt.rc_context(STYLE):
        size = (1 + 5 * len(panels), 4.6)
        figure, axes_of_panels = plt.subplots(1, len(panels), figsize=size, layout="constrained")
        figure.suptitle(f"{title}, {described(runs[0].setting.dataset, len(runs))}")
        for axes, (quantity, label) in zip(axes_of_panels, panels, strict=True):
            for look, (name, runs) in zip(LOOKS, groups.items(), strict=False):
                for part in parts:
                    mean, std = Measured.of([record.curves[f"{part}_{quantity}"] for record in runs])
                    epochs = np.arange(1, len(mean) + 1)
                    axes.plot(
                        epochs, mean, **look, linestyle=LINES[part], markersize=4, label=f"{name}, {part}"
                    )
                    if std is not None:
                        axes.fill_between(
                            epochs, mean - std, mean + std, color=look["color"], alpha=0.15, lw=0
                        )
            axes.set(xlabel="Epoch", ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if enlarged:
            axes.set_ylim(*useful_range(groups, parts))
        loss = axes_of_panels[0]
        if max(max(record.curves["train_loss"]) for runs in groups.values() for record in runs) > 3:
            loss.set_yscale("log")
            loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            loss.yaxis.set_major_formatter("{x:g}")
            loss.yaxis.set_minor_formatter(NullFormatter())
        figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=len(groups))
    return figure


def useful_range(groups: Mapping[str, Runs], parts: Sequence[str]) -> tuple[float, float]:
    """Return where the mean accuracies lie of the runs that end above one half, with a small margin."""
    curves = [
        Measured.of([record.curves[f"{part}_accuracy"] for record in runs]).mean
        for runs in groups.values()
        for part in parts
    ]
    values = np.concatenate([curve for curve in curves if curve[-1] > 0.5])
    margin = 0.05 * np.ptp(values) + 0.001
    return float(values.min() - margin), float(values.max() + margin)


def plot_training_time(recipes: Mapping[str, Sequence[Outcome]], subject: str) -> Figure:
    """Plot the test accuracy against the training time.

    Args:
        recipes: what some recipes have reached, each with one seed after the other.
        subject: what the title says of the runs.
    """
    series = {"one view of each image": "accuracy", "six views": "accuracy_of_views"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
        figure.suptitle(f"Accuracy against training time, {subject}")
        for look, (label, attribute) in zip(LOOKS, series.items(), strict=False):
            values = [[(run.seconds, getattr(run, attribute)) for run in runs] for runs in recipes.values()]
            means, stds = zip(*map(Measured.of, values), strict=True)
            seconds, accuracy = np.transpose(means)
            errors = np.zeros(len(means)) if stds[0] is None else np.transpose(stds)[1]
            axes.errorbar(seconds, accuracy, errors, linestyle="", capsize=3, label=label, **look)
        # One label serves both points of a recipe; it stands at the upper one.
        labels = [(name, point, look["color"]) for name, point in zip(recipes, means, strict=True)]
        axes.set(xlabel="Seconds of training", ylabel="Test accuracy", xscale="log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.15, y=0.15)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        label_points(axes, labels)
    return figure


def plot_recovered_share(grids: Mapping[int, Sequence[Recovered]], subject: str) -> Figure:
    """Plot how much of the grid is recovered, and how sure that is, against the number of images.

    Args:
        grids: what was recovered by the number of images, each with one seed after the other.
        subject: what the title says of them.
    """
    series = {
        "neighbours found": "neighbours",
        "confidence": "confidence",
        "confidence of the true grid": "confidence_of_truth",
    }
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
        figure.suptitle(f"Grids recovered, {subject}")
        for look, (label, attribute) in zip(LOOKS, series.items(), strict=False):
            values = [Measured.of([getattr(grid, attribute) for grid in found]) for found in grids.values()]
            errors = [0 if value.std is None else value.std for value in values]
            means = [value.mean for value in values]
            axes.errorbar(list(grids), means, errors, capsize=3, label=label, **look)
        axes.set(xlabel="Images", ylabel="Share", xscale="log", xticks=list(grids))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower right")
    return figure


def plot_images(rows: Mapping[str, torch.Tensor], labels: torch.Tensor, title: str, dataset: str) -> Figure:
    """Show the first image of each class, in a row for each kind of image.

    Args:
        rows: images (n, 1, 28, 28) in [-1, 1] by what to call them, the same ones in every row.
        labels: their labels (n,).
        title: the figure's title, to which the data set is added.
        dataset: "fashion-mnist" or "synthetic".
    """
    first = [int((labels == label).nonzero()[0]) for label in range(len(CLASSES))]
    names = CLASSES if dataset == "fashion-mnist" else [str(label) for label in range(len(CLASSES))]
    with plt.rc_context({**STYLE, "axes.grid": False, "axes.titlesize": 9}):
        size = (1.05 * len(first) + 1, 1.15 * len(rows) + 1.1)
        figure, grid = plt.subplots(len(rows), len(first), figsize=size, layout="constrained", squeeze=False)
        figure.suptitle(f"{title}, {titled(dataset)}")
        figure.supxlabel("The first training image of each class")
        figure.supylabel("Pixels")
        for line, (row, images) in zip(grid, rows.items(), strict=True):
            line[0].set_ylabel(row)
            for axes, index in zip(line, first, strict=True):
                axes.imshow(images[index, 0].cpu().numpy(), cmap="gray_r", vmin=-1, vmax=1)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, name in zip(grid[0], names, strict=True):
            axes.set_title(name)
    return figure
