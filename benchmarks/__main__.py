"""Run the contenders in turn and tabulate the medians: ``python -m benchmarks``."""

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

import numpy as np
import torch
from tabulate import tabulate
from threadpoolctl import threadpool_info
from tqdm import tqdm

from benchmarks.contenders import CONTENDERS
from fashion_mnist import Results

BATCH_SIZES = (8, 16, 32, 64, 128, 256)


def describe_machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, libraries and the BLAS kernels they chose."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
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


def time_contender(name: str, batch_size: int, epochs: int, dataset: str) -> dict[str, Any]:
    """Time a contender in a process of its own.

    Returns:
        ``seconds`` of every timed epoch and ``peak_mb`` of the process, or ``error``.
    """
    command = [sys.executable, "-m", "benchmarks.contenders", name]
    command += ["--batch-size", str(batch_size), "--epochs", str(epochs), "--dataset", dataset]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(done.stdout)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Seconds per epoch of every contender, validation included; medians over the rounds.",
    )
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=BATCH_SIZES)
    parser.add_argument("--rounds", type=int, default=3, help="processes for each contender and batch size")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs in each process")
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--results-dir", type=Path, default=Path("results"))
    options = parser.parse_args()
    results = Results(options.results_dir)

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
            runs[name][size].append(time_contender(name, size, options.epochs, options.dataset))

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
    machine = describe_machine()
    content = {"machine": machine, "dataset": options.dataset, "medians": medians, "runs": runs}
    results.save_text(json.dumps(content, indent=1) + "\n", "speed.json")
    results.save_text(f"{table}\n", "speed.md")


if __name__ == "__main__":
    main()
