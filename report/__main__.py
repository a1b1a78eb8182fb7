"""The command line: ``python -m report [--results-dir DIR] [--output FILE] [--author NAME]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from fashion_mnist import (
    Parser,
    Setting,
    expanded,
    hash_of,
    plot_accuracy_against_time,
    plot_learning_rates,
    replacing,
    run_command,
)
from q1 import Layer
from q2 import MLP
from report.document import fill, placeholder, typeset
from report.numbers import values_of
from report.study import Study, load_records

HERE = Path(__file__).resolve().parent


def draw_figures(study: Study) -> dict[str, Figure]:
    """Draw the figures that the report shows, by file name, in sizes at which their words can be read."""
    figures = {}
    rates = study.finished("learning-rates")
    for name, short in (("very small", "small"), ("as given", "given"), ("very large", "large")):
        drawn = plot_learning_rates({name: rates[name]}) if name in rates else {}
        for place, quantity in enumerate(("training-loss", "validation-accuracy")):
            figure = list(drawn.values())[place] if drawn else placeholder(study.command("learning-rates"))
            figure.set_size_inches(4.7, 3.4)
            figure.axes[0].title.set_fontsize(10)
            figures[f"{quantity}-{short}.pdf"] = figure
    if study.unfinished("architectures"):
        figures["architectures.pdf"] = placeholder(study.command("architectures"))
    else:
        figures["architectures.pdf"] = plot_accuracy_against_time(study.finished("architectures"))
        figures["architectures.pdf"].set_size_inches(9, 5.2)
    return figures


def make_report(results: Path, author: str) -> tuple[bytes, list[str]]:
    """Return the report on what a results folder holds, as a PDF, and the notices on its first page."""
    study = Study(load_records(results), hash_of(Layer, MLP, Setting))
    proof = (HERE.parent / "bonus_proof.md").read_text(encoding="utf-8")
    markdown = fill(
        (HERE / "report.md").read_text(encoding="utf-8"), values_of(study) | {"bonus_proof": proof}
    )
    try:
        return typeset(markdown, draw_figures(study), author, HERE / "template.typ"), study.notices()
    finally:
        plt.close("all")


def make_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(
        prog="python -m report", description="Write the report as a PDF, from the records of runs."
    )
    add = parser.add_argument
    add(
        "--results-dir",
        type=expanded,
        default=Path("results"),
        help="where the runs' results are (%(default)s)",
    )
    add("--output", type=expanded, default=Path("dist/report.pdf"), help="the PDF (%(default)s)")
    add("--author", type=utf8, default="Fashion-MNIST from scratch", help="who wrote it (%(default)s)")
    return parser


def utf8(text: str) -> str:
    """Read an argument as UTF-8 also where the locale has no other letters than English ones."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def write_report(options: argparse.Namespace) -> None:
    """Make the report, save it, and print its notices."""
    matplotlib.use("agg")
    pdf, notices = make_report(options.results_dir, options.author)
    with replacing(options.output) as beside:
        beside.write_bytes(pdf)
    for notice in notices:
        print(f"not the final results: {notice}")
    print(f"saved {options.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return run_command(make_parser(), write_report, arguments)


if __name__ == "__main__":
    sys.exit(main())
