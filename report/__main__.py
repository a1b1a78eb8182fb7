"""The command line: ``python -m report [--author NAME] [--results-dir DIR] [--output FILE]``."""

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
    plot_confusion,
    plot_first_layer,
    plot_learning_rates,
    plot_losses,
    plot_mistakes,
    readable,
    replacing,
    run_command,
)
from q1 import Layer
from q2 import MLP
from report.author import author_of
from report.document import fill, placeholder, typeset
from report.numbers import values_of
from report.study import BOTH, Study, load_records

HERE = Path(__file__).resolve().parent
NAMELESS = "The author's name is missing. This command adds it: `python -m report --author NAME`"


def draw_figures(study: Study) -> dict[str, Figure]:
    """Draw the figures that the report shows, by file name, in sizes at which their words can be read.

    What their captions say is not in their titles.
    """
    figures = {}
    rates = study.finished("learning-rates")
    for name, short in (("very small", "small"), ("as given", "given"), ("very large", "large")):
        drawn = plot_learning_rates({name: rates[name]}) if name in rates else {}
        for place, quantity in enumerate(("Training loss", "Validation accuracy")):
            if drawn:
                figure = list(drawn.values())[place]
                lr = rates[name][0][0].setting.lr
                figure.axes[0].set_title(f"{quantity}, learning rate {readable(lr)}", fontsize=11)
            else:
                figure = placeholder(study.command("learning-rates"))
            figure.set_size_inches(4.7, 3.4)
            figures[f"{quantity.lower().replace(' ', '-')}-{short}.pdf"] = figure
    if study.unfinished("architectures"):
        figures["architectures.pdf"] = placeholder(study.command("architectures"))
    else:
        figures["architectures.pdf"] = plot_accuracy_against_time(study.finished("architectures"))
    names = [f"{name}.pdf" for name in ("losses", "confusion", "mistakes", "first-layer")]
    if study.unfinished("train"):
        figures |= {name: placeholder(study.command("train")) for name in names}
    else:
        (group,) = study.finished("train").values()
        own = group[BOTH.index("custom")]
        drawings = plot_losses(group), plot_confusion(own), plot_mistakes(own[0]), plot_first_layer(own[0])
        figures |= dict(zip(names, drawings, strict=True))
    for figure in figures.values():
        figure.suptitle("")
    return figures


def make_report(study: Study, author: str | None) -> tuple[bytes, list[str]]:
    """Return the report on a study, as a PDF, and the notices on its first page."""
    notices = study.notices() + ([] if author else [NAMELESS])
    proof = (HERE.parent / "bonus_proof.md").read_text(encoding="utf-8")
    markdown = fill(
        (HERE / "report.md").read_text(encoding="utf-8"),
        values_of(study) | {"bonus_proof": proof, "notices": notices},
    )
    try:
        return typeset(markdown, draw_figures(study), author, HERE / "template.typ"), notices
    finally:
        plt.close("all")


def make_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(
        prog="python -m report", description="Write the report as a PDF, from the records of runs."
    )
    add, results, output = parser.add_argument, Path("results"), Path("dist/report.pdf")
    # fmt: off
    add("--author", help="who wrote it; kept for the next time (what git knows, else a question)")
    add("--results-dir", type=expanded, default=results, help="where the runs' results are (%(default)s)")
    add("--output", type=expanded, default=output, help="the PDF (%(default)s)")
    add("--only-author", action="store_true", help="ask for the author's name, keep it, and stop")
    # fmt: on
    return parser


def write_report(options: argparse.Namespace) -> None:
    """Make the report, save it, and print its notices."""
    matplotlib.use("agg")
    kept = options.results_dir / "author.txt"
    if options.only_author:
        author = author_of(options.author, kept)
        print(f"author of the report: {author}" if author else NAMELESS.replace("`", ""))
        return
    study = Study(load_records(options.results_dir), hash_of(Layer, MLP, Setting))
    pdf, notices = make_report(study, author_of(options.author, kept))
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
