"""The second handout from the terminal.

    python -m ee411 backprop    1: both losses, the gradient against PyTorch's
    python -m ee411 samples     2.1: images of each class
    python -m ee411 mlp         2.2: the MLP with three optimisers
    python -m ee411 cnn         2.3: the CNN with three optimisers
    python -m ee411 adam        2.2, 2.3: Adam's rate over seeds and batch sizes
    python -m ee411 parameters  2.4: parameters and what they buy
    python -m ee411 permuted    2.5: both models on permuted pixels
    python -m ee411 bonus       2.6 a: recipes for accuracy, and for speed
    python -m ee411 ablation    2.6 a: what each ingredient of them is worth
    python -m ee411 unpermute   2.6 c: the grid recovered from permuted images
    python -m ee411 grids       2.6 c: the same from fewer images
    python -m ee411 all         all of it

In several processes, or on several GPUs:
torchrun --nproc-per-node 2 -m ee411 cnn
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from ee411.bonus import ALL_RECIPES
from ee411.experiments import Experiments
from ee411.training import join_workers
from fashion_mnist import DATASETS, Parser, expanded, number, run_command

COMMANDS = (
    *("backprop", "samples", "mlp", "cnn", "adam", "parameters", "permuted"),
    *("bonus", "ablation", "unpermute", "grids"),
)
TRAINING = ("mlp", "cnn", "parameters", "permuted", "unpermute", "grids", "all")
USED_BY = {
    "epochs": TRAINING,
    "batch_size": TRAINING,
    "seeds": (*TRAINING, "adam", "bonus", "ablation"),
    "recipe": ("bonus", "ablation"),
    "images": ("grids",),
    "long": ("ablation", "all"),
}
"""Which commands an option is for; the others refuse it. "all" hands it to those that are for it."""


def make_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(
        prog="python -m ee411",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="A run that was stopped goes on where it was, given the same command.",
    )
    whole = number(int, "a whole number >= 1", lambda value: value >= 1)
    count = number(int, "a whole number of 1 to 1,000", lambda value: 1 <= value <= 1_000)
    parser.add_argument("command", metavar="COMMAND", choices=[*COMMANDS, "all"], help="one of the above")
    add = parser.add_argument
    add("--epochs", type=whole, help="passes over the training images (10); recipes and adam have their own")
    add("--batch-size", type=whole, help="images per step (64); recipes and adam have their own")
    add("--seeds", type=count, help="so many runs of each, with the seeds 0, 1, ... (1; adam 3)")
    add("--recipe", choices=list(ALL_RECIPES), metavar="NAME", help="only this one of bonus or ablation")
    add("--images", type=whole, help="grids from so many images alone")
    add("--long", action="store_true", default=None, help="ablation at full length, with 3 seeds: hours")
    add("--data-dir", help="folder with the data set's files, or to put them in ($FASHION_MNIST_DIR, ./data)")
    add(
        "--results-dir",
        type=expanded,
        help="where results go (results/ee411; results/ee411/synthetic for synthetic data)",
    )
    add("--dataset", choices=DATASETS, default=DATASETS[0], help="the real one, or a made-up one")
    return parser


def run(options: argparse.Namespace) -> None:
    """Do what the command line says; of several workers one prints."""
    for option, commands in USED_BY.items():
        if getattr(options, option) is not None and options.command not in commands:
            name = "--" + option.replace("_", "-")
            raise ValueError(
                f"{name}: expected one of the commands {', '.join(commands)}, got {options.command}"
            )
    names = None if options.recipe is None else [options.recipe]
    arguments: dict[str, dict[str, Any]] = {
        "bonus": {"names": names},
        "ablation": {"names": names, "long": bool(options.long)},
        "grids": {"images": options.images},
    }
    matplotlib.use("agg")
    default_folder = "results/ee411" + ("" if options.dataset == DATASETS[0] else f"/{options.dataset}")
    with join_workers() as workers, redirect_stdout(sys.stdout if workers.rank == 0 else io.StringIO()):
        experiments = Experiments(
            options.results_dir or Path(default_folder),
            options.dataset,
            options.data_dir,
            options.epochs or 10,
            options.batch_size or 64,
            None if options.seeds is None else range(options.seeds),
            workers,
        )
        for command in COMMANDS if options.command == "all" else [options.command]:
            getattr(experiments, command)(**arguments.get(command, {}))
            plt.close("all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return run_command(make_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
