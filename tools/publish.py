"""Publish results: ``python -m tools.publish`` copies figures and tables from results/ to docs/results/.

Runs write to results/ alone, so that what docs/ shows changes when somebody wants it to, as a whole. Results
of synthetic data, and those of fewer seeds than are published, are refused unless ``--anyway`` is said.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_mnist import Parser, Record, expanded, read_record, replacing, run_command

PUBLISHED = Path(__file__).resolve().parents[1] / "docs" / "results"
KINDS = (".png", ".md", ".csv", ".json")
LEAST_SEEDS = 3


def publish(source: Path, target: Path, anyway: bool = False) -> list[Path]:
    """Copy the figures and tables of a results folder, and return what has changed, relative to it.

    Raises:
        ValueError: there are none, or their runs are not what one publishes.
    """
    folders = {source, *(path for path in source.glob("*") if path.is_dir())} - {source / "runs"}
    folders = {it for it in folders if it == source or it.name in ("learning-rates", "ee411")}
    found = sorted(path for folder in folders for path in folder.glob("*") if path.suffix in KINDS)
    if not found:
        raise ValueError(f"{source}: expected figures and tables, got none; ./run_all.sh makes them")
    settings = [read_record(path, Record)[0].setting for path in (source / "runs").glob("*.json")]
    seeds, datasets = {setting.seed for setting in settings}, {setting.dataset for setting in settings}
    if settings and not anyway and (len(seeds) < LEAST_SEEDS or datasets != {"fashion-mnist"}):
        raise ValueError(
            f"{source}: expected runs of Fashion-MNIST with {LEAST_SEEDS} seeds or more, got {len(seeds)} of "
            f"{' and '.join(sorted(datasets))}; --anyway publishes them all the same"
        )
    changed = []
    for path in found:
        name = path.relative_to(source)
        if not (target / name).exists() or (target / name).read_bytes() != path.read_bytes():
            with replacing(target / name) as beside:
                beside.write_bytes(path.read_bytes())
            changed.append(name)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    parser = Parser(prog="python -m tools.publish", description="Copy figures and tables to docs/results/.")
    add = parser.add_argument
    add("--results-dir", type=expanded, default=Path("results"), help="where they are (%(default)s)")
    add("--docs-dir", type=expanded, default=PUBLISHED, help="where they go (docs/results)")
    add("--anyway", action="store_true", help="also those of one seed, or of synthetic data")

    def run(options: argparse.Namespace) -> None:
        for name in (changed := publish(options.results_dir, options.docs_dir, options.anyway)):
            print(f"published {name}")
        print(f"{len(changed)} files have changed; see git diff, and the pages that show them")

    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
