"""Run the contenders in turn and tabulate what they took.

python -m benchmarks             seconds per epoch, over the batch sizes
python -m benchmarks spread      how much epochs differ from process to process
python -m benchmarks growth      how time grows with batch, width and data
python -m benchmarks calls       where the time of a training step goes
python -m benchmarks endurance   whether a long run on easy data keeps its speed
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator
from tabulate import tabulate
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from benchmarks.calls import time_step
from benchmarks.contenders import CONTENDERS
from fashion_mnist import (
    DATASETS,
    STYLE,
    CustomMLPFashionMNIST,
    FashionMNIST,
    Parser,
    Results,
    before_softmax,
    expanded,
    number,
    run_command,
    titled,
)
from q1 import Dense

LOOKS = (  # colours by Okabe and Ito
    ("#0072B2", "o"), ("#D55E00", "s"), ("#E69F00", "D"), ("#009E73", "v"),
    ("#CC79A7", "^"), ("#999999", "x"), ("#000000", "x"),
)  # fmt: skip
"""Colour and marker of each contender, in their order."""
SWEEPS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "batch size": ("--batch-size", "Batch size", (1, 4, 16, 64, 256, 1024, 4096)),
    "hidden width": ("--width", "Width of the first hidden layer", (8, 32, 128, 512, 2048, 4096)),
    "training images": ("--images", "Training images (48,000 = 1)", (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)),
}
"""What ``growth`` varies: the contenders' option, the axis label, the values; the rest stays at batch 64."""


LADDER = ("products", "same-work", "custom")
"""Each of these does all that the one before does."""
SPREAD = ("custom", "jax")
"""Whose processes ``spread`` compares unless told otherwise."""
ENDURANCE_EPOCHS = 300


def describe_machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, libraries and the BLAS kernels they chose."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "thread_pools": [
            {key: pool.get(key) for key in ("internal_api", "version", "architecture", "num_threads")}
            for pool in threadpool_info()
        ],
    }


def time_contender(name: str, environment: Mapping[str, str] = os.environ, **options: Any) -> dict[str, Any]:
    """Time a contender in a process of its own.

    Args:
        name: of the contender.
        environment: of the process.
        **options: of ``benchmarks.contenders``.

    Returns:
        What ``benchmarks.contenders`` prints: ``seconds`` of every timed epoch, ``peak_mb`` of the process,
        ``peak_mb_over_imports`` and ``blas_kernels``; or ``error``.
    """
    arguments = [
        word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", str(value))
    ]
    command = [sys.executable, "-m", "benchmarks.contenders", name, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(done.stdout)


def variants(names: Sequence[str]) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Return what to run: for each label a contender and the environment of its process.

    OpenBLAS chooses its kernels by the processor unless OPENBLAS_CORETYPE tells it which; an older kernel can
    make the same NumPy code half as fast. Where it is told, the contenders that compute with NumPy run twice,
    as told and by OpenBLAS's own choice.
    """
    told = os.environ.get("OPENBLAS_CORETYPE")
    own_choice = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    chosen: dict[str, tuple[str, Mapping[str, str]]] = {}
    for name in names:
        label, numpy = CONTENDERS[name].label, CONTENDERS[name].numpy
        chosen[label] = (name, own_choice)
        if told and numpy:
            chosen[f"{label}, OPENBLAS_CORETYPE={told}"] = (name, os.environ)
    return chosen


def speed(options: argparse.Namespace) -> None:
    """Time every contender at every batch size, and save the medians as table, JSON and figure.

    A process counts with its fastest epoch. Where a floor comes out above what it is a floor of, the machine
    was disturbed: such batch sizes are timed again, with all contenders, up to ``options.rounds`` times more.
    """
    chosen = variants(options.contenders or list(CONTENDERS))
    runs: dict[str, dict[int, list[dict[str, Any]]]] = {
        label: {size: [] for size in options.batch_sizes} for label in chosen
    }
    sizes = list(options.batch_sizes)
    for turn in range(2 * options.rounds):
        # Round by round, not contender by contender: a slow spell of a shared machine then hits all alike.
        turns = [(label, size) for size in sizes for label in chosen]
        for label, size in tqdm(turns, desc=f"round {turn + 1}", unit="run", disable=None):
            if not any("error" in run for run in runs[label][size]):
                name, environment = chosen[label]
                workload = {"batch_size": size, "epochs": options.epochs, "dataset": options.dataset}
                runs[label][size].append(time_contender(name, environment, **workload))
        medians = {
            label: {
                size: statistics.median(min(run["seconds"]) for run in done)
                for size, done in by_size.items()
                if not any("error" in run for run in done)
            }
            for label, by_size in runs.items()
        }
        if turn + 1 >= options.rounds:
            sizes = [size for size in options.batch_sizes if contradicts_itself(medians, size)]
        if not sizes:
            break
    pytorch = medians.get(CONTENDERS["pytorch"].label, {})
    rows = []
    for label, by_size in runs.items():
        row: dict[str, Any] = {"Seconds per epoch (times PyTorch)": label}
        for size, done in by_size.items():
            if size in medians[label]:
                ratio = f" ({medians[label][size] / pytorch[size]:.2f})" if size in pytorch else ""
                row[f"batch {size}"] = f"{medians[label][size]:.3f}{ratio}"
            else:
                row[f"batch {size}"] = next(run["error"] for run in done if "error" in run)
        rows.append(row)
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "speed", table, plot_speed(medians, options.dataset), medians=medians, runs=runs)


def contradicts_itself(medians: Mapping[str, Mapping[int, float]], size: int) -> bool:
    """Return whether the custom model came out faster than a floor of it, or one floor than a lower one."""
    for told in {label.partition(", OPENBLAS")[2] for label in medians}:
        names = [CONTENDERS[name].label + (f", OPENBLAS{told}" if told else "") for name in LADDER]
        seconds = [medians[name][size] for name in names if size in medians.get(name, {})]
        if seconds != sorted(seconds):
            return True
    return False


def spread(options: argparse.Namespace) -> None:
    """Time contenders in ``options.rounds`` processes for each batch size, in turn, and compare these.

    Another contender than the custom model, such as JAX, tells what of its spread is the machine's.
    """
    chosen = variants(options.contenders or SPREAD)
    turns = [(label, size) for _ in range(options.rounds) for size in options.batch_sizes for label in chosen]
    seconds: dict[str, dict[int, list[float]]] = {
        label: {size: [] for size in options.batch_sizes} for label in chosen
    }
    for label, size in tqdm(turns, unit="run", disable=None):
        name, environment = chosen[label]
        workload = {"batch_size": size, "epochs": options.epochs, "dataset": options.dataset}
        run = time_contender(name, environment, **workload)
        if "error" in run:
            raise ValueError(f"{label}: {run['error']}")
        seconds[label][size].append(statistics.median(run["seconds"]))
    rows = [
        {
            "Seconds per epoch": label,
            "batch": size,
            "processes": len(times),
            "fastest": f"{min(times):.3f}",
            "median": f"{statistics.median(times):.3f}",
            "slowest": f"{max(times):.3f}",
            "slowest / median": f"{max(times) / statistics.median(times):.2f}",
        }
        for label, by_size in seconds.items()
        for size, times in by_size.items()
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "spread", table, None, seconds=seconds)


def growth(options: argparse.Namespace) -> None:
    """Time the custom model and its floor over the sweeps, and save times and slopes."""
    names = ("custom", "same-work")
    turns = [(sweep, value, name) for sweep in SWEEPS for value in SWEEPS[sweep][2] for name in names]
    runs: dict[str, dict[str, dict[float, dict[str, Any]]]] = {
        sweep: {name: {} for name in names} for sweep in SWEEPS
    }
    for sweep, value, name in tqdm(turns, unit="run", disable=None):
        option = SWEEPS[sweep][0].removeprefix("--").replace("-", "_")
        workload = {"batch_size": 64, "epochs": options.epochs, "dataset": options.dataset} | {option: value}
        runs[sweep][name][value] = time_contender(name, **workload)
    rows = []
    for sweep, by_name in runs.items():
        for name, by_value in by_name.items():
            values = list(by_value)
            seconds = [statistics.median(run["seconds"]) for run in by_value.values()]
            slopes = np.diff(np.log(seconds)) / np.diff(np.log(values))
            row = {
                "Growth with": sweep,
                "": CONTENDERS[name].label,
                "from": f"{values[0]:g}",
                "to": f"{values[-1]:g}",
            }
            row |= {"seconds": f"{seconds[0]:.3f} to {seconds[-1]:.3f}"}
            row |= {"slope at each step": ", ".join(f"{slope:+.2f}" for slope in slopes)}
            rows.append(row)
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "growth", table, plot_growth(runs, options.dataset), runs=runs)


def calls(options: argparse.Namespace) -> None:
    """Time every call of a training step by itself, on one thread, with its floor behind it."""
    with threadpool_limits(1):
        times = {
            f"batch {size}": time_step(FashionMNIST(size, dataset=options.dataset))
            for size in options.batch_sizes
        }
    rows = [
        {"Microseconds (floor)": call}
        | {
            size: f"{by_call[call][0]:.1f}" + (f" ({by_call[call][1]:.1f})" if by_call[call][1] else "")
            for size, by_call in times.items()
        }
        for call in next(iter(times.values()))
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "calls", table, None, times=times)


def endurance(options: argparse.Namespace) -> None:
    """Train on the easy synthetic set until the loss has all but vanished, and compare the epochs' times.

    Gradients that vanish can become denormal numbers, with which many processors compute far more slowly.
    """
    data, model = FashionMNIST(8, dataset="synthetic"), CustomMLPFashionMNIST()
    smallest = np.finfo(np.float32).tiny
    seconds, rows = [], []
    for epoch in tqdm(range(1, ENDURANCE_EPOCHS + 1), unit="epoch", disable=None):
        start = time.perf_counter()
        loss, _ = model.train(data, lr=0.1)
        seconds.append(time.perf_counter() - start)
        if epoch % (ENDURANCE_EPOCHS // 6) == 0:
            network: Any = before_softmax(model.layers)
            sizes = np.abs(
                np.concatenate([layer.dW.ravel() for layer in network if isinstance(layer, Dense)])
            )
            latest = seconds[-ENDURANCE_EPOCHS // 6 :]
            rows.append(
                {
                    "epochs": epoch,
                    "training loss": f"{loss:.1e}",
                    "seconds per epoch": f"{statistics.median(latest):.3f}",
                    "denormal gradients": f"{np.mean((sizes > 0) & (sizes < smallest)):.1%}",
                }
            )
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "endurance", table, None, seconds=seconds)


def save(options: argparse.Namespace, name: str, table: str, figure: Figure | None, **content: Any) -> None:
    """Save a benchmark's table as Markdown, its numbers as JSON with the machine's, and its figure."""
    results = Results(options.results_dir)
    described = {"machine": describe_machine(), "dataset": options.dataset, **content}
    results.save_text(json.dumps(described, indent=1) + "\n", f"{name}.json")
    told = "" if options.dataset == DATASETS[0] else f"{titled(options.dataset)}\n\n"
    results.save_text(f"{told}{table}\n", f"{name}.md")
    if figure is not None:
        results.save_figure(figure, f"{name}.png")


def plot_speed(medians: dict[str, dict[int, float]], dataset: str) -> Figure:
    """Plot seconds per epoch over the batch size, a line for each contender."""
    sizes = sorted({size for by_size in medians.values() for size in by_size})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 6), layout="constrained")
        looks = {contender.label: look for contender, look in zip(CONTENDERS.values(), LOOKS, strict=True)}
        for label, by_size in medians.items():
            color, marker = looks[label.partition(", OPENBLAS")[0]]
            own_kernel, told_kernel = (":", "-.") if label.startswith("floor") else ("-", "--")
            line = told_kernel if "OPENBLAS" in label else own_kernel
            axes.plot(list(by_size), list(by_size.values()), line, color=color, marker=marker, label=label)
        label_axes(axes, f"Time to train one epoch, {titled(dataset)}", "Batch size", sizes)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, handlelength=4)
    return figure


def plot_growth(runs: dict[str, dict[str, dict[float, dict[str, Any]]]], dataset: str) -> Figure:
    """Plot seconds per epoch over each of the sweeps."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1, len(runs), figsize=(12, 4), layout="constrained")
        figure.suptitle(f"How time grows, {titled(dataset)}")
        for (sweep, by_name), axes in zip(runs.items(), grid, strict=True):
            label, values = SWEEPS[sweep][1:]
            for (name, by_value), color, marker in zip(
                by_name.items(), ("#0072B2", "#000000"), "ox", strict=True
            ):
                seconds = [statistics.median(run["seconds"]) for run in by_value.values()]
                look = {"color": color, "marker": marker, "label": CONTENDERS[name].label}
                axes.plot(list(by_value), seconds, **look)
            axes.tick_params(axis="x", labelrotation=90)
            label_axes(axes, f"Time against {sweep}", label, values)
        grid[0].legend(fontsize=9)
    return figure


def label_axes(axes: Any, title: str, label: str, values: Any) -> None:
    """Give logarithmic axes their title, labels and ticks."""
    axes.set(title=title, xlabel=label, ylabel="Seconds per epoch", xscale="log", yscale="log")
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())


def main() -> int:
    """Run the command line, and return the exit status."""
    parser = Parser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = {"speed": speed, "spread": spread, "growth": growth, "calls": calls, "endurance": endurance}
    whole = number(int, "a whole number >= 1", lambda value: value >= 1)
    add = parser.add_argument
    add("command", nargs="?", choices=commands, default="speed", help="what to time (%(default)s)")
    names = f"of {', '.join(CONTENDERS)} (speed: all; spread: {', '.join(SPREAD)})"
    add("--contenders", nargs="+", choices=CONTENDERS, metavar="NAME", help=names)
    sizes = (8, 16, 32, 64, 128, 256)
    add("--batch-sizes", nargs="+", type=whole, default=sizes, metavar="N", help="images per step")
    add("--rounds", type=whole, default=3, help="processes for each contender and batch size (%(default)s)")
    add("--epochs", type=whole, default=2, help="timed epochs in each process (%(default)s)")
    add("--dataset", choices=DATASETS, default=DATASETS[0], help="(%(default)s)")
    add("--results-dir", type=expanded, default=Path("results"), help="(%(default)s)")

    def run(options: argparse.Namespace) -> None:
        if options.contenders and options.command not in ("speed", "spread"):
            raise ValueError(
                f"--contenders: expected one of the commands speed and spread, got {options.command}"
            )
        matplotlib.use("agg")
        Results(options.results_dir)  # a folder that can't be written to is better found out now
        commands[options.command](options)

    return run_command(parser, run)


if __name__ == "__main__":
    sys.exit(main())
