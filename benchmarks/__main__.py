"""Run the contenders in turn: ``python -m benchmarks`` for the table, ``growth`` for how they scale."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator
from tabulate import tabulate
from threadpoolctl import threadpool_info
from tqdm import tqdm

from benchmarks.contenders import CONTENDERS
from fashion_mnist import STYLE, Results, titled

COLORS = ("#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#999999", "#000000")  # Okabe and Ito
SWEEPS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "batch size": ("--batch-size", "Batch size", (1, 4, 16, 64, 256, 1024, 4096)),
    "hidden width": ("--width", "Width of the first hidden layer", (8, 32, 128, 512, 2048, 4096)),
    "training images": ("--images", "Training images (48,000 = 1)", (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)),
}
"""What ``growth`` varies: the contenders' option, the axis label, the values; the rest stays at batch 64."""


def describe_machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, libraries and the BLAS kernels they chose."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
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


def time_contender(name: str, **options: Any) -> dict[str, Any]:
    """Time a contender in a process of its own.

    Returns:
        What ``benchmarks.contenders`` prints: ``seconds`` of every timed epoch, ``peak_mb`` of the process
        and ``peak_mb_over_imports``; or ``error``.
    """
    arguments = [
        word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", str(value))
    ]
    command = [sys.executable, "-m", "benchmarks.contenders", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(done.stdout)


def speed(options: argparse.Namespace) -> None:
    """Time every contender at every batch size, and save the medians as table, JSON and figure."""
    runs: dict[str, dict[int, list[dict[str, Any]]]] = {
        name: {size: [] for size in options.batch_sizes} for name in options.contenders
    }
    # Round by round, not contender by contender: a slow spell of a shared machine then hits all alike.
    turns = [
        (name, size)
        for _ in range(options.rounds)
        for size in options.batch_sizes
        for name in options.contenders
    ]
    for name, size in tqdm(turns, unit="run", disable=None):
        if not any("error" in run for run in runs[name][size]):
            run = time_contender(name, batch_size=size, epochs=options.epochs, dataset=options.dataset)
            runs[name][size].append(run)
    medians = {
        name: {
            size: statistics.median(seconds for run in done for seconds in run["seconds"])
            for size, done in by_size.items()
            if not any("error" in run for run in done)
        }
        for name, by_size in runs.items()
    }
    rows = []
    for name, by_size in runs.items():
        row: dict[str, Any] = {"Seconds per epoch (times PyTorch)": CONTENDERS[name][0]}
        for size, done in by_size.items():
            if size in medians[name]:
                ratio = medians[name][size] / medians.get("pytorch", {}).get(size, math.nan)
                row[f"batch {size}"] = f"{medians[name][size]:.3f} ({ratio:.2f})"
            else:
                row[f"batch {size}"] = next(run["error"] for run in done if "error" in run)
        rows.append(row)
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "speed", table, plot_speed(medians, options.dataset), medians=medians, runs=runs)


def growth(options: argparse.Namespace) -> None:
    """Time the custom model and its floor over the sweeps, and save times, memory and slopes."""
    names = ("custom", "products-and-update")
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
                "": CONTENDERS[name][0],
                "from": f"{values[0]:g}",
                "to": f"{values[-1]:g}",
            }
            row |= {"seconds": f"{seconds[0]:.3f} to {seconds[-1]:.3f}"}
            row |= {"slope at each step": ", ".join(f"{slope:+.2f}" for slope in slopes)}
            peaks = [run["peak_mb_over_imports"] for run in by_value.values()]
            row |= {"peak MB over imports": f"{peaks[0]} to {peaks[-1]}"}
            rows.append(row)
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    save(options, "growth", table, plot_growth(runs, options.dataset), runs=runs)


def save(options: argparse.Namespace, name: str, table: str, figure: Figure, **content: Any) -> None:
    """Save a benchmark's table as Markdown, its numbers as JSON with the machine's, and its figure."""
    results = Results(options.results_dir)
    described = {"machine": describe_machine(), "dataset": options.dataset, **content}
    results.save_text(json.dumps(described, indent=1) + "\n", f"{name}.json")
    results.save_text(f"{table}\n", f"{name}.md")
    results.save_figure(figure, f"{name}.png")


def plot_speed(medians: dict[str, dict[int, float]], dataset: str) -> Figure:
    """Plot seconds per epoch over the batch size, a line for each contender."""
    sizes = sorted({size for by_size in medians.values() for size in by_size})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for (name, by_size), color, marker in zip(medians.items(), COLORS, "osDv^xx", strict=False):
            label = CONTENDERS[name][0]
            line = ":" if label.startswith("floor") else "-"
            axes.plot(list(by_size), list(by_size.values()), line, color=color, marker=marker, label=label)
        label_axes(axes, f"Time to train one epoch, {titled(dataset)}", "Batch size", sizes)
        axes.legend(fontsize=9)
    return figure


def plot_growth(runs: dict[str, dict[str, dict[float, dict[str, Any]]]], dataset: str) -> Figure:
    """Plot seconds per epoch, and below them peak memory, over each of the sweeps."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(2, len(runs), figsize=(12, 7), layout="constrained", sharex="col")
        figure.suptitle(f"How time and memory grow, {titled(dataset)}")
        for (sweep, by_name), (top, bottom) in zip(runs.items(), grid.T, strict=True):
            label, values = SWEEPS[sweep][1:]
            for (name, by_value), color, marker in zip(
                by_name.items(), (COLORS[0], COLORS[-1]), "ox", strict=True
            ):
                look = {"color": color, "marker": marker, "label": CONTENDERS[name][0]}
                seconds = [statistics.median(run["seconds"]) for run in by_value.values()]
                top.plot(list(by_value), seconds, **look)
                bottom.plot(
                    list(by_value), [run["peak_mb_over_imports"] for run in by_value.values()], **look
                )
            label_axes(top, f"Time against {sweep}", label, values)
            label_axes(bottom, f"Memory against {sweep}", label, values)
            bottom.set(ylabel="Peak memory over imports (MB)", yscale="linear", ylim=(0, None))
        grid[0, 0].legend(fontsize=9)
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


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Seconds per epoch of every contender, data loading and validation included.",
    )
    parser.add_argument("command", nargs="?", choices=("speed", "growth"), default="speed")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=(8, 16, 32, 64, 128, 256))
    parser.add_argument("--rounds", type=int, default=3, help="processes for each contender and batch size")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs in each process")
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--results-dir", type=Path, default=Path("results"))
    options = parser.parse_args()
    matplotlib.use("agg")
    Results(options.results_dir)  # a folder that can't be written to is better found out now
    {"speed": speed, "growth": growth}[options.command](options)


if __name__ == "__main__":
    main()
