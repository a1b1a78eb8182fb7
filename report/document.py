"""From text, numbers and figures to a PDF: holes are filled, claims held to be true, and all is typeset."""

from __future__ import annotations

import functools
import operator
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import pypandoc
import typst
from matplotlib.figure import Figure

# Pypandoc would take a newer Pandoc, if the machine has one, which might write other bytes.
os.environ.setdefault("PYPANDOC_PANDOC", str(Path(pypandoc.__file__).parent / "files" / "pandoc"))
RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


class FalseClaimError(ValueError):
    """A sentence of the report is not true of the results."""


def claim(left: Any, relation: str, right: Any, caller: Callable[[], str]) -> str:
    """Return the sentence of a claim, if the claim is true.

    In the text it looks like this; nothing can be claimed of NaN:

        {% call claim(last_loss, "<", first_loss) %}
        The loss falls from {{ first_loss }} to {{ last_loss }}.
        {% endcall %}

    Raises:
        FalseClaimError: it is not true. The message has the sentence and the numbers.
    """
    sentence = caller()
    if not RELATIONS[relation](left, right):
        raise FalseClaimError(
            "this sentence is not true of these results, reword it or find out why: "
            f'"{" ".join(sentence.split())}" (expected {short(left)} {relation} {short(right)})'
        )
    return sentence


def short(value: Any) -> str:
    """Write one side of a claim as an error message has it."""
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill the holes of a text, which is a Jinja template; <!-- and --> enclose comments.

    Raises:
        FalseClaimError: a claim is not true.
        jinja2.TemplateError: a hole has no value, or the template is malformed.
    """
    return compiled(template).render(values, claim=claim)


@functools.cache
def compiled(template: str) -> jinja2.Template:
    """Compile a template, which takes longer than to fill it."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        comment_start_string="<!--",  # {# begins a label in Pandoc's Markdown
        comment_end_string="-->",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(template)


def typeset(markdown: str, figures: Mapping[str, Figure], author: str | None, template: Path) -> bytes:
    """Turn Markdown and figures into a PDF: Pandoc makes Typst's markup of it, and Typst sets it.

    The same text and figures give the same bytes: there is no date in them and no path, and no fonts are
    taken but those that come with Typst and Matplotlib.

    Args:
        markdown: the text, in Pandoc's Markdown.
        figures: the figures that it shows, by the name that it shows them by.
        author: who wrote it, or None where that is not known.
        template: Pandoc's template, which says how the PDF looks.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in figures.items():
            with plt.rc_context({"pdf.fonttype": 42}):  # keeps the words in figures searchable
                figure.savefig(Path(folder, name))
        source = Path(folder, "report.typ")
        pypandoc.convert_text(
            markdown,
            "typst",
            format="markdown",
            outputfile=source,
            extra_args=[
                f"--template={template}",
                "--columns=1000",  # else Pandoc gives wide tables columns of its own choice of width
            ],
        )
        return typst.compile(source, ignore_system_fonts=True, sys_inputs={"author": author or ""})


def placeholder(command: str) -> Figure:
    """Return a figure that says that runs are missing, and which command makes them."""
    figure, axes = plt.subplots(figsize=(9, 3))
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, f"Runs are missing. This makes them:\n{command}", ha="center", va="center", wrap=True)
    return figure
