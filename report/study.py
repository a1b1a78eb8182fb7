"""Which runs the report is about, which of them are there, and which are missing."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from fashion_mnist import EXPERIMENTS, MODELS, Finished, Record, Setting, plan, read_record

BOTH = list(MODELS)
DEFAULT = Setting()
COMMON = ("lr", "batch_size", "epochs", "val_perc", "dataset")
"""The parts of a setting that the command line sets for all experiments alike."""
WAITED = 1.25
"""By the clock a run may take so many times what it takes on the processor: it then hardly waited for it."""
SPREAD = 1.5
"""So many times as long as the fast ones may a run's slow epochs take (by quartiles), or its slowest seed."""
SHORTEST = 0.1
"""Seconds of an epoch below which it is chance which of two networks is faster."""


def load_records(folder: Path) -> dict[Setting, tuple[Record, str]]:
    """Return the records that ``fashion_mnist.py`` has kept in a results folder, each with its code's hash.

    Those of runs without validation are passed over: section 3.1 is about validation accuracies.

    Raises:
        ValueError: no record is left, or a file is something else.
    """
    records = {}
    for path in sorted((folder / "runs").glob("*.json")):
        record, code = read_record(path, Record)
        if path.stem != record.setting.name:
            raise ValueError(f"{path}: expected the record of that run, got that of {record.setting.name}")
        records[record.setting] = record, code
    validated = {
        setting: kept for setting, kept in records.items() if np.isfinite(kept[0].val_accuracies).all()
    }
    if not validated:
        found = "only ones of runs without validation (--val-perc 0)" if records else "none"
        raise ValueError(
            f"{folder / 'runs'}: expected records of runs, got {found}; "
            "python fashion_mnist.py all makes them"
        )
    return validated


def planned(base: Setting) -> set[Setting]:
    """Return the settings of all experiments, with one seed."""
    plans = (plan(experiment, base, BOTH) for experiment in EXPERIMENTS)
    return {setting for groups in plans for group in groups.values() for setting in group}


class Study:
    """All experiments with one base setting, and one or more seeds.

    Of what a folder holds, that is the base setting of which most runs are there, if in doubt the default. A
    seed is taken if all of its runs are there; if that is true of none, the one is taken of which most are.

    Args:
        records: the records that there are, each with the hash of the code that made it.
        code: the hash of the present code.

    Attributes:
        base: the setting of ``python fashion_mnist.py train``.
        seeds: the seeds that are taken.
        taken: the records of these, with the hash of their code.
        missing: the settings, with these seeds, that have no record.
        left_out: for each seed that is not taken, how many of its runs are missing.
    """

    def __init__(self, records: Mapping[Setting, tuple[Record, str]], code: str) -> None:
        self._code = code
        bases = {
            DEFAULT,
            *(replace(DEFAULT, **{name: getattr(setting, name) for name in COMMON}) for setting in records),
        }

        def runs_of(base: Setting) -> set[Setting]:
            wanted = planned(base)
            return {setting for setting in records if replace(setting, seed=base.seed) in wanted}

        self.base = max(bases, key=lambda base: (len(runs_of(base)), base == DEFAULT, base.name))
        missing = {
            seed: planned(replace(self.base, seed=seed)) - records.keys()
            for seed in sorted({setting.seed for setting in runs_of(self.base)} or {DEFAULT.seed})
        }
        complete = [seed for seed in missing if not missing[seed]]
        self.seeds = complete or [min(missing, key=lambda seed: len(missing[seed]))]
        self.missing = {setting for seed in self.seeds for setting in missing[seed]}
        wanted = {setting for seed in self.seeds for setting in planned(replace(self.base, seed=seed))}
        self.taken = {setting: records[setting] for setting in sorted(wanted - self.missing, key=str)}
        self.left_out = {seed: len(missing[seed]) for seed in missing if seed not in self.seeds}

    def finished(self, experiment: str) -> Finished:
        """Return the results of an experiment, for those things compared of which no run is missing."""
        return {
            name: [[self.taken[replace(setting, seed=seed)][0] for seed in self.seeds] for setting in group]
            for name, group in plan(experiment, self.base, BOTH).items()
            if not any(
                replace(setting, seed=seed) in self.missing for setting in group for seed in self.seeds
            )
        }

    def unfinished(self, experiment: str) -> bool:
        """Return whether any run of an experiment is missing."""
        return len(self.finished(experiment)) < len(plan(experiment, self.base, BOTH))

    @property
    def cores(self) -> dict[int, int]:
        """How many cores the runs had, and how many runs had so many."""
        return dict(sorted(Counter(record.cores for record, _ in self.taken.values()).items()))

    @property
    def disturbances(self) -> list[str]:
        """What shows that the machine did other things while times were taken, in words; empty if nothing."""
        records = [record for record, _ in self.taken.values()]
        if not records:
            return []
        waited = [
            record.training_seconds
            / (statistics.median(record.epoch_cpu_seconds) * len(record.epoch_seconds))
            if statistics.median(record.epoch_cpu_seconds) > 0
            else np.inf
            for record in records
        ]
        quartiles = (np.quantile(record.epoch_seconds, (0.25, 0.75)) for record in records)
        epochs = [high / low for low, high in quartiles]
        of_setting: dict[Setting, list[float]] = {}
        for record in records:
            same = replace(record.setting, seed=0)
            of_setting.setdefault(same, []).append(record.training_seconds)
        seeds = [max(seconds) / min(seconds) for seconds in of_setting.values()]
        told = []
        for ratios, most, what in (
            (
                waited,
                WAITED,
                "runs took more time by the clock than on the processor, up to {:.1f} times as much",
            ),
            (
                epochs,
                SPREAD,
                "runs had epochs of uneven length, the slow ones up to {:.1f} times the fast ones",
            ),
            (seeds, SPREAD, "networks took uneven times with their seeds, up to {:.1f} times as long"),
        ):
            if count := sum(ratio > most for ratio in ratios):
                told.append(f"{count} of {len(ratios)} {what.format(max(ratios))}")
        return told

    @property
    def too_short(self) -> int:
        """How many runs have epochs so short that their times say nothing."""
        records = [record for record, _ in self.taken.values()]
        return sum(statistics.median(record.epoch_seconds) < SHORTEST for record in records)

    def command(self, experiment: str = "all", *more: str) -> str:
        """Return the command that makes the runs of an experiment, or of all."""
        options = {
            "--" + name.replace("_", "-"): getattr(self.base, name)
            for name in COMMON
            if getattr(self.base, name) != getattr(DEFAULT, name)
        }
        seeds = sorted([*self.seeds, *self.left_out])
        if seeds[0] != DEFAULT.seed:
            options["--seed"] = seeds[0]
        if len(seeds) > 1:
            options["--seeds"] = seeds[-1] - seeds[0] + 1
        words = [experiment, *(str(word) for option in options.items() for word in option), *more]
        return shlex.join(["python", "fashion_mnist.py", *words])

    def notices(self) -> list[str]:
        """Return what a reader has to know before all else: all that makes these not the final results."""
        notices = []
        if self.base.dataset != DEFAULT.dataset:
            notices.append(f"The data are {self.base.dataset}, made up by a program, and not Fashion-MNIST.")
        changed = [
            f"{name.replace('_', ' ')} {getattr(self.base, name)} instead of {getattr(DEFAULT, name)}"
            for name in COMMON
            if name != "dataset" and getattr(self.base, name) != getattr(DEFAULT, name)
        ]
        if changed:
            notices.append(
                f"The runs were made with other settings than the final ones: {', '.join(changed)}."
            )
        if self.missing:
            everything = len(self.seeds) * len(planned(self.base))
            names = "; ".join(sorted(str(setting) for setting in self.missing))
            notices.append(
                f"Of {everything} runs {len(self.missing)} are missing ({names}). "
                f"This command makes them: `{self.command()}`"
            )
        if self.left_out:
            notices.append(
                "Seeds are left out of which not all runs are there: "
                + ", ".join(
                    f"{seed} (of {len(planned(self.base))} runs {count} are missing)"
                    for seed, count in self.left_out.items()
                )
                + f". This command makes them: `{self.command()}`"
            )
        other = [code for _, code in self.taken.values() if code != self._code]
        if other:
            everything = len(self.taken)
            which = "All runs" if len(other) == everything else f"Of {everything} runs {len(other)}"
            mixed = ", and not all by the same" if len(set(other)) > 1 else ""
            notices.append(
                f"{which} were made by other code than `q1.py`, `q2.py` and `fashion_mnist.py` have now"
                f"{mixed}. This command makes them anew: `{self.command()}`"
            )
        if len(self.cores) > 1:
            shares = ", ".join(f"{count} had {cores}" for cores, count in self.cores.items())
            notices.append(
                f"The runs had different numbers of cores ({shares}), so that their training times cannot be "
                f"compared. This command makes all of them anew: `{self.command('all', '--fresh')}`"
            )
        if self.too_short:
            notices.append(
                f"{self.too_short} of {len(self.taken)} runs had epochs of less than {SHORTEST} s, too short "
                f"to be compared. Nothing is concluded from the times."
            )
        if self.disturbances:
            notices.append(
                f"The machine was disturbed while times were taken: {'; '.join(self.disturbances)}. "
                f"Nothing is concluded from the times. On a machine left in peace this command takes all of "
                f"them anew: `{self.command('all', '--fresh')}`"
            )
        return notices
