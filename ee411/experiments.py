"""The experiments of homework 3: which runs they need, and the figures and tables that come of them.

Each is a method of ``Experiments``, which does the runs that no record is kept of yet. The command line and
the notebook call the same methods.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from matplotlib.figure import Figure
from tabulate import tabulate
from torch.nn.functional import binary_cross_entropy_with_logits

from ee411.backprop import gradient, logistic_loss, predict, stable_logistic_loss
from ee411.bonus import ALL_RECIPES, CHANGES, NETWORKS, Outcome, Recipe, Residual, recipes_for, train_recipe
from ee411.data import PARTS, Part, load_parts, make_permutation
from ee411.figures import (
    NAMES,
    Runs,
    described,
    plot_images,
    plot_learning_curves,
    plot_recovered_share,
    plot_training_time,
)
from ee411.models import MODELS, count_parameters, make_model
from ee411.training import ALONE, Checkpoint, Run, RunRecord, Workers, keep_memory, train
from ee411.unpermute import Permuted, Recovered, recover_known
from fashion_mnist import Measured, Results, hash_of

CONFIGURATIONS = {
    "SGD, lr 0.01": ("sgd", 0.01),
    "SGD, lr 0.01, Nesterov momentum 0.9": ("nesterov", 0.01),
    "Adam, lr 0.1": ("adam", 0.1),
}
"""The handout's optimisers with their learning rates, by the name that figures and tables give them."""
CURVES_ASKED_FOR = {"mlp": ("train", "test"), "cnn": ("train", "validation")}
"""Of which parts of the data the handout wants learning curves (2.2 and 2.3)."""
PIXELS = ("original", "permuted", "recovered")
IMAGE_COUNTS = (1_000, 2_000, 5_000, 10_000)
"""From how many images a grid is recovered, beside all."""
ADAM_RUNS = ((0.1, 32), (0.1, 64), (0.1, 256), (0.001, 64))
"""Learning rates and batch sizes."""
ADAM_SEEDS, ADAM_EPOCHS = 3, 2
ABLATION_EPOCHS, LONG_SEEDS = 6, 3

S = TypeVar("S")
K = TypeVar("K")


def code_of(setting: Any) -> str:
    """Return a hash of the modules that decide what a run comes to.

    A record or a checkpoint that other code has made is not used.
    """
    if isinstance(setting, Permuted):
        return hash_of(load_parts, recover_known)
    if isinstance(setting, Recipe):
        return hash_of(train, make_model, load_parts, train_recipe)
    recovering = [recover_known] if setting.pixels.startswith("recovered") else []
    return hash_of(train, make_model, load_parts, *recovering)


class Experiments:
    """The second handout's experiments on one data set; the process keeps memory for them (``keep_memory``).

    Args:
        folder: where records, figures and tables go.
        dataset: "fashion-mnist" or "synthetic".
        data_dir: the folder with the data set's files.
        epochs, batch_size: of the runs with the handout's settings; recipes and ``adam`` have their own.
        seeds: of the runs; tables and figures show the mean and the standard deviation over them. None: as
            many as each experiment needs, which is one for most.
        workers: the processes that share each run.

    Raises:
        DataError: Fashion-MNIST is not to be had, or not whole.
    """

    def __init__(
        self,
        folder: Path,
        dataset: str = "fashion-mnist",
        data_dir: str | os.PathLike[str] | None = None,
        epochs: int = 10,
        batch_size: int = 64,
        seeds: Sequence[int] | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.results = Results(folder)
        self.dataset = dataset
        self.epochs = epochs
        self.batch_size = batch_size
        self.seeds = [0] if seeds is None else list(seeds)
        self.seeds_given = seeds is not None
        self.workers = workers
        self.parts = load_parts(dataset, data_dir, workers.device)
        self.records: dict[Any, Any] = {}
        keep_memory()

    # The experiments, by the names of their commands.

    def backprop(self) -> str:
        """Answer the questions of exercise 1, and compare the gradient with PyTorch's."""
        report = report_backprop()
        print(report, end="")
        self._save_text(report, "backprop.txt")
        return report

    def samples(self) -> Figure:
        """Show images of each class (2.1)."""
        train = self.parts["train"]
        figure = plot_images({"original": train.images}, train.labels, "The ten classes", self.dataset)
        return self._save_figure(figure, "samples.png")

    def mlp(self) -> Figure:
        """Train the MLP with the handout's three optimisers (2.2)."""
        return self._compare_optimizers("mlp")

    def cnn(self) -> Figure:
        """Train the CNN with the handout's three optimisers (2.3)."""
        return self._compare_optimizers("cnn")

    def parameters(self) -> str:
        """Tabulate the models' parameters beside what they reach with their best optimiser (2.4)."""
        rows, all_runs = [], []
        for model in MODELS:
            name, runs = self.best(model)
            all_runs += runs
            count = f"{count_parameters(make_model(model, seed=0)):,}"
            rows.append(
                {"Model": model.upper(), "Parameters": count, "Best optimiser": name} | accuracies(runs)
            )
        return self._save_table(rows, "parameters.md", self.how(all_runs))

    def permuted(self) -> Figure:
        """Train both models with their best optimisers on permuted pixels, too (2.5)."""
        self._show_pixels(PIXELS[:2], "Permuted pixels", "permuted-samples.png")
        return self._compare_pixels(list(MODELS), PIXELS[:2], "permuted")

    def adam(self) -> str:
        """Tabulate how Adam does with the handout's learning rate, and a lower one (2.2, 2.3)."""
        rows, seeds = [], self._at_least(ADAM_SEEDS)
        for model, (lr, batch_size) in product(MODELS, ADAM_RUNS):
            setting = Run(model, "adam", lr, batch_size, ADAM_EPOCHS, dataset=self.dataset)
            runs = self.runs(setting, seeds)
            guessing = sum(record.final("validation_accuracy") < 0.15 for record in runs)
            rows.append(
                {
                    "Model": model.upper(),
                    "Adam's rate": f"{lr:g}",
                    "Batch": batch_size,
                    "On": runs[0].setting.place,
                    "Validation accuracy": f"{final(runs, 'validation_accuracy'):.4f}",
                    "No better than guessing": f"{guessing} of {len(runs)}",
                    "Dead units in a layer": f"{Measured.of([record.dead_units for record in runs]):.0%}",
                }
            )
        return self._save_table(rows, "adam.md", f"{ADAM_EPOCHS} epochs", len(seeds))

    def bonus(self, names: Sequence[str] | None = None) -> Figure | None:
        """Train with the recipes for the best accuracy and the shortest time (2.6 a).

        Args:
            names: of some recipes, by default all that are for this device. Some of those are but shown, and
                others get a table of their own.
        """
        recipes = {name: ALL_RECIPES[name] for name in names or recipes_for(self.workers.device)}
        groups = {name: self.outcomes(recipe) for name, recipe in recipes.items()}
        rows = [
            {
                "Recipe": name,
                "Network": runs[0].setting.network,
                "Parameters": f"{runs[0].parameters:,}",
                "Epochs": runs[0].setting.epochs,
                "Training (s)": f"{Measured.of([run.seconds for run in runs]):.1f}",
                "On": runs[0].setting.place,
            }
            | accuracies_of("Test", runs)
            for name, runs in groups.items()
        ]
        how = f"trained on {sum(len(self.parts[part]) for part in PARTS[:2]):,} images"
        if names:
            if set(names) <= set(recipes_for(self.workers.device)):
                print(tabulate(rows, "keys", "github", disable_numparse=True))
            else:
                self._save_table(rows, file_of("bonus", names), how)
            return None
        self._save_table(rows, "bonus.md", how)
        figure = plot_training_time(groups, described(self.dataset, len(self.seeds)))
        return self._save_figure(figure, "bonus.png")

    def ablation(self, names: Sequence[str] | None = None, long: bool = False) -> str:
        """Tabulate what each ingredient of a recipe is worth on the validation images (2.6 a).

        Args:
            names: of recipes that have ``CHANGES``, for a table of their own; by default the CNN's alone, or
                all of them if it is long.
            long: whether the recipes have their full length and three seeds; else a few epochs and one seed.
        """
        file = file_of("ablation-long" if long else "ablation", names or [])
        names = names or (list(CHANGES) if long else ["CNN"])
        if unknown := [name for name in names if name not in CHANGES]:
            raise ValueError(f"expected a recipe with an ablation, {', '.join(CHANGES)}, got {unknown[0]!r}")
        seeds = self._at_least(LONG_SEEDS) if long else self.seeds[:1]
        rows, every_run = [], []
        for name in names:
            whole = replace(ALL_RECIPES[name], final=False)
            whole = whole if long else replace(whole, epochs=ABLATION_EPOCHS)
            for change, values in {"the recipe": {}, **CHANGES[name]}.items():
                runs = self.outcomes(replace(whole, **values), seeds)
                row = {"Recipe": name, "Changed": change, "Epochs": runs[0].setting.epochs}
                rows.append(row | accuracies_of("Validation", runs))
                every_run += runs
        how = f"trained on {len(self.parts['train']):,} images{places_of(every_run)}"
        return self._save_table(rows, file, how, len(seeds))

    def unpermute(self) -> Figure:
        """Recover the grid from permuted training images, and train the CNN on it (2.6 c)."""
        self._show_pixels(PIXELS, "Permuted pixels recovered", "unpermuted-samples.png")
        self._save_grids([self.recover(seed) for seed in self.seeds], "grids.md")
        return self._compare_pixels(["cnn"], PIXELS, "unpermuted")

    def grids(self, images: int | None = None) -> Figure | None:
        """Recover the grid from fewer and fewer images, and train the CNN on what 2,000 gave (2.6 c).

        Args:
            images: from so many alone, which takes but a table.
        """
        every = len(self.parts["train"])
        if images is not None:
            if images > every:
                raise ValueError(f"expected at most the {every:,} training images, got {images:,}")
            self._save_grids([self.recover(seed, images) for seed in self.seeds], f"grids-{images}.md")
            return None
        counts = [*(count for count in IMAGE_COUNTS if count < every), every]
        grids = {count: [self.recover(seed, count) for seed in self.seeds] for count in counts}
        self._save_grids([grid for found in grids.values() for grid in found], "few-images.md")
        figure = plot_recovered_share(grids, described(self.dataset, len(self.seeds)))
        self._save_figure(figure, "few-images.png")
        return self._compare_pixels(["cnn"], ("permuted", "recovered-2000", "recovered"), "few-images-cnn")

    # What they are made of.

    def runs(self, setting: Run, seeds: Sequence[int] | None = None) -> list[RunRecord]:
        """Return the records of a setting with some seeds, or all; what is not kept is trained now.

        A run has one thread. In batches of 64 the CNN would gain little by a second one, and the MLP train
        three times slower. So runs turn out the same on any number of cores, and several can share them.
        """
        place = self.workers.place()
        settings = [replace(setting, seed=seed, place=place) for seed in seeds or self.seeds]
        return [self._keep(setting, RunRecord, self._train) for setting in settings]

    def outcomes(self, recipe: Recipe, seeds: Sequence[int] | None = None) -> list[Outcome]:
        """Return what a recipe reaches with some seeds, or all; what is not kept is trained now.

        The residual networks get all threads that there are. The homeworks' own have one: the CNN would gain
        little by a second one, and the MLPs lose.
        """
        networks = [each.network for each in (recipe, recipe.teacher) if each]
        layers = chain(*(make_model(network, 0, NETWORKS).modules() for network in networks))
        residual = any(isinstance(layer, Residual) for layer in layers)
        place = self.workers.place(torch.get_num_threads() if residual else 1)
        settings = [
            replace(recipe, seed=seed, dataset=self.dataset, place=place) for seed in seeds or self.seeds
        ]
        return [self._keep(setting, Outcome, self._train_recipe) for setting in settings]

    def recover(self, seed: int, images: int | None = None) -> Recovered:
        """Return the grid recovered from training images, the first or all, under a seed's permutation."""
        every = len(self.parts["train"])
        return self._keep(Permuted(self.dataset, seed, min(images or every, every)), Recovered, self._recover)

    def _train(self, setting: Run) -> RunRecord:
        parts = self.arranged(setting.pixels, setting.seed)
        return self._from_checkpoint(setting, partial(train, setting, parts, self.workers))

    def _train_recipe(self, setting: Recipe) -> Outcome:
        return self._from_checkpoint(setting, partial(train_recipe, setting, self.parts, self.workers))

    def _from_checkpoint(self, setting: Any, run: Callable[[Checkpoint], K]) -> K:
        path = self.results.runs / f"{setting.name}.pt"
        checkpoint = Checkpoint(path, code_of(setting), self.workers)
        record = run(checkpoint)
        self._save(record)
        checkpoint.forget()
        return record

    def _recover(self, setting: Permuted) -> Recovered:
        reindex = make_permutation(setting.seed).reindex
        permuted = self.parts["train"].rearranged(reindex).images[: setting.images]
        record = recover_known(setting, permuted.flatten(1).cpu().numpy(), reindex.numpy())
        self._save(record)
        return record

    def _keep(self, setting: S, kind: type[K], make: Callable[[S], K]) -> K:
        """Return what is kept of a run; if there is nothing, run it and keep it."""
        if setting not in self.records:
            self.results.code = code_of(setting)
            kept = self.results.load(setting, kind)
            if self.results.outdated == [setting] and self.workers.rank == 0:  # the first; it is said once
                print("some runs were of other code, and are done again", file=sys.stderr)
            record = make(setting) if kept is None else kept
            print(f"{setting}: {record}{' (kept from before)' if kept else ''}", flush=True)
            self.records[setting] = record
        return self.records[setting]

    def _save(self, record: Any) -> None:
        if self.workers.rank == 0:
            self.results.code = code_of(record.setting)
            self.results.save(record)

    def _at_least(self, count: int) -> Sequence[int]:
        """Return the seeds that were asked for, or so many where none were."""
        return self.seeds if self.seeds_given else range(count)

    def setting(self, model: str, configuration: str, pixels: str = "original") -> Run:
        """Return the setting of a model with one of ``CONFIGURATIONS``."""
        optimizer, lr = CONFIGURATIONS[configuration]
        return Run(model, optimizer, lr, self.batch_size, self.epochs, 0, pixels, self.dataset)

    def best(self, model: str) -> tuple[str, list[RunRecord]]:
        """Return the configuration with which a model does best on the validation images, and its runs."""
        groups = {name: self.runs(self.setting(model, name)) for name in CONFIGURATIONS}
        name = max(groups, key=lambda name: final(groups[name], "validation_accuracy").mean)
        return name, groups[name]

    def best_on(self, model: str, pixels: str) -> list[RunRecord]:
        """Return a model's runs on some pixels, with the configuration that is best on the original ones."""
        return self.runs(self.setting(model, self.best(model)[0], pixels))

    def arranged(self, pixels: str, seed: int) -> dict[str, Part]:
        """Return the data with its pixels as they are, permuted, or recovered from the permuted ones."""
        if pixels == "original":
            return self.parts
        order = make_permutation(seed).reindex
        if pixels.startswith("recovered"):
            _, _, images = pixels.partition("-")
            order = order[torch.tensor(self.recover(seed, int(images) if images else None).order)]
        return {name: part.rearranged(order) for name, part in self.parts.items()}

    def _compare_optimizers(self, model: str) -> Figure:
        groups = {name: self.runs(self.setting(model, name)) for name in CONFIGURATIONS}
        rows = [{"Optimiser": name} | accuracies(runs) for name, runs in groups.items()]
        self._save_table(rows, f"{model}.md", self.how([*chain(*groups.values())]))
        figure = plot_learning_curves(groups, NAMES[model], CURVES_ASKED_FOR[model])
        return self._save_figure(figure, f"{model}.png")

    def _compare_pixels(self, models: Sequence[str], kinds: Sequence[str], name: str) -> Figure:
        groups = {f"{model.upper()}, {kind}": self.best_on(model, kind) for model in models for kind in kinds}
        rows = [{"Model, pixels": group} | accuracies(runs) for group, runs in groups.items()]
        self._save_table(rows, f"{name}.md", self.how([*chain(*groups.values())]))
        figure = plot_learning_curves(groups, "The same pixels in another order", parts=["test"])
        return self._save_figure(figure, f"{name}.png")

    def _save_grids(self, grids: Sequence[Recovered], name: str) -> None:
        rows = [
            {
                "Images": f"{grid.setting.images:,}",
                "Seed": grid.setting.seed,
                "Neighbours found": f"{grid.neighbours:.2%}",
                "Mean displacement (pixels)": f"{grid.displacement:.3f}",
                "Confidence": f"{grid.confidence:.3f}",
                "Of the true grid": f"{grid.confidence_of_truth:.3f}",
                "Time (s)": f"{grid.seconds:.0f}",
            }
            for grid in grids
        ]
        self._save_table(rows, name, "a grid for each seed")

    def _show_pixels(self, kinds: Sequence[str], title: str, name: str) -> None:
        rows = {kind: self.arranged(kind, self.seeds[0])["train"].images for kind in kinds}
        self._save_figure(plot_images(rows, self.parts["train"].labels, title, self.dataset), name)

    def _save_table(self, rows: list[dict[str, Any]], name: str, how: str, seeds: int | None = None) -> str:
        table = tabulate(rows, "keys", "github", disable_numparse=True)
        print(table)
        subject = described(self.dataset, seeds or len(self.seeds)).replace("\n", ", ")
        self._save_text(f"{subject}, {how}\n\n{table}\n", name)
        return table

    def how(self, runs: Runs) -> str:
        """Describe the handout's settings in a few words, and what some runs ran on."""
        count = len(self.parts["train"])
        return f"{count:,} images, {self.epochs} epochs, batches of {self.batch_size}{places_of(runs)}"

    def _save_text(self, text: str, name: str) -> None:
        if self.workers.rank == 0:
            self.results.save_text(text, name)

    def _save_figure(self, figure: Figure, name: str) -> Figure:
        if self.workers.rank == 0:
            self.results.save_figure(figure, name)
        return figure


def file_of(table: str, names: Sequence[str]) -> str:
    """Return the name of the file for a table of some recipes alone."""
    return "-".join([table, *names]).replace(" ", "-") + ".md"


def final(runs: Runs, curve: str) -> Measured:
    """Return what some runs have measured after their last epoch."""
    return Measured.of([record.final(curve) for record in runs])


def places_of(runs: Runs | Sequence[Outcome]) -> str:
    """Say what some runs ran on, in words to be added to others."""
    return ", on " + " and on ".join(dict.fromkeys(str(run.setting.place) for run in runs))


def accuracies(runs: Runs) -> dict[str, str]:
    """Return a table's cells with the accuracies of some runs after their last epoch."""
    return {f"{part} accuracy".capitalize(): f"{final(runs, f'{part}_accuracy'):.4f}" for part in PARTS}


def accuracies_of(part: str, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return a table's cells with the accuracies that some trainings have reached, without and with views."""
    return {
        f"{part} accuracy": f"{Measured.of([outcome.accuracy for outcome in outcomes]):.4f}",
        "with six views": f"{Measured.of([outcome.accuracy_of_views for outcome in outcomes]):.4f}",
    }


def report_backprop() -> str:
    """Compute what exercise 1 asks about, and compare the gradient with PyTorch's for D = 5 and K = 6."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(8, 5)), random.integers(0, 2, 8)
    W = {"w_1": random.normal(size=(5, 6)), "w_2": random.normal(size=(6, 1))}
    weights = {key: torch.tensor(array, requires_grad=True) for key, array in W.items()}
    z_2 = torch.sigmoid(torch.tensor(X) @ weights["w_1"]) @ weights["w_2"]
    loss = binary_cross_entropy_with_logits(z_2.ravel(), torch.tensor(y, dtype=torch.float64))
    expected = torch.autograd.grad(loss, list(weights.values()))
    found = gradient(X, y, W)
    difference = max(np.abs(found[key] - own.numpy()).max() for key, own in zip(W, expected, strict=True))
    naive, stable = logistic_loss(y, predict(X, W)[2]), stable_logistic_loss(y, predict(X, W)[1])
    ones, logits = np.ones(4), np.full(4, -1e10)
    rows = {
        "naive loss, y_hat = 0, y = 0": f"{logistic_loss(0 * ones, 0 * ones)} (the limit is 0)",
        "stable loss, z_2 = -1e10, y = 0": stable_logistic_loss(0 * ones, logits),
        "stable loss, z_2 = -1e10, y = 1": stable_logistic_loss(ones, logits),
        "a random batch, naive and stable loss": f"{naive:.15f} and {stable:.15f}",
        "its gradient, largest difference from PyTorch's": f"{difference:.1e}",
        "derivation and explanations": "ee411/backprop.md",
    }
    return tabulate(list(rows.items()), tablefmt="plain", disable_numparse=True) + "\n"
