"""Training and evaluating a model, in one process or in several, and the record of it (exercises 2.2, 2.3).

A run is a ``Run``; ``train`` turns it into a ``RunRecord``, which is kept, so that no run is done twice. It
computes on a GPU where there is one. Started through torchrun, several processes share each batch, and their
gradients are averaged (DistributedDataParallel); the result is that of one process but for rounding. After
every epoch a ``Checkpoint`` keeps what is needed to go on from there, so that little is lost with a process.
"""

from __future__ import annotations

import ctypes
import math
import os
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.nn.functional  # before there is a group: see join_workers
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ee411.data import PARTS, Part
from ee411.models import count_parameters, make_model
from fashion_mnist import progress_bar, replacing

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adam": torch.optim.Adam,
}


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Return one of ``OPTIMIZERS``.

    Raises:
        ValueError: there is no optimiser of that name, or the learning rate is no finite number > 0.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"expected the optimiser to be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    if not 0 < lr < math.inf:
        raise ValueError(f"expected a learning rate that is a finite number > 0, got {lr!r}")
    return OPTIMIZERS[name](parameters, lr=lr)


# ---------------------------------------------------------------------------------------------------
# Runs and their records
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """What a training runs on. It belongs to what decides how one turns out, and how long it takes.

    Sums are rounded in another way with another number of threads. Mostly that is lost in the noise; a
    training as violent as Adam's at 0.1 ends elsewhere.

    Attributes:
        device: "cpu", or a GPU's name.
        processes: how many share each batch.
        threads: of each process, on the CPU.
    """

    device: str = "cpu"
    processes: int = 1
    threads: int = 1

    @property
    def name(self) -> str:
        """A part of a file name that no other place has."""
        return f"{re.sub('[^A-Za-z0-9]+', '-', self.device)}-{self.processes}x{self.threads}"

    def __str__(self) -> str:
        """Describe it, as in "cpu, 2 threads"."""
        processes = f" x {self.processes}" if self.processes > 1 else ""
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.device == "cpu" else ""
        return self.device + processes + threads


ONE_THREAD = Place()

CURVES = tuple(f"{part}_{quantity}" for part in PARTS for quantity in ("loss", "accuracy"))


@dataclass(frozen=True)
class Run:
    """All that decides how a run turns out, but for rounding and the speed of the machine.

    Attributes:
        model: one of ``models.MODELS``.
        optimizer, lr: one of ``OPTIMIZERS``, and its learning rate.
        batch_size: how many images make a step; of several processes, all together.
        epochs: passes over the training images.
        seed: fixes first weights, order and permutation.
        pixels: "original", "permuted", or "recovered" from permuted ones; from 2,000, "recovered-2000".
        dataset: "fashion-mnist" or "synthetic".
        place: what it runs on.
    """

    model: str
    optimizer: str
    lr: float
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0
    pixels: str = "original"
    dataset: str = "fashion-mnist"
    place: Place = ONE_THREAD

    @property
    def name(self) -> str:
        """A file name that no other setting has."""
        return (
            f"{self.dataset}_{self.pixels}_{self.model}_{self.optimizer}_lr{self.lr!r}_batch{self.batch_size}"
            f"_epochs{self.epochs}_seed{self.seed}_{self.place.name}"
        )

    def __str__(self) -> str:
        """Describe the run in a few words."""
        pixels = "" if self.pixels == "original" else f", {self.pixels} pixels"
        return (
            f"{self.model.upper()}, {self.optimizer} {self.lr:g}, batch {self.batch_size}, "
            f"seed {self.seed}{pixels}"
        )


@dataclass(frozen=True)
class RunRecord:
    """What a finished run has measured.

    Attributes:
        setting: what was run.
        parameters: how many numbers the model learns.
        curves: a number per epoch for each of ``CURVES``. Those of "train" are means over the epoch, while
            the model was learning; the others were measured after it.
        dead_units: the share of the ReLU units of a layer that are 0 for every validation image after the
            last epoch, in the layer where it is largest.
        training_seconds: the time that the training took, evaluation not counted.
    """

    setting: Run
    parameters: int
    curves: dict[str, list[float]]
    dead_units: float
    training_seconds: float

    def __post_init__(self) -> None:
        lengths = {name: len(curve) for name, curve in self.curves.items()}
        if lengths != dict.fromkeys(CURVES, self.setting.epochs):
            raise ValueError(f"expected {self.setting.epochs} numbers of each of {CURVES}, got {lengths}")

    def final(self, curve: str) -> float:
        """Return a curve's value after the last epoch."""
        return self.curves[curve][-1]

    def __str__(self) -> str:
        """Sum it up in a line."""
        return (
            f"test accuracy {self.final('test_accuracy'):.4f}, trained in {self.training_seconds:.1f} s "
            f"on {self.setting.place}"
        )


# ---------------------------------------------------------------------------------------------------
# Processes and devices
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workers:
    """The processes that share a run, seen from one of them.

    Attributes:
        rank: which one this is, from 0; the one of rank 0 prints and writes.
        count: how many there are.
        device: what this one computes on.
    """

    rank: int
    count: int
    device: torch.device

    def place(self, threads: int = 1) -> Place:
        """Return what a run is on whose processes have so many threads each, where there are no GPUs."""
        if self.device.type != "cpu":
            return Place(torch.cuda.get_device_name(self.device), self.count)
        return Place("cpu", self.count, threads)

    def progress_bar(self, name: str, total: int, done: int = 0) -> Any:
        """Return the progress bar of the one that prints; that of another shows nothing."""
        bar = progress_bar(name, total) if self.rank == 0 else tqdm(disable=True)
        bar.update(done)
        return bar

    def report(self, setting: Any, epoch: int, result: str) -> None:
        """Print a line after an epoch where there is no terminal to show a progress bar in."""
        if self.rank == 0 and not sys.stderr.isatty():
            print(f"{setting}: epoch {epoch} of {setting.epochs}, {result}", file=sys.stderr, flush=True)


ALONE = Workers(0, 1, torch.device("cpu"))


@contextmanager
def join_workers() -> Iterator[Workers]:
    """Join the processes that torchrun started, if it did, and take a GPU, if there is one."""
    on_gpu = torch.cuda.is_available()
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if on_gpu else "cpu")
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun sets it
        yield Workers(0, 1, device)
        return
    if on_gpu:
        torch.cuda.set_device(device)
    # A group's threads live until nothing refers to it, also after it was destroyed, and abort a process that
    # ends while they still hold a tensor. torch.distributed.nn.functional has the group that there is when it
    # is imported as default arguments, for ever, and DistributedDataParallel imports it: so it comes first.
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Workers(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> None:
    """Have this process keep the memory that a training step frees, since the next step asks for as much.

    The GNU C library gives blocks of many megabytes back to the system, and they come again page by page.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-4, 0)  # M_MMAP_MAX: no block of its own, which would go back as a whole
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: and hardly ever the end of the heap


class Checkpoint:
    """The file in which a training keeps after every epoch what it needs to go on from there.

    Args:
        path: the file; None keeps nothing.
        code: a hash of the code that trains; what other code has kept is not used.
        workers: the processes of the training; that of rank 0 reads and writes.
    """

    def __init__(self, path: Path | None = None, code: str = "", workers: Workers = ALONE) -> None:
        self.path, self.code, self.workers = path, code, workers
        self.others: list[Checkpoint] = []

    def load(self) -> dict[str, Any] | None:
        """Return what was kept last, or None."""
        kept = [self._read() if self.workers.rank == 0 else None]
        if self.workers.count > 1:
            distributed.broadcast_object_list(kept, device=self.workers.device)
        return kept[0]

    def _read(self) -> dict[str, Any] | None:
        if self.path is None or not self.path.exists():
            return None
        try:
            kept = torch.load(self.path, weights_only=True)
            return kept["state"] if kept["code"] == self.code else None
        except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            print(f"{self.path}: expected a checkpoint: {error!r}; the run begins anew", file=sys.stderr)
            return None

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state: tensors, numbers and texts, in dictionaries and lists."""
        if self.path is not None and self.workers.rank == 0:
            with replacing(self.path) as beside:
                torch.save({"code": self.code, "state": dict(state)}, beside)

    def beside(self, name: str) -> Checkpoint:
        """Return another training's checkpoint, whose file lies beside this one's, and goes with it."""
        path = self.path and self.path.with_name(f"{self.path.stem}.{name}{self.path.suffix}")
        self.others.append(Checkpoint(path, self.code, self.workers))
        return self.others[-1]

    def forget(self) -> None:
        """Remove the file, and those beside it."""
        for other in self.others:
            other.forget()
        if self.path is not None and self.workers.rank == 0:
            self.path.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------


def train(
    setting: Run, parts: Mapping[str, Part], workers: Workers = ALONE, checkpoint: Checkpoint | None = None
) -> RunRecord:
    """Train a model from scratch and evaluate it after every epoch, with a progress bar in a terminal.

    Args:
        setting: what to run; its ``pixels`` and ``dataset`` must be those of ``parts``.
        parts: "train", "validation" and "test", on the workers' device.
        workers: the processes that share the run.
        checkpoint: where to go on from, and to keep each epoch.

    Raises:
        ValueError: the model or the optimiser is unknown, or the learning rate is none.
    """
    checkpoint = checkpoint or Checkpoint()
    model = make_model(setting.model, setting.seed)
    model.to(workers.device, memory_format=torch.channels_last)  # convolutions take two thirds of the time
    optimizer = make_optimizer(setting.optimizer, model.parameters(), setting.lr)
    curves: dict[str, list[float]] = {name: [] for name in CURVES}
    first, seconds = 0, 0.0
    if (kept := checkpoint.load()) is not None:
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        first, curves, seconds = kept["epochs"], kept["curves"], kept["seconds"]
    shared = DistributedDataParallel(model) if workers.count > 1 else model
    steps = math.ceil(len(parts["train"]) / setting.batch_size)
    with (
        limited_threads(setting.place.threads),
        workers.progress_bar(str(setting), setting.epochs * steps, first * steps) as bar,
    ):
        for epoch in range(first, setting.epochs):
            order = np.random.default_rng([setting.seed, epoch]).permutation(len(parts["train"]))
            start = time.perf_counter()
            batches = parts["train"].batches(setting.batch_size, torch.from_numpy(order))
            measured = {"train": train_one_epoch(shared, optimizer, batches, workers, bar.update)}
            seconds += time.perf_counter() - start
            for part in PARTS[1:]:
                measured[part] = evaluate(model, parts[part], workers)
            for part, (loss, accuracy) in measured.items():
                curves[f"{part}_loss"].append(loss)
                curves[f"{part}_accuracy"].append(accuracy)
            result = f"accuracy {curves['validation_accuracy'][-1]:.4f}"
            bar.set_postfix_str(result)
            workers.report(setting, epoch + 1, result)
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "epochs": epoch + 1,
                    "curves": curves,
                    "seconds": seconds,
                }
            )
        dead = find_dead_units(model, parts["validation"])
    return RunRecord(setting, count_parameters(model), curves, dead, seconds)


def train_one_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    workers: Workers = ALONE,
    after_step: Callable[[], Any] = lambda: None,
    label_smoothing: float = 0.0,
    losses: torch.Tensor | None = None,
) -> tuple[float, float]:
    """Take a step with every batch, and return the mean loss and the accuracy, seen while learning.

    Args:
        model: of several workers, a DistributedDataParallel one.
        optimizer: its optimiser.
        batches: images and labels, the same for all workers; each takes every ``workers.count``-th image.
        workers: the processes that share the batches.
        after_step: called after every step.
        label_smoothing: how much of the probability the loss wants spread over all classes.
        losses: float32 (n,), zeros, for the loss of each image of all the batches, in their order.
    """
    model.train()
    totals = torch.zeros(3, dtype=torch.float64, device=workers.device)
    before = 0
    for images, labels in batches:
        own = slice(workers.rank, None, workers.count)
        logits = model(images[own])
        each = cross_entropy(logits, labels[own], reduction="none", label_smoothing=label_smoothing)
        loss = each.sum()
        optimizer.zero_grad()
        # The workers' gradients are averaged. So that this makes the gradient of the mean over the whole
        # batch, also where they have not equally many images of it, each divides its sum by the batch and not
        # by its share.
        (loss * workers.count / len(labels)).backward()
        optimizer.step()
        totals += summed(loss, logits, labels[own])
        if losses is not None:
            losses[before : before + len(labels)][own] = each.detach()
            before += len(labels)
        after_step()
    if losses is not None and workers.count > 1:
        distributed.all_reduce(losses)  # 0 where another worker has written
    return means(totals, workers)


@torch.no_grad()
def evaluate(model: nn.Module, images: Part, workers: Workers = ALONE) -> tuple[float, float]:
    """Return a model's mean loss and its accuracy on a part of the data; the workers share the batches."""
    model.eval()
    totals = torch.zeros(3, dtype=torch.float64, device=workers.device)
    for place, (batch, labels) in enumerate(images.batches(1000)):
        if place % workers.count == workers.rank:
            logits = model(batch)
            totals += summed(cross_entropy(logits, labels, reduction="sum"), logits, labels)
    return means(totals, workers)


@torch.no_grad()
def find_dead_units(model: nn.Module, images: Part) -> float:
    """Return which share of a layer's ReLU units is 0 for every image, in the layer where it is largest.

    Such units no longer learn: the gradient of ReLU is 0 where its output is. If a whole layer is dead, no
    gradient comes through, and the output is the same for all images. A convolution's channel is one unit.
    """
    alive: dict[nn.Module, torch.Tensor] = {}

    def note(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        active = (output > 0).transpose(0, 1).flatten(1).any(dim=1)
        alive[layer] = alive.get(layer, False) | active

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if isinstance(layer, nn.ReLU)]
    model.eval()
    for batch, _ in images.batches(1000):
        model(batch)
    for hook in hooks:
        hook.remove()
    return max(1 - units.double().mean().item() for units in alive.values())


def summed(loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return (3,): the summed loss, how many labels are predicted, and how many there are.

    Where the labels are probabilities, the most probable class counts as the label.
    """
    labels = labels.argmax(dim=1) if labels.ndim == 2 else labels
    correct = (logits.argmax(dim=1) == labels).sum()
    return torch.stack(
        [loss.detach().double(), correct.double(), torch.full_like(correct, len(labels)).double()]
    )


def means(totals: torch.Tensor, workers: Workers) -> tuple[float, float]:
    """Return the mean loss and the accuracy over all workers, given each one's sum of ``summed``."""
    if workers.count > 1:
        distributed.all_reduce(totals)
    loss, correct, count = totals.tolist()
    return loss / count, correct / count
