"""Training for the best accuracy, and for the fastest (exercise 2.6 a and b).

A ``Recipe`` is all that was decided: the network, the augmentation of its training images, the loss, the
optimiser and its schedule. What each of them is worth says ``python -m ee411 ablation --long``. Recipes are
compared on the validation images. A final network is trained on them, too, and measured on the test images.

- Every epoch sees the images moved a little, and mirrored every other time: what a garment is does not
  depend on it, and images that never come twice in the same way are harder to learn by heart.
- AdamW, its learning rate rising quickly and then falling to 0 (one cycle): large steps explore, small ones
  settle. Weight decay keeps the weights small.
- Muon in place of AdamW for the kernels: its steps go equally far in all directions, and fewer are needed.
- Most images are soon learned. Where time is short, all are learned from only once, and then, in more epochs,
  those whose losses were largest (A. Jiang and others, "Accelerating deep learning by focusing on the biggest
  losers", 2019).
- Label smoothing asks for a probability of 0.9 instead of 1, and so does not reward ever larger logits.
- Batch normalisation while training lets the homeworks' own networks take larger steps, too. Once trained, it
  is but a factor and an offset for each channel, which ``fold`` multiplies into the weights before it: what
  is measured is the homework's own network, without a number more.
- A teacher, where time is no matter: what a small network learns of an image is not its label, but how
  probable a larger network finds each class, which was trained first.
- At the end a network's logits for a few views of an image are averaged, the mirrored one among them.
- Matrix products and convolutions are computed in bfloat16 where the processor has instructions for it;
  weights, loss and optimiser stay in float32.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import pad
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.parametrize import register_parametrization
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from ee411.data import Part, join
from ee411.models import count_parameters, make_cnn, make_mlp, make_model
from ee411.training import (
    ALONE,
    ONE_THREAD,
    Checkpoint,
    Place,
    Workers,
    evaluate,
    limited_threads,
    train_one_epoch,
)
from fashion_mnist import PytorchMLPFashionMNIST, before_softmax

# ---------------------------------------------------------------------------------------------------
# Networks
# ---------------------------------------------------------------------------------------------------


def make_assignment_mlp() -> nn.Sequential:
    """Return the MLP of ``fashion_mnist.py``: hidden layers of 256 and 128 units, 235,146 parameters."""
    return nn.Sequential(nn.Flatten(), *before_softmax(PytorchMLPFashionMNIST().layers))


class Residual(nn.Sequential):
    """Layers whose input is added to their output, so that the gradient has a way around them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x plus what the layers make of it, of the same shape."""
        return x + super().forward(x)


def make_resnet(*widths: int, stride: int = 1) -> nn.Sequential:
    """Return a small residual network: a convolution, and for each width a block that halves the image.

    A block is a convolution 3 × 3 to the new width, max-pooling by 2, and a residual convolution of that
    width, both with batch normalisation and GELU. What is left of the image is max-pooled into one pixel.

    Args:
        widths: the blocks' channels; the first convolution has half as many as the first block.
        stride: of the first convolution. With 2 all others see a quarter of the pixels.
    """

    def convolution(channels: int, width: int, *between: nn.Module, stride: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        return [layer, *between, nn.BatchNorm2d(width, momentum=0.4), nn.GELU()]

    layers = convolution(1, widths[0] // 2, stride=stride)
    for channels, width in zip((widths[0] // 2, *widths[:-1]), widths, strict=True):
        layers += convolution(channels, width, nn.MaxPool2d(2))
        layers.append(Residual(*convolution(width, width)))
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "MLP 100-100": make_mlp,
    "MLP 256-128": make_assignment_mlp,
    "CNN 16-32-64": make_cnn,
    "ResNet 32-64": partial(make_resnet, 32, 64, stride=2),
    "ResNet 64-128": partial(make_resnet, 64, 128, stride=2),
    "ResNet 48-128-256": partial(make_resnet, 48, 128, 256),
    "ResNet 128-256-512": partial(make_resnet, 128, 256, 512),
}


class Absolute(nn.Module):
    """The absolute value, as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``|x|``, of the same shape."""
        return x.abs()


def with_batch_norm(network: nn.Sequential) -> nn.Sequential:
    """Return a network with batch normalisation after each of its layers with weights, but the last.

    Max-pooling moves before it and the activation, which have a quarter of the work then. What is largest
    stays so, as neither decreases: the factor of batch normalisation is made positive for that.
    """
    *hidden, last = network
    layers: list[nn.Module] = []
    for layer in hidden:
        if isinstance(layer, nn.MaxPool2d):
            *layers, normalisation, activation = layers
            register_parametrization(normalisation, "weight", Absolute())
            layers += [layer, normalisation, activation]
        else:
            layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
        elif isinstance(layer, nn.Linear):
            layers.append(nn.BatchNorm1d(layer.out_features))
    return nn.Sequential(*layers, last)


def fold(network: nn.Sequential) -> nn.Sequential:
    """Return a trained network with its batch normalisation multiplied into the weights before it.

    Once trained it is linear, γ (x - μ) / σ + β for each output of the layer before, x = w · a + b. The same
    comes of that layer alone with γ / σ · w for its weights and γ / σ · (b - μ) + β for its bias. Max-pooling
    goes back to where it was.
    """
    network.eval()
    layers: list[nn.Module] = []
    for layer in network:
        pooled = bool(layers) and isinstance(layers[-1], nn.MaxPool2d)
        if isinstance(layer, nn.BatchNorm2d):
            place = -2 if pooled else -1
            layers[place] = fuse_conv_bn_eval(layers[place], layer)
        elif isinstance(layer, nn.BatchNorm1d):
            layers[-1] = fuse_linear_bn_eval(layers[-1], layer)
        elif isinstance(layer, nn.ReLU) and pooled:
            layers.insert(-1, layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


class Bfloat16(nn.Module):
    """A model that computes its products and convolutions in bfloat16, from and to float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the model's logits in float32."""
        with torch.autocast(images.device.type, torch.bfloat16):
            logits = self.model(images)
        return logits.float()


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class Views(nn.Module):
    """A model that averages its logits over six views of an image.

    The image as it is, moved by a pixel up and left, and down and right; and the mirror images of the three.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean logits (B, 10) for images (B, 1, 28, 28)."""
        padded = pad(images, (1, 1, 1, 1), value=BLACK)
        moved = (images, padded[..., :-2, :-2], padded[..., 2:, 2:])
        return torch.stack([self.model(v) for view in moved for v in (view, view.flip(-1))]).mean(dim=0)


Kind: TypeAlias = "tuple[int, int, int]"
"""How an image is changed: moved by how many pixels down and right, and 1 if it is mirrored."""

BLACK = -1.0
"""What the transform makes of a byte that is 0: the background."""

# ---------------------------------------------------------------------------------------------------
# Recipes
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """All that decides how a training turns out, but for rounding and the speed of the machine.

    Attributes:
        network: one of ``NETWORKS``.
        epochs: passes over the training images.
        hardest: the share of them that is learned from after the first epoch: those with the largest losses
            when they were last learned from.
        batch_size: how many images make a step; of several processes, all together.
        lr: AdamW's learning rate, with one_cycle its highest.
        weight_decay: of matrices and kernels, with either; biases and normalisations have none.
        muon: Muon's learning rate for the kernels; 0 leaves them to AdamW. With one_cycle its highest.
        one_cycle: whether the learning rate rises and falls to 0; else it stays.
        label_smoothing: how much of the probability is spread over all classes.
        batch_norm: whether the network has batch normalisation while it is trained (see ``fold``).
        shift: by how many pixels, at most, images are moved.
        erased: the side of a square that is made background somewhere in each image, or 0.
        compiled: whether ``torch.compile`` makes the steps, which is for GPUs: there small steps take less
            time than it takes to launch their kernels one by one.
        flip: whether images are mirrored every other epoch.
        teacher: of a network that is trained first, on the same images, and whose answers are learned in
            place of labels (see ``taught``). Its seed, data set and place are this recipe's.
        final: whether it is settled: then the network learns from the validation images, too, and is
            measured on the test images, else on the validation images.
        seed: fixes first weights, order and augmentation.
        dataset: "fashion-mnist" or "synthetic".
        place: what it runs on.
    """

    network: str
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    muon: float = 0.0
    one_cycle: bool = True
    hardest: float = 1.0
    label_smoothing: float = 0.1
    batch_norm: bool = False
    shift: int = 1
    flip: bool = True
    erased: int = 0
    compiled: bool = False
    teacher: Recipe | None = None
    final: bool = True
    seed: int = 0
    dataset: str = "fashion-mnist"
    place: Place = ONE_THREAD

    @property
    def name(self) -> str:
        """A file name that no other recipe has."""
        all_of_it = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        network = self.network.replace(" ", "-")
        return f"{self.dataset}_recipe_{network}_epochs{self.epochs}_seed{self.seed}_{all_of_it}"

    def counts(self, n: int) -> list[int]:
        """Return how many of n images are learned from in each epoch."""
        return [n] + [round(self.hardest * n)] * (self.epochs - 1)

    def __str__(self) -> str:
        """Describe the training in a few words."""
        return f"{self.network}, {self.epochs} epochs, batch {self.batch_size}, seed {self.seed}"


CNN = Recipe(
    "CNN 16-32-64",
    epochs=42,
    batch_size=128,
    lr=0.006,
    weight_decay=0.01,
    muon=0.02,
    label_smoothing=0,
    batch_norm=True,
)
RESNET = Recipe("ResNet 48-128-256", epochs=8, batch_size=256, lr=0.01, weight_decay=0.1, muon=0.02)
RECIPES = {
    "MLP 100-100": Recipe(
        "MLP 100-100", epochs=60, batch_size=128, lr=0.004, weight_decay=0.02, batch_norm=True
    ),
    "MLP 256-128": Recipe(
        "MLP 256-128", epochs=100, batch_size=128, lr=0.004, weight_decay=0.02, batch_norm=True
    ),
    "CNN": CNN,
    "ResNet": RESNET,
    "small ResNet": replace(RESNET, network="ResNet 64-128", epochs=9, hardest=0.35, label_smoothing=0),
    "tiny ResNet": replace(RESNET, network="ResNet 32-64", epochs=5, hardest=0.35, label_smoothing=0),
}
"""By what figures and tables call them: the homeworks' own networks, the best one found, two quicker ones."""

TAUGHT_RECIPES = {"taught CNN": replace(CNN, epochs=84, teacher=RESNET)}
"""With their teachers they take more than ten minutes, so they are tabulated by themselves."""

GPU_RECIPES = {
    "GPU, 5 s": Recipe("ResNet 64-128", epochs=10, batch_size=1024, lr=0.02, weight_decay=0.1, compiled=True),
    "GPU, a minute": Recipe(
        "ResNet 48-128-256", epochs=60, batch_size=1024, lr=0.02, weight_decay=0.1, erased=8, compiled=True
    ),
    "GPU, 20 minutes": Recipe(
        "ResNet 128-256-512", epochs=200, batch_size=1024, lr=0.02, weight_decay=0.1, erased=8, compiled=True
    ),
}
"""For GPUs, named after the time that they are meant to take. No GPU was at hand: they are untried."""

ALL_RECIPES = RECIPES | TAUGHT_RECIPES | GPU_RECIPES


def recipes_for(device: torch.device) -> list[str]:
    """Return the names of the recipes that are tabulated for a device."""
    return list(RECIPES if device.type == "cpu" else RECIPES | GPU_RECIPES)


AUGMENTATION: dict[str, dict[str, Any]] = {
    "not mirrored": {"flip": False},
    "not moved": {"shift": 0},
    "neither": {"flip": False, "shift": 0},
}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "CNN": {
        "AdamW for the kernels, too": {"muon": 0.0},
        "no batch normalisation": {"batch_norm": False},
        **AUGMENTATION,
        "the learning rate stays, and is 0.001": {"one_cycle": False, "lr": 0.001, "muon": 0.003},
        "no weight decay": {"weight_decay": 0.0},
        "labels smoothed by 0.1": {"label_smoothing": 0.1},
    },
    "MLP 256-128": {
        "no batch normalisation": {"batch_norm": False},
        **AUGMENTATION,
        "no weight decay": {"weight_decay": 0.0},
        "labels not smoothed": {"label_smoothing": 0.0},
    },
    "small ResNet": {"all images in every epoch": {"hardest": 1.0, "epochs": 4}},
    "tiny ResNet": {"all images in every epoch": {"hardest": 1.0, "epochs": 3}},
    "taught CNN": {
        "not taught": {"teacher": None},
        "42 epochs": {"epochs": 42},
        "not taught, 42 epochs": {"teacher": None, "epochs": 42},
    },
}
"""What the ablation changes of a recipe, by the recipe's name.

With all images in every epoch there are as many epochs as take the same time, or a little more.
"""


@dataclass(frozen=True)
class Outcome:
    """What a finished training has measured.

    Attributes:
        setting: what was run.
        parameters: how many numbers the network learns.
        accuracy: on the test images, or on the validation images if the recipe is not final.
        accuracy_of_views: the same with ``Views``.
        seconds: the time that the training took, and that of its teacher.
    """

    setting: Recipe
    parameters: int
    accuracy: float
    accuracy_of_views: float
    seconds: float

    def __post_init__(self) -> None:
        for accuracy in (self.accuracy, self.accuracy_of_views):
            if not 0 <= accuracy <= 1:
                raise ValueError(f"expected an accuracy of 0 to 1, got {accuracy}")

    def __str__(self) -> str:
        """Sum it up in a line."""
        part = "test" if self.setting.final else "validation"
        return f"{part} accuracy {self.accuracy:.4f}, trained in {self.seconds:.1f} s on {self.setting.place}"


# ---------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------


def train_recipe(
    recipe: Recipe, parts: Mapping[str, Part], workers: Workers = ALONE, checkpoint: Checkpoint | None = None
) -> Outcome:
    """Train a network from scratch and evaluate it, with a progress bar in a terminal.

    Args:
        recipe: what to run. If it is final, the validation images are trained on as well.
        parts: "train", "validation" and "test", on the workers' device.
        workers: the processes that share the training. Each normalises over its own share of a batch, so with
            batch normalisation the result is not quite that of one process.
        checkpoint: where to go on from, and to keep each epoch.

    Raises:
        ValueError: the network is unknown.
    """
    checkpoint = checkpoint or Checkpoint()
    train, unseen = parts["train"], parts["validation"]
    if recipe.final:
        train, unseen = join(train, unseen), parts["test"]
    with limited_threads(recipe.place.threads):
        seconds = 0.0
        if recipe.teacher:
            teacher = replace(recipe.teacher, seed=recipe.seed, dataset=recipe.dataset, place=recipe.place)
            train, seconds = taught(train, teacher, workers, checkpoint.beside("teacher"))
        network, own_seconds = trained(recipe, train, workers, checkpoint)
        model = in_low_precision(network, workers.device)
        _, accuracy = evaluate(model, unseen, workers)
        _, accuracy_of_views = evaluate(Views(model), unseen, workers)
    return Outcome(recipe, count_parameters(network), accuracy, accuracy_of_views, seconds + own_seconds)


def trained(
    recipe: Recipe, train: Part, workers: Workers, checkpoint: Checkpoint
) -> tuple[nn.Sequential, float]:
    """Return a recipe's network, trained and folded, and the seconds that its training took."""
    network = make_model(recipe.network, recipe.seed, NETWORKS)
    if recipe.batch_norm:
        network = with_batch_norm(network)
    network.to(workers.device, memory_format=torch.channels_last)  # lacks it
    seconds = fit(network, recipe, train, workers, checkpoint)
    return fold(network) if recipe.batch_norm else network, seconds


def taught(train: Part, teacher: Recipe, workers: Workers, checkpoint: Checkpoint) -> tuple[Part, float]:
    """Train a teacher, and return the images with its answers in place of labels, and the seconds it took.

    An answer is the probability of each class, (n, 10), for an image's six views; it is the same however the
    image is moved and mirrored before it is learned from. Smoothed labels keep a teacher's logits small, and
    its answers vague, so the logits count twice.
    """
    network, seconds = trained(teacher, train, workers, checkpoint)
    start = time.perf_counter()
    model = Views(in_low_precision(network, workers.device)).eval()
    with torch.no_grad():
        answers = torch.cat([(2 * model(images)).softmax(dim=1) for images, _ in train.batches(1000)])
    return Part(train.images, answers), seconds + time.perf_counter() - start


def fit(network: nn.Module, recipe: Recipe, train: Part, workers: Workers, checkpoint: Checkpoint) -> float:
    """Train a network as a recipe has it, and return the seconds that it took."""
    generator = torch.Generator().manual_seed(recipe.seed)
    mirrored = torch.rand(len(train), generator=generator) < 0.5
    optimizer = make_adamw(network, recipe)
    counts = recipe.counts(len(train))
    steps = [math.ceil(count / recipe.batch_size) for count in counts]
    schedule = make_schedule(optimizer, recipe, sum(steps))
    losses = torch.zeros(len(train), device=workers.device)
    first, seconds = 0, 0.0
    if (kept := checkpoint.load()) is not None:
        for name, owner in (("network", network), ("optimizer", optimizer), ("schedule", schedule)):
            owner.load_state_dict(kept[name])
        generator.set_state(kept["generator"])
        first, mirrored, losses, seconds = (kept[x] for x in ("epochs", "mirrored", "losses", "seconds"))
    model = in_low_precision(network, workers.device)
    shared: Any = DistributedDataParallel(model) if workers.count > 1 else model
    if recipe.compiled:
        shared = torch.compile(shared, mode="reduce-overhead", dynamic=False)
        warm_up(shared, network, train, recipe, workers)
    with workers.progress_bar(str(recipe), sum(steps), sum(steps[:first])) as bar:

        def after_step() -> None:
            schedule.step()
            bar.update()

        for epoch in range(first, recipe.epochs):
            start = time.perf_counter()
            hardest = losses.topk(counts[epoch]).indices.sort().values
            kinds = draw_kinds(mirrored & recipe.flip, recipe.shift, generator)[hardest.cpu()]
            images = augment(Part(train.images[hardest], train.labels[hardest]), kinds)
            if recipe.erased:
                images = erase(images, recipe.erased, generator)
            order = torch.randperm(counts[epoch], generator=generator)
            seen = torch.zeros(counts[epoch], device=workers.device)
            loss, _ = train_one_epoch(
                shared,
                optimizer,
                images.batches(recipe.batch_size, order),
                workers,
                after_step,
                recipe.label_smoothing,
                seen,
            )
            losses[hardest[order]] = seen
            mirrored = ~mirrored
            seconds += time.perf_counter() - start
            bar.set_postfix_str(f"loss {loss:.4f}")
            workers.report(recipe, epoch + 1, f"loss {loss:.4f}")
            checkpoint.save(
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "generator": generator.get_state(),
                    "epochs": epoch + 1,
                    "mirrored": mirrored,
                    "losses": losses,
                    "seconds": seconds,
                }
            )
    return seconds


def warm_up(model: nn.Module, network: nn.Module, train: Part, recipe: Recipe, workers: Workers) -> None:
    """Compile a model for batches of each size that comes, outside the clock, and leave it as it was.

    Args:
        model: the compiled one.
        network: the one that it was made of.
        train: what it will be trained on.
        recipe: how.
        workers: the processes that share the training.
    """
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model.train()
    counts = recipe.counts(len(train))
    sizes = {min(recipe.batch_size, n) for n in counts} | {n % recipe.batch_size for n in counts}
    for size in sizes - {0}:
        for _ in range(3):  # compiled with the first, captured with the second
            network.zero_grad()  # gradients of a captured step lie where the next one writes its own
            model(train.images[:size][workers.rank :: workers.count]).sum().backward()
    network.zero_grad()
    network.load_state_dict(before)


def in_low_precision(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network computing in bfloat16, where the device has that."""
    return Bfloat16(network) if has_bfloat16(device) else network


class Muon(torch.optim.AdamW):
    """AdamW, but for groups of parameters that are "orthogonal": their steps are made so (Muon).

    The step is the running mean of a kernel's gradients as a matrix, a row for each output channel, of which
    ``orthogonal`` makes all singular values alike: what seldom shows in the gradients is learned as fast as
    what always does. Of K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks"
    (2024), are the momentum of 0.95 with Nesterov's look ahead, and the longer steps of matrices with more
    rows than columns.
    """

    MOMENTUM = 0.95

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step with each parameter that has a gradient."""
        for group in self.param_groups:
            if group.get("orthogonal"):
                self._step_kernels(group)
        return super().step(closure)

    def _step_kernels(self, group: dict[str, Any]) -> None:
        kernels = group["params"]
        if "means" not in group:  # not in self.state: what stands there AdamW takes for its own
            group["means"] = [torch.zeros_like(kernel) for kernel in kernels]
        for kernel, mean in zip(kernels, group["means"], strict=True):
            if (gradient := kernel.grad) is None:
                continue
            kernel.grad = None  # so that AdamW passes it over
            mean.lerp_(gradient, 1 - self.MOMENTUM)
            matrix = gradient.lerp(mean, self.MOMENTUM).flatten(1)
            rows, columns = matrix.shape
            kernel.mul_(1 - group["lr"] * group["weight_decay"])
            length = group["lr"] * math.sqrt(max(1, rows / columns))
            kernel.sub_(length * orthogonal(matrix).view_as(kernel))


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return nearly U Vᵀ for a matrix U Σ Vᵀ: the same one, its singular values brought to 0.7 to 1.2.

    Five steps X ← (aI + bG + cG²) X with G = XXᵀ, as Newton's and Schulz's, do to each singular value σ
    what the polynomial aσ + bσ³ + cσ⁵ does, without computing any. Jordan's coefficients make it steep at 0
    rather than exact at 1. What is far below the largest, by a factor of a thousand or more, stays smaller.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    X = wide / (wide.norm() + 1e-7)
    # The steps are taken with G and the product of the factors, which are square and far smaller than X: that
    # takes half the time, or less.
    gram = X @ X.T
    factor = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for _ in range(5):
        rest = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # bG + cG²
        factor = torch.addmm(factor, rest, factor, beta=a)
        gram = torch.addmm(gram, rest, gram, beta=a)
        gram = torch.addmm(gram, gram, rest, beta=a)
    X = factor @ X
    return X if wide is matrix else X.T


def make_adamw(network: nn.Module, recipe: Recipe) -> Muon:
    """Return AdamW, or Muon for the kernels, with weight decay for all that has more than one axis."""
    own = list(network.parameters())
    kernels = [p for p in own if p.ndim == 4] if recipe.muon else []
    decay = recipe.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": [p for p in own if p.ndim == 2 or (p.ndim == 4 and not kernels)], "weight_decay": decay},
        {"params": [p for p in own if p.ndim == 1], "weight_decay": 0.0},
    ]
    if kernels:
        groups.append({"params": kernels, "lr": recipe.muon, "weight_decay": decay, "orthogonal": True})
    return Muon(groups, recipe.lr, betas=(0.9, 0.99), fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """Return the schedule of the learning rate: up for a fifth of the steps and down to 0, or constant."""
    if recipe.one_cycle:
        highest = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(
            optimizer, highest, steps, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False
        )
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def draw_kinds(mirrored: torch.Tensor, shift: int, generator: torch.Generator) -> torch.Tensor:
    """Draw how to change each image, int64 (n, 3): pixels down and right, and 1 if it is to be mirrored."""
    shifts = torch.randint(-shift, shift + 1, (len(mirrored), 2), generator=generator)
    return torch.cat([shifts, mirrored.long()[:, None]], dim=1)


def change(images: torch.Tensor, kind: Kind) -> torch.Tensor:
    """Move images (n, 1, 28, 28) down and right and mirror them; what comes in from outside is background."""
    down, right, mirror = kind
    moved = pad(images, (right, -right, down, -down), value=BLACK)
    return moved.flip(-1) if mirror else moved


def augment(images: Part, kinds: torch.Tensor) -> Part:
    """Return the images changed, each in its own way (see ``draw_kinds``)."""
    changed = torch.empty_like(images.images)
    kinds = kinds.to(images.labels.device)
    for row in kinds.unique(dim=0):  # all images of a kind at once: far faster than one by one
        down, right, mirror = row.tolist()
        chosen = (kinds == row).all(dim=1).nonzero().ravel()
        changed[chosen] = change(images.images[chosen], (down, right, mirror))
    return Part(changed, images.labels)


def erase(images: Part, side: int, generator: torch.Generator) -> Part:
    """Return the images with a square of background somewhere in each, which hides a part of the garment."""
    n, _, height, width = images.images.shape
    device = images.images.device
    tops = torch.randint(0, height - side + 1, (n, 1, 1, 1), generator=generator).to(device)
    lefts = torch.randint(0, width - side + 1, (n, 1, 1, 1), generator=generator).to(device)
    rows, columns = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
    hidden = (rows >= tops) & (rows < tops + side) & (columns >= lefts) & (columns < lefts + side)
    return Part(images.images.masked_fill(hidden, BLACK), images.labels)
