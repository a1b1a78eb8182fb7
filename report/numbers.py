"""The numbers of the text, computed from runs, and the words for them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from fashion_mnist import (
    CLASSES,
    MODELS,
    ORIGINAL,
    Architecture,
    Finished,
    Measured,
    Runs,
    architecture_rows,
    class_names,
    confusion,
    described,
    from_text,
    readable,
    speed,
    tabulate_architectures,
    titled,
)
from q1 import FloatArray
from report import comparison
from report.study import SPREAD, Study

GUESSING = math.log(len(CLASSES))
"""The cross-entropy of giving each class the same probability."""
UNCHANGED = 0.05
"""A speed counts as the original's if it differs from that by no more than this share."""


@dataclass(frozen=True)
class Compared:
    """One of the things that an experiment compares, as both models were trained on it.

    Arrays have the shape (2, number of seeds): first PyTorch, then custom.
    """

    pytorch: Runs
    custom: Runs

    def values(self, quantity: str) -> FloatArray:
        """Return an attribute of all records; one that is a list adds an axis of epochs."""
        return np.array(
            [[getattr(record, quantity) for record in runs] for runs in (self.pytorch, self.custom)]
        )

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self.custom[0].setting.lr

    @property
    def rate(self) -> str:
        """The learning rate in Markdown, as the figures have it."""
        return in_markdown(self.lr)

    @property
    def parameters(self) -> int:
        """How many numbers the network learns."""
        return self.custom[0].parameters

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.pytorch) + len(self.custom)

    @property
    def first_losses(self) -> FloatArray:
        """The training losses of the first epoch."""
        return self.values("train_losses")[..., 0]

    @property
    def last_losses(self) -> FloatArray:
        """The training losses of the last epoch."""
        return self.values("train_losses")[..., -1]

    @property
    def last_accuracies(self) -> FloatArray:
        """The validation accuracies after the last epoch."""
        return self.values("val_accuracies")[..., -1]

    @property
    def test_accuracies(self) -> FloatArray:
        """The test accuracies."""
        return self.values("test_accuracy")

    @property
    def accuracy(self) -> float:
        """The test accuracy in the mean of all runs."""
        return float(self.test_accuracies.mean())

    @property
    def largest_rise(self) -> float:
        """The most by which a run's training loss rises from one epoch to the next; < 0 if all fall."""
        return float(np.diff(self.values("train_losses")).max(initial=-math.inf))

    @property
    def largest_gap(self) -> float:
        """The most by which the training losses of the two models differ, where both are finite."""
        with np.errstate(invalid="ignore"):
            gaps = np.abs(np.diff(self.values("train_losses"), axis=0))
        return float(gaps[np.isfinite(gaps)].max(initial=0))

    @property
    def best_at_first(self) -> int:
        """In how many runs no epoch has a lower training loss than the first."""
        losses = self.values("train_losses")
        return int(np.sum(~(losses[..., 1:] < losses[..., :1]).any(axis=-1)))

    @property
    def without_number(self) -> int:
        """In how many runs the training loss of some epoch is infinite or NaN."""
        return int(np.sum(~np.isfinite(self.values("train_losses")).all(axis=-1)))

    @property
    def no_better_than_guessing(self) -> int:
        """In how many runs the last training loss is no lower than that of guessing, or no number."""
        return int(np.sum(~(self.last_losses < GUESSING)))


@dataclass(frozen=True)
class Variant(Compared):
    """One of the architectures of section 3.2, next to the original."""

    architecture: Architecture
    original: Compared

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return self.architecture.name.replace(":", "")

    @property
    def speeds(self) -> tuple[float, float]:
        """How many times as fast as the original it is trained, with PyTorch and with our library."""
        return (
            speed(self.pytorch, self.original.pytorch).mean,
            speed(self.custom, self.original.custom).mean,
        )

    @property
    def ahead(self) -> float:
        """How many times as fast as PyTorch our library trains it."""
        return speed(self.custom, self.pytorch).mean

    @property
    def times_fewer(self) -> float:
        """How many times fewer parameters than the original it has."""
        return self.original.parameters / self.parameters

    @property
    def points(self) -> float:
        """By how many percentage points its test accuracy is above the original's."""
        return 100 * (self.accuracy - self.original.accuracy)

    @property
    def verdicts(self) -> list[str]:
        """With PyTorch and with our library: whether it is "faster" or "slower" than the original.

        Or "unchanged", or "unclear": other work on the machine can last for most of a run, and make its
        median epoch slower, but hardly its fastest one. Where the two tell different things, by more than
        what counts as unchanged, neither is believed.
        """
        fastest = (it.values("epoch_seconds").min(axis=-1) for it in (self.original, self))
        both = zip(self.speeds, np.divide(*fastest).mean(axis=1), strict=True)
        return [
            verdict(usual)
            if verdict(usual) == verdict(at_best) or abs(at_best / usual - 1) <= UNCHANGED
            else "unclear"
            for usual, at_best in both
        ]

    @property
    def faster(self) -> bool:
        """Whether both models train it faster than the original."""
        return self.verdicts == ["faster", "faster"]

    @property
    def slower(self) -> bool:
        """Whether both models train it slower than the original."""
        return self.verdicts == ["slower", "slower"]


class Variants:
    """The architectures of section 3.2.

    Attributes:
        all: each of them, the original first.
        changed: all but the original.
    """

    def __init__(self, groups: Finished) -> None:
        original = Compared(*groups[ORIGINAL])
        self.all = [
            Variant(pytorch, custom, architecture, original)
            for architecture, (pytorch, custom) in groups.items()
        ]
        self.changed = self.all[1:]

    def named(self, name: str) -> Variant:
        """Return the one of a name."""
        (variant,) = (variant for variant in self.all if variant.name == name)
        return variant

    def varying(self, layer: str) -> list[Variant]:
        """Return those that differ from the original in one layer."""
        return [variant for variant in self.changed if variant.architecture.varied == layer]

    def with_verdict(self, wanted: str, model: int) -> str:
        """List those of which a verdict is given with a model, 0 for PyTorch and 1 for custom."""
        return listed(
            f"{variant.name} ({variant.speeds[model]:.2f})"
            for variant in self.changed
            if variant.verdicts[model] == wanted
        )

    @property
    def unclear(self) -> bool:
        """Whether the times of any leave open how fast it is."""
        return any("unclear" in variant.verdicts for variant in self.changed)

    @property
    def cheap(self) -> str:
        """List those that are faster, and at most half a point less accurate."""
        return listed(variant.name for variant in self.changed if variant.faster and variant.points >= -0.5)

    @property
    def dear(self) -> str:
        """List those that are faster, but more than half a point less accurate."""
        return listed(variant.name for variant in self.changed if variant.faster and variant.points < -0.5)

    @property
    def wasteful(self) -> str:
        """List those that are slower, and not more accurate."""
        return listed(variant.name for variant in self.changed if variant.slower and variant.points <= 0)

    @property
    def largest_change(self) -> float:
        """The most by which a run's training loss is higher in the last epoch than in the first."""
        return float(np.max([variant.last_losses - variant.first_losses for variant in self.all]))

    @property
    def largest_test_gap(self) -> float:
        """The most by which the test accuracies of the two models differ."""
        return max(float(np.abs(np.diff(variant.test_accuracies, axis=0)).max()) for variant in self.all)

    @property
    def slowest_inversion(self) -> float:
        """The most times as long as a larger network that a smaller one is trained, with the same model."""
        seconds = [variant.values("training_seconds").mean(axis=1) for variant in self.all]
        return max(
            float((less / more).max())
            for small, less in zip(self.all, seconds, strict=True)
            for large, more in zip(self.all, seconds, strict=True)
            if small.parameters < large.parameters
        )

    @property
    def mean_std(self) -> float:
        """The standard deviation of the test accuracy from seed to seed, in the mean over all."""
        return float(np.mean([variant.test_accuracies.std(axis=1, ddof=1) for variant in self.all]))


@dataclass(frozen=True)
class Closer:
    """A closer look at the original network, as our library has trained it."""

    runs: Runs
    names: Sequence[str]

    @property
    def shares(self) -> FloatArray:
        """Which classes are taken for which, in percent of the class."""
        return 100 * confusion(self.runs)

    @property
    def best(self) -> int:
        """The class that is found most often."""
        return int(self.shares.diagonal().argmax())

    @property
    def worst(self) -> int:
        """The class that is found least often."""
        return int(self.shares.diagonal().argmin())

    @property
    def wrong(self) -> FloatArray:
        """The shares of classes that are taken for others."""
        return self.shares - np.diag(self.shares.diagonal())

    @property
    def pair(self) -> tuple[int, int]:
        """The two classes that are confused most, in either direction."""
        one, other = np.unravel_index(np.triu(self.wrong + self.wrong.T).argmax(), self.wrong.shape)
        return int(one), int(other)

    @property
    def share_of_pair(self) -> float:
        """What share of all mistakes are between these two."""
        one, other = self.pair
        return float((self.wrong[one, other] + self.wrong[other, one]) / self.wrong.sum())

    @property
    def train_losses(self) -> FloatArray:
        """The training losses of the epochs, in the mean of the runs."""
        return np.mean([record.train_losses for record in self.runs], axis=0)

    @property
    def val_losses(self) -> FloatArray:
        """The validation losses after the epochs, in the mean of the runs."""
        return np.mean([record.val_losses for record in self.runs], axis=0)

    @property
    def lowest_at(self) -> int:
        """The epoch, counted from 1, after which the validation loss is lowest."""
        return int(self.val_losses.argmin()) + 1

    @property
    def chances(self) -> list[float]:
        """The probabilities, in percent, of the most confident mistakes of the first run."""
        return [100 * mistake.probability for mistake in self.runs[0].mistakes]

    @property
    def smoothness(self) -> float:
        """The correlation of neighbouring pixels in what training has added to the first layer's weights."""
        pictures = np.array([from_text(text) for text in self.runs[0].first_layer])
        return float(np.corrcoef(pictures[:, :, :-1].ravel(), pictures[:, :, 1:].ravel())[0, 1])


def rates_table(rates: Mapping[str, Compared]) -> str:
    """Write what the learning rates come to as a table in Markdown."""
    rows = [
        {
            "Learning rate": f"{compared.rate} ({name})",
            "Model": model,
            "First loss": cell(compared.first_losses[place]),
            "Last loss": cell(compared.last_losses[place]),
            "Validation accuracy": cell(compared.last_accuracies[place]),
            "Test accuracy": cell(compared.test_accuracies[place]),
        }
        for name, compared in rates.items()
        for place, model in enumerate(MODELS.values())
    ]
    alignment = ["left", "left", "right", "right", "right", "right"]
    return tabulate(rows, "keys", "pipe", colalign=alignment, disable_numparse=True)


def cell(values: FloatArray) -> str:
    """Write what the runs of one model have measured, for a table."""
    measured = Measured.of(values)
    if not np.isfinite(measured.mean):
        return "no number"
    if measured.mean < 1_000:
        return f"{measured:.4f}"
    return " ± ".join(scientific(part) for part in measured if part is not None)


def architectures_table(groups: Finished) -> str:
    """Write the table of section 3.2 in Markdown, in words short enough for nine columns on a page."""
    table = tabulate_architectures(architecture_rows(groups), "pipe")
    for long, short in {
        "hidden layer": "hidden",
        "Learning rate": "Rate",
        "Speed (original = 1)": "Speed",
    }.items():
        table = table.replace(long, short)
    return table


def verdict(speed: float) -> str:
    """Say what a speed is, beside that of the original, which is 1."""
    if abs(speed - 1) <= UNCHANGED:
        return "unchanged"
    return "faster" if speed > 1 else "slower"


def least_of(first: Sequence[Variant], second: Sequence[Variant]) -> float:
    """Return how many times as far as others' the speeds of some architectures reach, up or down."""
    ours, others = ([speed for variant in part for speed in variant.speeds] for part in (first, second))
    return min(max(ours) / max(others), min(others) / min(ours))


def times_as_long(variant: Variant) -> float:
    """Return how many times as long as the original an architecture is trained, with the slower model."""
    return 1 / min(variant.speeds)


def extent(variants: Sequence[Variant]) -> float:
    """Return how far apart the test accuracies of some architectures are."""
    return max(variant.accuracy for variant in variants) - min(variant.accuracy for variant in variants)


def listed(names: Iterable[str]) -> str:
    """Write a list as a sentence has it."""
    *others, last = list(names) or ["none"]
    return f"{', '.join(others)} and {last}" if others else last


def show(values: Any, spec: str = ".3f") -> str:
    """Write a number, or of several the smallest and the largest, unless they look the same."""
    lowest, highest = format(float(np.min(values)), spec), format(float(np.max(values)), spec)
    return lowest if lowest == highest else f"{lowest} to {highest}"


def in_markdown(value: float) -> str:
    """Write a number as the figures have it, with carets about what is raised."""
    plain = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "−0123456789")
    return re.sub("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda raised: f"^{raised[0].translate(plain)}^", readable(value))


def scientific(value: float, digits: int = 1) -> str:
    """Write a number to so many digits, in Markdown."""
    return in_markdown(float(f"{value:.{digits - 1}e}"))


def points(change: float) -> str:
    """Write how a test accuracy compares with another, by the difference in percentage points."""
    return f"{abs(change):.1f} points {'above' if change > 0 else 'below'}"


def values_of(study: Study) -> dict[str, Any]:
    """Return what the holes of ``report.md`` are filled with, but for the proof."""
    values: dict[str, Any] = {
        "inconclusive": bool(study.disturbances or study.too_short),
        "three_seeds": study.command("all", "--seeds", "3"),
        "subject": titled(study.base.dataset),
        "look": None,
        "command": study.command,
        "data": titled(study.base.dataset),
        "base": study.base,
        "epochs": f"{study.base.epochs} epoch{'' if study.base.epochs == 1 else 's'}",
        "seeds": len(study.seeds),
        "cores": f"{' or '.join(map(str, study.cores)) or 'no'} core{'' if [*study.cores] == [1] else 's'}",
        "unchanged": UNCHANGED,
        "uneven": SPREAD,
        "steps": comparison.STEPS,
        "difference_of_layers": comparison.difference_of_layers(),
        "difference_of_networks": comparison.difference_of_networks(),
        "mean": Measured.of,
        "points": points,
        "least_of": least_of,
        "times_as_long": times_as_long,
        "extent": extent,
        "scientific": scientific,
        "show": show,
        "rates": None,
        "variants": None,
    }
    if not study.unfinished("train"):
        (group,) = study.finished("train").values()
        values["subject"] = ", ".join(described(group[0]).split("\n"))
        values["look"] = Closer(group[1], class_names(study.base.dataset))
    if not study.unfinished("learning-rates"):
        rates = {name: Compared(*group) for name, group in study.finished("learning-rates").items()}
        values |= {
            "rates": rates,
            "rates_table": rates_table(rates),
            "small": rates["very small"],
            "given": rates["as given"],
            "large": rates["very large"],
            "best": max(rates.values(), key=lambda compared: compared.last_accuracies.mean()),
        }
    if not study.unfinished("architectures"):
        groups = study.finished("architectures")
        variants = Variants(groups)
        original = variants.named("original")
        values |= {
            "variants": variants,
            "architectures_table": architectures_table(groups),
            "original": original,
            "narrow": variants.named("first hidden layer 8"),
            "wide": variants.named("first hidden layer 1024"),
            "without": variants.named("second hidden layer none"),
            "first_layer_share": 28 * 28 * ORIGINAL.hidden_size1 / original.parameters,
        }
    return values
