"""The report: what the PDF says and shows, that no sentence in it is false, and what it is made from."""

import errno
import functools
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pypdf
import pytest
import typst
from matplotlib.figure import Figure
from runs import MADE_UP

import report.__main__
from fashion_mnist import Record, Results, Setting, hash_of
from q1 import Layer
from q2 import MLP
from report import comparison, document, numbers, study

AUTHOR = 'Zoë "B" #Author'
DEFAULT = Setting()
PRESENT = hash_of(Layer, MLP, Setting)
"""The hash of the present code."""
ACCURACIES = {8: 0.84, 16: 0.85, 64: 0.864, 1024: 0.876}
"""Test accuracies by the width of the first hidden layer."""


def made_up(setting):
    """Return a record such as a run might leave: every sentence of the report is true of it."""
    epochs, own = np.arange(setting.epochs), 1e-3 * setting.seed + 1e-4 * (setting.model == "custom")
    widths = setting.hidden_size1, setting.hidden_size2 or 0
    if setting.lr < DEFAULT.lr:
        losses, accuracies, test_accuracy = 2.2 - 0.1 * epochs, 0.3 + 0.04 * epochs, 0.69
    elif setting.lr > DEFAULT.lr:
        losses, accuracies, test_accuracy = 1.2 + 1.2 * (epochs > 0), 0.5 - 0.4 * (epochs > 0), 0.1
    else:
        losses, accuracies, test_accuracy = 0.6 / (1 + epochs / 3), 0.83 + 0.005 * epochs, 0.87
    test_accuracy = ACCURACIES.get(widths[0], test_accuracy - 0.005 * (widths[1] in (0, 8)))
    parameters = 784 * widths[0] + widths[0] * widths[1] + 10 * (widths[1] or widths[0])
    seconds = (0.5 + parameters / 1e5) * (2 if setting.model == "pytorch" else 1) * (1 + setting.seed / 50)
    return Record(
        setting,
        parameters,
        (losses + 1e-3 * own).tolist(),
        (losses + 0.02).tolist(),
        (accuracies + own).tolist(),
        test_accuracy + own,
        epoch_seconds=(seconds * np.where(epochs == 0, 7, 1)).tolist(),  # the median is not the mean
        epoch_cpu_seconds=[seconds] * setting.epochs,
        cores=2,
        **MADE_UP,
    )


def trained_in(record, seconds):
    """Return a record with another training time."""
    of_each = [seconds / record.setting.epochs] * record.setting.epochs
    return replace(record, epoch_seconds=of_each, epoch_cpu_seconds=of_each)


def keep(folder, *seeds, base=DEFAULT, change=None, code=PRESENT, author=AUTHOR):
    """Make up the records of all runs, and keep those that ``change`` returns for them; and an author."""
    results = Results(Path(folder), code)
    if author:
        Path(folder, "author.txt").write_text(author, encoding="utf-8")
    for seed in seeds or (0,):
        for setting in sorted(study.planned(replace(base, seed=seed)), key=str):
            record = made_up(setting)
            record = change(record) if change else record
            if record is not None:
                results.save(record)
    return Path(folder)


class Empty(Figure):
    """A figure of which the title alone is saved, and that at once."""

    @staticmethod
    @functools.cache
    def with_title(title):
        """Return a PDF of a title."""
        file, figure = io.BytesIO(), Figure(figsize=(4, 3))
        figure.suptitle(title)
        with plt.rc_context({"pdf.fonttype": 42}):
            figure.savefig(file, format="pdf")
        return file.getvalue()

    def savefig(self, path):
        with open(path, "wb") as file:
            file.write(self.with_title(self.axes[0].get_title()))


DIFFERENCES = {
    name: functools.cache(getattr(comparison, name))
    for name in ("difference_of_layers", "difference_of_networks")
}
"""What the library is compared with, measured once."""


@pytest.fixture
def make(capsys, monkeypatch):
    """Return a function that calls ``python -m report``, and returns exit status, stdout and stderr.

    Instead of figures that take their time it shows empty ones; ``three`` has the figures.
    """

    def empty(*_):
        return plt.subplots(FigureClass=Empty)[0]

    for name, difference in DIFFERENCES.items():
        monkeypatch.setattr(comparison, name, difference)

    for name in ("accuracy_against_time", "confusion", "first_layer", "losses", "mistakes"):
        monkeypatch.setattr(report.__main__, f"plot_{name}", empty)
    monkeypatch.setattr(report.__main__, "plot_learning_rates", lambda _: {"a": empty(), "b": empty()})

    def call(*arguments):
        capsys.readouterr()
        try:
            status = report.__main__.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call


def words_of(page):
    """Return the text of a page, a word after the other."""
    return " ".join(page.extract_text().split())


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Return a results folder of three seeds, with small images of the report's pages, and its path."""
    folder = tmp_path_factory.mktemp("three")
    keep(folder, 0, 1, 2)
    compile_typst = typst.compile

    def compile_both(source, **options):
        compile_typst(source, output=str(folder / "page-{p}.png"), format="png", ppi=20, **options)
        return compile_typst(source, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(typst, "compile", compile_both)
        assert report.__main__.main(["--results-dir", ".", "--author", AUTHOR]) == 0
    return folder, folder / "dist" / "report.pdf"


@pytest.fixture(scope="module")
def pages(three):
    return [words_of(page) for page in pypdf.PdfReader(three[1]).pages]


# What is in it.


def test_sections(pages):
    """The sections have the handout's numbers, and the proof is the whole of bonus_proof.md."""
    text = " ".join(pages)
    for heading in (
        "1 The building blocks",
        "2 The multi-layer perceptron",
        "3 Putting it all together",
        "3.1 Validation accuracy",
        "3.2 Test performance",
        "4 Zero is a saddle point of a deep linear network",
        "4.3 Proof",
        "4.7 How this is checked",
    ):
        assert heading in text
    assert AUTHOR in pages[0].replace("“", '"').replace("”", '"')
    assert "Not the final results" not in text


def test_nothing_is_left_unfilled(pages):
    text = " ".join(pages)
    for leftover in ("{{", "{%", "{#", "$", "**", "\\", "[@", " nan"):
        assert leftover not in text, leftover


def test_figures(three, pages):
    """Six figures for 3.1, one for 3.2, four for the closer look: vectors, with titles and labels."""
    text = " ".join(pages)
    assert [int(number) for number in re.findall(r"Figure (\d+): ", text)] == list(range(1, 12))
    for words, rate in (("A very small", "10⁻⁵"), ("The given", "0.002"), ("A very large", "0.2")):
        for quantity in ("Training loss", "Validation accuracy"):
            assert f"{quantity}, learning rate {rate}" in text
        assert text.count(f"{words} rate, Fashion-MNIST, mean ± standard deviation of 3 seeds.") == 2
    assert text.count("Epoch") >= 8
    pictures = [
        picture.get_object()["/Subtype"]
        for page in pypdf.PdfReader(three[1]).pages
        for picture in page["/Resources"].get("/XObject", {}).values()
    ]
    assert pictures.count("/Form") == 11


def test_titles_do_not_repeat_captions(three, repository):
    """What a caption says is in no title, and the other way round."""
    template = (repository / "report" / "report.md").read_text(encoding="utf-8")
    captions = dict(re.findall(r"!\[(.*?)\]\(([-a-z{} ]+)\.pdf\)", template, re.S))
    assert len(captions) == 6
    found = study.Study(study.load_records(three[0]), PRESENT)
    figures = report.__main__.draw_figures(found)
    assert len(figures) == 11
    for figure in figures.values():
        assert figure.get_suptitle() == ""
        for title in filter(None, (axes.get_title() for axes in figure.axes)):
            for caption in captions:
                assert title.lower() not in " ".join(caption.lower().split())


def mean_and_std(values, spec):
    return f"{np.mean(values):{spec}} ± {np.std(values, ddof=1):{spec}}"


def test_it_begins_with_its_title(pages):
    """Nothing floats above it."""
    assert pages[0].startswith("A neural-network library in NumPy, next to PyTorch")


def test_no_page_ends_empty(three):
    """Something stands in the last fifth of each page but the last, above its number."""
    count = len(pypdf.PdfReader(three[1]).pages)
    for page in range(1, count):
        pixels = plt.imread(three[0] / f"page-{page}.png")[..., :3].min(axis=2)
        printed = np.flatnonzero((pixels < 0.8).any(axis=1)) / len(pixels)
        assert printed[printed < 0.92].max() > 0.75, f"page {page} of {count}"


def test_table_of_architectures(pages):
    """Ten architectures times two models: mean and standard deviation of the three records of each."""
    (page,) = [page for page in pages if "Configuration Model Parameters" in page]
    configurations = {"original": (256, 128)}
    configurations |= {f"first hidden: {width}": (width, 128) for width in (8, 16, 64, 1024)}
    configurations |= {f"second hidden: {width or 'none'}": (256, width) for width in (8, 16, 64, 1024, None)}
    for model, name in (("pytorch", "PyTorch"), ("custom", "custom")):
        for configuration, (width1, width2) in configurations.items():
            settings = [
                Setting(model=model, hidden_size1=width1, hidden_size2=width2, seed=seed) for seed in range(3)
            ]
            runs = [made_up(setting) for setting in settings]
            seconds = [run.training_seconds for run in runs]
            original = [made_up(Setting(model=model, seed=seed)).training_seconds for seed in range(3)]
            row = [
                *(configuration, name, f"{runs[0].parameters:,}", "10", "8", "0.002"),
                mean_and_std([run.test_accuracy for run in runs], ".4f"),
                mean_and_std(seconds, ".1f"),
                mean_and_std(np.divide(original, seconds), ".2f"),
            ]
            assert " ".join(row) in page


def test_table_of_learning_rates(pages):
    """First and last loss, last validation accuracy and test accuracy, of the records."""
    (page,) = [page for page in pages if "First loss Last loss" in page]
    for rate, name in (("10−5", "very small"), ("0.002", "as given"), ("0.2", "very large")):
        for model, called in (("pytorch", "PyTorch"), ("custom", "custom")):
            runs = [
                made_up(Setting(model=model, lr=float(rate.replace("10−", "1e-")), seed=seed))
                for seed in range(3)
            ]
            columns = [
                [run.train_losses[0] for run in runs],
                [run.train_losses[-1] for run in runs],
                [run.val_accuracies[-1] for run in runs],
                [run.test_accuracy for run in runs],
            ]
            row = [f"{rate} ({name})", called, *(mean_and_std(column, ".4f") for column in columns)]
            assert " ".join(row) in page


def test_headline(pages):
    """The abstract quotes the test accuracies that the records have."""
    for model in ("pytorch", "custom"):
        runs = [made_up(Setting(model=model, seed=seed)) for seed in range(3)]
        assert mean_and_std([run.test_accuracy for run in runs], ".4f") in pages[0]


def test_words_go_by_the_numbers(pages):
    """What is faster, slower and worth it is listed from the records."""
    text = " ".join(pages)
    assert "In 6 of 6 runs no epoch has a lower training loss than the first; in 6 the last one" in text
    assert "first hidden layer 1024 (0.29)" in text
    slower = re.search(r"PyTorch: faster with .*?; slower with (.*?); unchanged with (.*?)\.", text)
    assert slower[1] == "first hidden layer 1024 (0.29) and second hidden layer 1024 (0.54)"
    assert "slower, and not more accurate: second hidden layer 1024." in text


def test_links(three, pages):
    """Every reference leads somewhere in the document."""
    reader = pypdf.PdfReader(three[1])
    links = [
        link.get_object() for page in reader.pages for link in page.get("/Annots", []) if link is not None
    ]
    assert len(links) >= 6
    assert all(link["/Subtype"] == "/Link" and "/Dest" in link for link in links)
    outline = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert len(outline) == 4
    for number, page in enumerate(pages, 1):
        assert page.endswith(f" {number}"), "the page has its number at the end"


def test_fonts_are_in_it(three):
    """It looks the same wherever it is opened."""
    for page in pypdf.PdfReader(three[1]).pages:
        for font in page["/Resources"]["/Font"].values():
            for descendant in font["/DescendantFonts"]:
                descriptor = descendant.get_object()["/FontDescriptor"]
                assert {"/FontFile2", "/FontFile3"} & descriptor.keys()


def test_times(pages):
    """The seconds are the median epoch's, times the epochs, and the text says so and on what."""
    (page,) = [page for page in pages if "The training time is" in page]
    assert "the number of epochs times what the median one took" in page
    assert "Times were taken on 2 cores." in page
    record = made_up(DEFAULT)
    assert record.training_seconds == pytest.approx(10 * record.epoch_seconds[-1])
    assert record.training_seconds < 0.9 * sum(record.epoch_seconds)


def test_same_bytes(three, tmp_path, repository):
    """Made again, elsewhere, in a locale of ASCII, without network and beside another Pandoc, it is the same.

    Of whatever locale: reading or writing without saying an encoding is an error here.
    """
    folder, pdf = three
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    program = (
        "import runpy, socket, sys, warnings\n"
        "warnings.filterwarnings('ignore', category=EncodingWarning)\n"  # those of libraries
        "ours = '__main__|report|fashion_mnist|q1|q2'\n"
        "warnings.filterwarnings('error', category=EncodingWarning, module=ours)\n"
        "def refuse(*_): raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "sys.argv[0] = 'report'\n"
        "runpy.run_module('report', run_name='__main__')"
    )
    output = tmp_path / "again.pdf"
    arguments = ("--results-dir", folder, "--output", output, "--author", AUTHOR)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    pandoc = tmp_path / "bin" / "pandoc"
    pandoc.parent.mkdir()
    pandoc.write_text("#!/bin/sh\necho pandoc 99.9\n", encoding="utf-8")
    pandoc.chmod(0o755)
    changed = {
        "PATH": f"{pandoc.parent}{os.pathsep}{os.environ['PATH']}",
        "TZ": "Asia/Tokyo",
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(repository),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", program, *arguments],
        env=os.environ | nowhere | changed | locale,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    assert done.returncode == 0, done.stderr
    assert "saved " in done.stdout
    assert output.read_bytes() == pdf.read_bytes()


# Claims.


def with_losses(record, **losses):
    """Return a record with some of its losses changed: ``first``, ``last``."""
    train_losses = list(record.train_losses)
    for name, loss in losses.items():
        train_losses[{"first": 0, "last": -1}[name]] = loss
    return replace(record, train_losses=train_losses)


def is_small(setting):
    return setting.lr == 1e-5


def is_large(setting):
    return setting.lr == 0.2


def is_original(setting):
    return (setting.lr, setting.hidden_size1, setting.hidden_size2) == (0.002, 256, 128)


def is_wide(setting):
    return setting.hidden_size1 == 1024


FALSE = {
    "training is too slow": (is_small, lambda record: replace(record, test_accuracy=0.88), "0.88 < "),
    "loss falls in every epoch": (is_original, lambda record: with_losses(record, last=0.5), "to 0.500"),
    "still above the": (is_small, lambda record: with_losses(record, last=0.123), "0.123"),
    "not stuck, only slow": (is_small, lambda record: with_losses(record, last=1.6), "< 0"),
    "that of the given rate at": (
        lambda setting: is_large(setting) and setting.model == "custom",
        lambda record: replace(record, val_accuracies=[0.9] * 10),
        "0.100 to 0.900",
    ),
    "lie on top of each other": (
        lambda setting: is_original(setting) and setting.model == "custom",
        lambda record: with_losses(record, first=0.65),
        "0.05",
    ),
    "needed another batch size": (
        lambda setting: setting.hidden_size1 == 16,
        lambda record: with_losses(record, last=2.5),
        "< 0",
    ),
    "changing it gives speeds": (
        lambda setting: setting.hidden_size2 is None,
        lambda record: trained_in(record, 1.0),
        "> 1",
    ),
    "as long as a larger one": (
        lambda setting: setting.hidden_size1 == 16,
        lambda record: trained_in(record, 60),
        "< 1.5",
    ),
    "less than twice as much as in proportion": (
        is_wide,
        lambda record: trained_in(record, 1000),
        "< 7.9",
    ),
    "time does not shrink": (
        lambda setting: setting.hidden_size1 == 8,
        lambda record: trained_in(record, 1.5),
        "37.9669 < 27.3731",
    ),
}
"""Words of each claim on the records: which records to change and how, and what the message quotes."""


@pytest.mark.parametrize("words", FALSE)
def test_false_claims(make, one_line, tmp_path, words):
    """A sentence that the results belie stops the build; the message has it, and the numbers."""
    chosen, change, quoted = FALSE[words]
    keep("results", change=lambda record: change(record) if chosen(record.setting) else record)
    status, _, stderr = make()
    assert status == 2
    one_line(stderr, "this sentence is not true of these results", words, "expected ", quoted)
    assert list(tmp_path.rglob("*.pdf")) == []


@pytest.mark.parametrize("words", ["no output and no gradient", "forward pass, loss, gradients"])
def test_false_claims_on_the_library(make, one_line, monkeypatch, words):
    """A library that does not agree with PyTorch is found out."""
    name = "forward" if words.startswith("no output") else "update"
    layer = numbers.comparison.TanhLayer if name == "forward" else numbers.comparison.CustomMLPFashionMNIST
    original = getattr(layer, name)
    monkeypatch.setattr(layer, name, lambda self, x: original(self, 1.000001 * x))
    for difference, measured in DIFFERENCES.items():
        monkeypatch.setattr(comparison, difference, measured.__wrapped__)
    keep("results")
    status, _, stderr = make()
    assert status == 2
    one_line(
        stderr, "this sentence is not true of these results", words if name == "forward" else "no parameter"
    )


def test_every_claim_is_tested(repository):
    text = (repository / "report" / "report.md").read_text(encoding="utf-8")
    assert len(re.findall(r"{% call claim\(.*\) %}", text)) - 1 == len(FALSE) + 2  # the first is in a comment


@pytest.mark.parametrize("factor", [0.05, 17])
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "slow"])
def test_one_absurd_timing(monkeypatch, factor, busy):
    """The report is refused, or its first page says so and nothing is concluded; for each network in turn."""
    monkeypatch.setattr(comparison, "difference_of_layers", lambda: 1e-15)
    monkeypatch.setattr(comparison, "difference_of_networks", lambda: 1e-15)
    template = Path(report.__file__).with_name("report.md").read_text(encoding="utf-8")
    for setting in study.planned(DEFAULT):
        if setting.lr != DEFAULT.lr:
            continue  # whose times are not in the report
        record = made_up(setting)
        seconds = [factor * it for it in record.epoch_seconds]
        absurd = replace(
            record, epoch_seconds=seconds, epoch_cpu_seconds=record.epoch_cpu_seconds if busy else seconds
        )
        records = {it: (made_up(it), PRESENT) for it in study.planned(DEFAULT)} | {setting: (absurd, PRESENT)}
        found = study.Study(records, PRESENT)
        if busy and factor > 1:
            assert "The machine was disturbed" in found.notices()[0], setting
        try:
            text = document.fill(template, VALUES | numbers.values_of(found))
        except document.FalseClaimError:
            continue
        assert found.disturbances or found.too_short, f"{setting}, {factor}"
        for conclusion in (
            "Where training speeds up",
            "Is speed worth",
            "times its speed",
            "times the speed",
        ):
            assert conclusion not in text


VALUES = {"notices": [], "bonus_proof": ""}
DISTURBED = {
    "more time by the clock than on the processor, up to 3.0 times": lambda it, _: replace(
        it, epoch_seconds=[3 * seconds for seconds in it.epoch_cpu_seconds]
    ),
    "epochs of uneven length, the slow ones up to 4.0 times": lambda it, _: replace(
        it,
        epoch_seconds=[
            seconds * (4 if place < 5 else 1) for place, seconds in enumerate(it.epoch_cpu_seconds)
        ],
        epoch_cpu_seconds=[4 * seconds for seconds in it.epoch_cpu_seconds],
    ),
    "uneven times with their seeds, up to 2.": lambda it, seed: trained_in(
        it, it.training_seconds * (2 if seed else 1)
    ),
}


@pytest.mark.parametrize("words", DISTURBED)
def test_disturbed_machine(make, words):
    """The first page says so, with numbers and the command; text and abstract conclude nothing from times."""

    def change(record):
        return DISTURBED[words](record, record.setting.seed) if record.setting.hidden_size1 == 64 else record

    keep("results", 0, 1, change=change)
    status, stdout, _ = make()
    assert status == 0
    for text in (stdout.replace("`", ""), first_page()):
        assert "The machine was disturbed while times were taken: " in text
        assert words in text
        assert "python fashion_mnist.py all --seeds 2 --fresh" in text
    text = whole_text()
    assert "Nothing is concluded from the times: the first page says why" in text
    for conclusion in ("Where training speeds up", "Is speed worth", "times its speed", "times the speed"):
        assert conclusion not in text
    assert "first hidden: 64 custom" in text, "the table is there"


def test_a_run_in_bad_company(make):
    """Less work is not called slower because most epochs of a run shared the processor's caches.

    Small differences between epochs, as the other networks' have, leave nothing unclear, even at the limit.
    """

    def change(record):
        setting, relative = record.setting, np.linspace(1, 1.04, 10)
        if setting.hidden_size2 is None and setting.model == "custom":
            relative[3:] *= 1.45
        if setting.hidden_size2 == 64:
            record = replace(
                record, epoch_cpu_seconds=made_up(Setting(model=setting.model)).epoch_cpu_seconds
            )
            relative[0], relative[1:] = 1 / 1.06, 1.02 / 1.04
        seconds = (relative * record.epoch_cpu_seconds).tolist()
        return replace(record, epoch_seconds=seconds, epoch_cpu_seconds=seconds)

    keep("results", change=change)
    status, stdout, _ = make()
    assert (status, stdout) == (0, "saved dist/report.pdf\n"), "too little to conclude nothing at all"
    text = whole_text()
    assert text.count("second hidden layer 64 (1.04)") == 2
    told = re.findall(r"unclear with (.*?)[.;](?!\d)", text)
    assert told == ["none", "second hidden layer none (0.78)"]
    assert "Where these tell otherwise than the median ones, by more than 5%, the speed is unclear" in text
    assert "Without it the accuracy is 0.5 points below the original’s." in text


def test_normal_spread_is_no_disturbance(make):
    """A few slow epochs, and a fifth from seed to seed, are what a machine in peace has."""

    def change(record):
        random = np.random.default_rng(record.parameters + record.setting.seed)
        seconds = record.epoch_cpu_seconds * random.uniform(0.9, 1.1, len(record.epoch_cpu_seconds))
        return replace(record, epoch_seconds=[9, *seconds[1:]], epoch_cpu_seconds=seconds.tolist())

    keep("results", 0, 1, 2, change=change)
    status, stdout, _ = make()
    assert (status, stdout) == (0, "saved dist/report.pdf\n")
    assert "Where training speeds up" in whole_text()


@pytest.mark.parametrize("seeds", [1, 2])
def test_caveat(make, seeds):
    """With one seed the text says that differences may be chance; with more, how large chance is."""
    keep("results", *range(seeds))
    assert make()[0] == 0
    text = whole_text()
    assert ("All numbers are of one seed." in first_page()) == (seeds == 1)
    assert ("Each run was made with one seed." in text) == (seeds == 1)
    assert ("python fashion_mnist.py all --seeds 3 measures that" in text) == (seeds == 1)
    assert ("smaller differences may be chance" in text) == (seeds == 2)


def test_closer_look(make):
    """What it says of overfitting, confusions and mistakes is in the records."""

    def change(record):
        counts = 90 * np.eye(10, dtype=int) + 1
        counts[6, 0] += 60
        counts[9, 9] += 900
        low = [*record.val_losses[:3], 0.1, *record.val_losses[4:]]
        return replace(record, confusion=counts.tolist(), val_losses=low)

    keep("results", change=change)
    assert make()[0] == 0
    text = whole_text()
    assert "finds 99.1%, of those of Shirt 56.9%" in text
    assert "Most mistakes are between T-shirt/top and Shirt" in text
    assert "The validation loss was lowest, 0.100, after 4 of 10 epochs." in text
    assert "shows the 10 test images to whose wrong class the first run gives" in text
    assert "more epochs may well bring more" not in text
    keep(
        "results", change=lambda it: replace(it, mistakes=[], confusion=(np.eye(10, dtype=int) * 9).tolist())
    )
    assert make()[0] == 0
    text = whole_text()
    assert "It was wrong about no test image." in text
    assert "Most mistakes" not in text


# The author.


@pytest.fixture
def git_knows(monkeypatch, tmp_path):
    """Return a function that says whom git knows."""

    def know(name):
        path = tmp_path / "gitconfig"
        path.write_text(f'[user]\n\tname = "{name}"\n' if name else "", encoding="utf-8")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(path))
        monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)

    know("")
    return know


def author_in_pdf():
    return pypdf.PdfReader("dist/report.pdf").metadata.author


def test_author_given_and_kept(make, git_knows):
    """What --author says is kept for the next time; git is not asked."""
    keep("results", author=None)
    git_knows("Git Name")
    assert make("--author", "  Zoë   Ångström ")[0] == 0
    assert Path("results/author.txt").read_text(encoding="utf-8") == "Zoë Ångström\n"
    assert make()[0] == 0
    assert author_in_pdf() == "Zoë Ångström"
    assert "Zoë Ångström" in first_page()


def test_author_that_git_knows(make, git_knows):
    keep("results", author=None)
    git_knows("吴 Git")
    assert make("--only-author") == (0, "author of the report: 吴 Git\n", "")
    assert not Path("dist").exists()
    git_knows("Another")
    assert make("--only-author")[1] == "author of the report: 吴 Git\n"


def test_author_is_asked_for(make, git_knows, monkeypatch):
    """Once, where there is somebody to answer."""

    class Somebody(io.StringIO):
        def isatty(self):
            return True

    keep("results", author=None)
    monkeypatch.setattr("sys.stdin", Somebody("Ada\n"))
    status, stdout, stderr = make("--only-author")
    assert (status, stdout, stderr) == (0, "author of the report: Ada\n", "Who is the author of the report? ")
    assert make("--only-author") == (0, "author of the report: Ada\n", "")


def test_author_that_nobody_knows(make, git_knows):
    """There is no name in the place of one, and the first page says that this is not what is handed in."""
    keep("results", author=None)
    status, stdout, stderr = make()
    assert (status, stderr) == (0, "")
    assert "not the final results: The author's name is missing." in stdout
    assert (
        "The author’s name is missing. This command adds it: python -m report --author NAME" in first_page()
    )
    assert not author_in_pdf()
    assert not Path("results/author.txt").exists()


@pytest.mark.parametrize("name", ["", "  ", "a\x07b"])
def test_author_that_is_none(make, one_line, name):
    keep("results", author=None)
    status, stdout, stderr = make("--author", name)
    assert (status, stdout) == (2, "")
    one_line(stderr, "--author: expected a name, got ")


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">="])
def test_no_claim_is_true_of_nan(relation):
    with pytest.raises(document.FalseClaimError, match=f"expected nan {relation} 1"):
        document.claim(float("nan"), relation, 1, lambda: "A sentence.")


def test_holes():
    """A hole without a value is an error, and so is a claim with a relation that there is not."""
    assert document.fill("a {{ b }} <!-- c -->{#d}\n", {"b": 1}) == "a 1 {#d}"
    with pytest.raises(document.jinja2.UndefinedError, match="'c' is undefined"):
        document.fill("a {{ c }}", {"b": 1})
    with pytest.raises(KeyError):
        document.fill("{% call claim(1, '!', 2) %}{% endcall %}", {})


def test_sentences_go_by_the_numbers(make):
    """A reason is only given for what has come out."""

    def change(record):
        if record.setting.lr != DEFAULT.lr:
            return record
        widths = record.setting.hidden_size1, record.setting.hidden_size2
        return replace(record, test_accuracy={(256, 8): 0.74, (1024, 128): 0.87}.get(widths, 0.86))

    keep("results", change=change)
    assert make()[0] == 0
    text = whole_text()
    assert "least accurate variant is the one with second hidden layer 8: 0.7400 in the mean of all" in text
    assert "has to pass through these 8 numbers" not in text
    assert "most accurate is the one with first hidden layer 1024: 0.8700, 1.0 points above" in text
    assert "For the accuracy the second hidden layer matters at least as much." in text


def test_a_large_rate_that_is_not_too_large(make):
    """Where the largest of the three rates does best, the report says that and not the opposite."""

    def change(record):
        return replace(record, val_accuracies=[0.95] * 10) if is_large(record.setting) else record

    keep("results", change=change)
    assert make()[0] == 0
    text = whole_text()
    assert "So 0.2 is not too large" in text
    assert "it overshoots. With 0.2" not in text
    assert "The best of the three, by validation accuracy, is 0.2." in text


# What is not there.


def first_page(path="dist/report.pdf"):
    return words_of(pypdf.PdfReader(path).pages[0])


def whole_text(path="dist/report.pdf"):
    pages = pypdf.PdfReader(path).pages
    return " ".join(words_of(page).removesuffix(f" {number}") for number, page in enumerate(pages, 1))


def test_missing_learning_rate(make):
    """Both figures name the command in their place, 3.1 says so, and the rest is there."""
    keep("results", change=lambda record: None if is_large(record.setting) else record)
    status, stdout, stderr = make()
    assert (status, stderr) == (0, "")
    notice = "Of 24 runs 2 are missing (PyTorch 256-128, lr 0.2, batch 8; custom 256-128, lr 0.2, batch 8)"
    assert notice in stdout
    assert notice in first_page()
    assert "python fashion_mnist.py all" in first_page()
    text = whole_text()
    assert text.count("Runs are missing. This makes them: python fashion_mnist.py learning-rates") == 2
    assert (
        text.count("This command makes those that are missing: python fashion_mnist.py learning-rates") == 1
    )
    assert len(re.findall(r"Figure \d+: ", text)) == 11
    assert "Training loss, learning rate 0.002" in text
    assert "First loss" not in text
    assert "first hidden: 8 PyTorch" in text


def test_missing_architectures(make):
    keep("results", change=lambda record: None if is_wide(record.setting) else record)
    assert make()[0] == 0
    assert "Of 24 runs 2 are missing" in first_page()
    text = whole_text()
    assert text.count("Runs are missing. This makes them: python fashion_mnist.py architectures") == 1
    assert "First loss" in text
    assert "first hidden: 8" not in text


def test_one_model_alone(make):
    """Both models belong on each figure, so none is drawn."""
    keep("results", change=lambda record: record if record.setting.model == "custom" else None)
    assert make()[0] == 0
    assert "Of 24 runs 12 are missing" in first_page()
    assert whole_text().count("Runs are missing.") == 11


def test_unfinished_seeds(make):
    """Seeds of which runs are missing are left out, and the page says so."""

    def change(record):
        return None if record.setting.seed == 2 and is_large(record.setting) else record

    keep("results", 0, 1, 2, change=change)
    assert make()[0] == 0
    assert "Seeds are left out of which not all runs are there: 2 (of 24 runs 2 are missing)" in first_page()
    assert "python fashion_mnist.py all --seeds 3" in first_page()
    assert "of 2 seeds" in whole_text()


def test_synthetic(make):
    """Results of synthetic data say so before all else."""
    keep("results", base=replace(DEFAULT, dataset="synthetic"))
    assert make()[0] == 0
    assert "Not the final results" in first_page()
    assert "The data are synthetic, made up by a program, and not Fashion-MNIST." in first_page()
    assert whole_text().count("synthetic data (not Fashion-MNIST)") >= 11


def test_other_settings(make):
    """What differs from the final results' settings is named; the folder's other runs do no harm."""
    keep("results", base=replace(DEFAULT, epochs=4, batch_size=32))
    keep("results", change=lambda record: record if is_large(record.setting) else None)
    assert make()[0] == 0
    assert "batch size 32 instead of 8, epochs 4 instead of 10" in first_page()
    assert "After 4 epochs" in first_page()


def test_base_setting():
    """A single run at another learning rate is taken for one of section 3.1."""
    small = replace(DEFAULT, model="custom", lr=1e-5)
    assert study.Study({small: (made_up(small), PRESENT)}, PRESENT).base == DEFAULT


def test_runs_of_no_experiment():
    """Of runs that are in no experiment nothing is taken, and all others are missing."""
    other = replace(DEFAULT, hidden_size1=77)
    found = study.Study({other: (made_up(other), PRESENT)}, PRESENT)
    assert (found.base, found.seeds, found.taken, len(found.missing)) == (DEFAULT, [0], {}, 24)


CODE = "were made by other code than q1.py, q2.py and fashion_mnist.py have now"


@pytest.mark.parametrize(
    ("code_of", "notice"),
    [
        (lambda setting: "a", f"All runs {CODE}. This command makes them anew: python fashion_mnist.py all"),
        (lambda setting: "a" if is_large(setting) else "b", f"All runs {CODE}, and not all by the same."),
        (lambda setting: "a" if is_large(setting) else PRESENT, f"Of 24 runs 2 {CODE}."),
    ],
    ids=["all of them", "of different codes", "some of them"],
)
def test_other_code(make, code_of, notice):
    """Runs that were not made by the code as it is say so; those of seeds that are left out don't count."""
    for code in ("a", "b", PRESENT):
        keep("results", change=lambda it, code=code: it if code_of(it.setting) == code else None, code=code)
    keep("results", 1, change=lambda it: it if is_large(it.setting) else None, code="c")
    status, stdout, stderr = make()
    assert (status, stderr) == (0, "")
    assert f"not the final results: {notice}" in stdout.replace("`", "")
    assert notice in first_page()
    assert stdout.count("other code") == 1


def test_different_cores(make):
    """Times on different numbers of cores are not compared without a word."""
    keep("results", change=lambda record: replace(record, cores=1) if is_wide(record.setting) else record)
    status, stdout, stderr = make()
    assert (status, stderr) == (0, "")
    notice = (
        "The runs had different numbers of cores (2 had 1, 22 had 2), so that their training times cannot"
    )
    assert notice in stdout
    assert notice in first_page()
    assert "makes all of them anew: python fashion_mnist.py all --fresh" in first_page()
    assert "Times were taken on 1 or 2 cores." in whole_text()


def test_one_core(make):
    keep("results", change=lambda record: replace(record, cores=1))
    assert make()[0] == 0
    assert "Times were taken on 1 core." in whole_text()


def test_losses_that_are_no_numbers(make):
    """Where training overflows at the very large rate, table and text say so in words."""

    def change(record):
        if not is_large(record.setting):
            return record
        return replace(record, train_losses=[1.2, *[float("nan")] * 9])

    keep("results", 0, 1, change=change)
    assert make()[0] == 0
    text = whole_text()
    assert re.search(r"0\.2 \(very large\) custom 1\.\d{4} ± 0\.\d{4} no number 0\.1\d{3}", text)
    assert "in 4 the last one is no lower than" in text
    assert "the same probability, or no number at all." in text
    assert "in 4 of 4 runs the training loss overflows." in text
    assert " nan" not in text.lower()


def test_a_loss_that_is_huge(make):
    """A first step that overshoots, as a very large rate can make it, is written as people write numbers."""

    def change(record):
        its = is_large(record.setting) and (record.setting.model, record.setting.seed) == ("custom", 0)
        return with_losses(record, first=3e15) if its else record

    keep("results", 0, 1, change=change)
    assert make()[0] == 0
    text = whole_text()
    assert re.search(r"0\.2 \(very large\) custom 2 × 10\s*15 ± 2 × 10\s*15 \d\.\d{4} ± ", text)
    assert re.search(r"they part, by up to 3 × 10\s*15: the models", text)
    assert not re.search(r"\d{7}|\de\+", text)


def test_a_loss_that_is_no_number_is_not_lost(make, one_line):
    """It makes the claim on all architectures untrue, whichever of them has it."""
    keep("results", change=lambda it: with_losses(it, last=float("nan")) if is_wide(it.setting) else it)
    status, _, stderr = make()
    assert status == 2
    one_line(stderr, "this sentence is not true", "needed another batch size", "expected nan < 0")


def without_validation(record):
    return replace(record, val_accuracies=[float("nan")] * len(record.val_accuracies))


def test_without_validation(make, one_line, tmp_path):
    """Section 3.1 can't be written without validation accuracies."""
    keep("results", base=replace(DEFAULT, val_perc=0.0), change=without_validation)
    status, stdout, stderr = make()
    assert (status, stdout) == (2, "")
    one_line(stderr, "results", "got only ones of runs without validation (--val-perc 0)", "all makes them")
    assert list(tmp_path.rglob("*.pdf")) == []


def test_without_validation_beside_others(make):
    """Runs without validation do no harm to the others, even if there are more of them."""
    keep("results", 0, 1, base=replace(DEFAULT, val_perc=0.0), change=without_validation)
    keep("results")
    status, stdout, stderr = make()
    assert (status, stdout, stderr) == (0, "saved dist/report.pdf\n", "")
    assert "20% of the training images are kept for validation" in whole_text()


def test_results_of_a_short_run(make, all_results):
    """What ``fashion_mnist.py`` really writes is read, though two epochs on synthetic data show little."""
    status, stdout, stderr = make("--results-dir", all_results, "--output", "short.pdf")
    assert (status, stderr) == (0, "")
    assert "saved short.pdf" in stdout
    front = first_page("short.pdf")
    assert "epochs 2 instead of 10" in front
    assert "runs had epochs of less than 0.1 s, too short to be compared" in front


# Bad input.


def test_no_results(make, one_line, tmp_path):
    status, stdout, stderr = make("--results-dir", "nowhere")
    assert (status, stdout) == (2, "")
    one_line(stderr, "nowhere", "expected records of runs, got none", "python fashion_mnist.py all")
    assert list(tmp_path.iterdir()) == []


def test_broken_records(make, one_line):
    """A file that is no record, or that of another run, is named."""
    keep("results")
    path, other, *_ = sorted(Path("results/runs").iterdir())
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text("{", encoding="utf-8")
    status, _, stderr = make()
    assert status == 2
    one_line(stderr, path.name, "expected the record of a run: JSONDecodeError(")
    path.write_text(json.dumps(content), encoding="utf-8")
    path.rename(other)
    status, _, stderr = make()
    assert status == 2
    one_line(stderr, other.name, f"expected the record of that run, got that of {path.stem}")


def test_output_that_cannot_be_written(make, one_line):
    """What was there stays, and nothing is left beside it."""
    keep("results")
    Path("file").write_text("mine", encoding="utf-8")
    status, _, stderr = make("--output", "file/report.pdf")
    assert status == 2
    one_line(stderr, "file")
    assert Path("file").read_text(encoding="utf-8") == "mine"
    assert not list(Path().rglob("*.pdf*"))


def test_full_disk(make, one_line, monkeypatch):
    """The last report stays, whole, and nothing is left beside it."""

    def write_some_bytes(path, content):
        with open(path, "wb") as file:
            file.write(content[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    keep("results")
    Path("dist").mkdir()
    Path("dist/report.pdf").write_bytes(b"the last")
    monkeypatch.setattr(Path, "write_bytes", write_some_bytes)
    status, stdout, stderr = make()
    assert (status, stdout) == (2, "")
    one_line(stderr, "dist/report.pdf could not be written: No space left on device")
    assert Path("dist/report.pdf").read_bytes() == b"the last"
    assert os.listdir("dist") == ["report.pdf"]


def test_stopped(make, monkeypatch, tmp_path):
    """Ctrl-C leaves nothing behind, and no traceback."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report.__main__, "typeset", stop)
    keep("results")
    status, stdout, stderr = make()
    assert (status, stdout) == (130, "")
    assert "stopped" in stderr
    assert not list(tmp_path.rglob("*.pdf*"))


# The layers and the network next to PyTorch's.


def test_differences_are_measured():
    """They are rounding: not zero, and far below what the report promises."""
    assert 0 < comparison.difference_of_layers() < 1e-13
    assert 0 < comparison.difference_of_networks() < 1e-13


@pytest.mark.parametrize(
    "layer", ["Dense", "ReLULayer", "TanhLayer", "SoftmaxLayer", "CrossEntropyLossLayer"]
)
@pytest.mark.parametrize("method", ["forward", "backward"])
def test_every_difference_of_a_layer_counts(monkeypatch, layer, method):
    """An output or an input's gradient that is off by a millionth shows."""
    kind = getattr(comparison, layer)
    original = getattr(kind, method)
    monkeypatch.setattr(kind, method, lambda self, *inputs: original(self, *inputs) + 1e-6)
    assert comparison.difference_of_layers() > 1e-7


@pytest.mark.parametrize("name", ["dW", "db"])
def test_differences_of_parameters_count(monkeypatch, name):
    def backward(self, output_grad):
        inputs_grad = original(self, output_grad)
        getattr(self, name)[...] += 1e-6
        return inputs_grad

    original = comparison.Dense.backward
    monkeypatch.setattr(comparison.Dense, "backward", backward)
    assert comparison.difference_of_layers() > 1e-7
