"""The command line: what it takes, what it refuses and how, and what it prints where."""

import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from runs import draw_less, make_record, records_in
from terminal import Terminal

import fashion_mnist

SYNTHETIC = ("--dataset", "synthetic")


@pytest.fixture
def untrained(monkeypatch):
    """Let nothing be trained: note the settings, and make up records."""
    settings = []

    def run(setting, *_, **__):
        settings.append(setting)
        return make_record(setting), {}

    monkeypatch.setattr(fashion_mnist, "run", run)
    draw_less(monkeypatch)
    monkeypatch.setattr(fashion_mnist.Results, "save_figure", lambda *_: None)
    return settings


# Bad input.

BAD_ARGUMENTS = [
    (("--lr", "-1"), "--lr: expected a "),
    (("--lr", "-1"), "got '-1'"),
    (("--lr", "0"), "got '0'"),
    (("--lr", "nan"), "got 'nan'"),
    (("--lr", "inf"), "got 'inf'"),
    (("--lr", "1e308"), "308"),
    (("--lr", "fast"), "got 'fast'"),
    (("--lr", ""), "got ''"),
    (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got '0'"),
    (("--batch-size", "-8"), "got '-8'"),
    (("--batch-size", "2.5"), "got '2.5'"),
    (("--batch-size", "nan"), "got 'nan'"),
    (("--epochs", "0"), "--epochs: expected a whole number >= 1, got '0'"),
    (("--epochs", "ten"), "got 'ten'"),
    (("--val-perc", "1.5"), "--val-perc: expected a number >= 0 and < 1, got '1.5'"),
    (("--val-perc", "1"), "got '1'"),
    (("--val-perc", "-0.1"), "got '-0.1'"),
    (("--val-perc", "nan"), "got 'nan'"),
    (("--val-perc", "0.99999"), "0.99999"),
    (("--seed", "-1"), "--seed: expected a whole number"),
    (("--seed", "1.5"), "got '1.5'"),
    (("--seeds", "0"), "--seeds: expected a whole number of 1 to 1,000, got '0'"),
    (("--seeds", "-1"), "got '-1'"),
    (("--seeds", "2.5"), "got '2.5'"),
    (("--seeds", "three"), "got 'three'"),
    (("--seeds", "10000000000"), "got '10000000000'"),
    (("--models", "keras"), "--models: invalid choice: 'keras' (choose from"),
    (("--models", "custom", "keras"), "'keras'"),
    (("--models",), "--models: expected at least one argument"),
    (("--dataset", "mnist"), "--dataset: invalid choice: 'mnist'"),
    (("tran",), "invalid choice: 'tran'"),
    (("train", "all"), "all"),
    (("--unknown",), "unrecognized arguments: --unknown"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), BAD_ARGUMENTS, ids=[" ".join(bad) for bad, _ in BAD_ARGUMENTS]
)
def test_bad_arguments(main, tmp_path, one_line, arguments, words):
    """Exit status 2, one line that says what came and what was expected, and nothing on disk."""
    status, stdout, stderr = main(*(() if "--dataset" in arguments else SYNTHETIC), *arguments)
    assert status == 2
    assert stdout == ""
    one_line(stderr, "error", words)
    assert list(tmp_path.iterdir()) == []


def test_results_folder_that_cannot_be_written_to(main, one_line, tmp_path):
    """Permissions mean nothing to root, so the folder is one below a file."""
    Path("file").write_text("mine", encoding="utf-8")
    for folder in ("file", "file/results", "file/a/b"):
        status, stdout, stderr = main(*SYNTHETIC, "--results-dir", folder)
        assert (status, stdout) == (2, "")
        one_line(stderr, "error", folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert Path("file").read_text(encoding="utf-8") == "mine"


def put_files(folder, names):
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"\0\0\x08\x03 and so on")


@pytest.mark.parametrize("by_variable", [False, True], ids=["--data-dir", "FASHION_MNIST_DIR"])
def test_data_folder_with_three_of_four_files(main, monkeypatch, one_line, tmp_path, by_variable):
    *names, missing = fashion_mnist.IDX_FILES
    put_files(tmp_path / "mine", names)
    if by_variable:
        monkeypatch.setenv("FASHION_MNIST_DIR", "mine")
    status, _, stderr = main(*(() if by_variable else ("--data-dir", "mine")))
    assert status == 2
    one_line(stderr, "error", "mine: expected 4 files", missing)
    assert [path.name for path in tmp_path.rglob("*") if path.name not in names] == ["mine"]


def test_data_folder_with_broken_files(main, one_line, tmp_path):
    names = list(fashion_mnist.IDX_FILES)
    put_files(tmp_path / "mine", names)
    status, _, stderr = main("--data-dir", "mine")
    assert status == 2
    one_line(stderr, "error", f"{Path('mine') / names[0]}: expected", "got")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_data_that_is_nowhere(main, monkeypatch, tmp_path):
    """This error has several lines, for it lists every way to help; nothing else is special about it."""

    def refuse():
        raise OSError("no network")

    monkeypatch.setattr(fashion_mnist, "import_torchvision", refuse)
    monkeypatch.setenv("PATH", "/nowhere")
    status, stdout, stderr = main()
    assert (status, stdout) == (2, "")
    assert "Traceback" not in stderr
    for words in ("error", "no network", "--data-dir", "FASHION_MNIST_DIR", "apt-get install"):
        assert words in stderr
    assert list(tmp_path.rglob("*.json")) == []


def test_bad_input_of_the_program(command, one_line, tmp_path):
    """The program itself answers as ``main`` does in these tests."""
    done = command("--batch-size", "0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr, "expected a whole number >= 1, got '0'")
    assert list(tmp_path.iterdir()) == []


# What it takes.


def test_help(main, tmp_path):
    status, stdout, stderr = main("--help")
    assert (status, stderr) == (0, "")
    for words in (
        *(
            "train",
            "learning-rates",
            "architectures",
            "all",
            "pytorch",
            "custom",
            "fashion-mnist",
            "synthetic",
        ),
        *(
            "--models",
            "--lr",
            "--epochs",
            "--batch-size",
            "--val-perc",
            "--plot",
            "--seed",
            "--seeds",
            "--fresh",
        ),
        *("--data-dir", "--results-dir", "--dataset", "0.002", "10", "0.2"),
    ):
        assert words in stdout
    assert list(tmp_path.iterdir()) == []


def test_every_option_reaches_the_runs(main, untrained):
    status, _, _ = main(
        *("train", "--lr", "0.5", "--epochs", "3", "--batch-size", "7", "--val-perc", "0.1", "--seed", "4"),
        *("--models", "custom", "--results-dir", "mine", *SYNTHETIC),
    )
    assert status == 0
    (setting,) = untrained
    assert (setting.lr, setting.epochs, setting.batch_size) == (0.5, 3, 7)
    assert (setting.val_perc, setting.seed) == (0.1, 4)
    assert (setting.model, setting.dataset) == ("custom", "synthetic")
    assert len(list(Path("mine/runs").iterdir())) == 1


UNDERSCORES = [
    ("--batch_size", "7", "--val_perc", "0.1", "--results_dir", "my_own_results", "--data_dir", "no_data"),
    ("--batch_size=7", "--val_perc=0.1", "--results_dir=my_own_results", "--data_dir=no_data"),
    ("--batch-size=7", "--val-perc=0.1", "--results-dir=my_own_results", "--data-dir=no_data"),
]


@pytest.mark.parametrize("arguments", UNDERSCORES, ids=lambda arguments: arguments[0])
def test_underscores(main, untrained, arguments):
    """Options may be spelled with underscores, as the course's file has it; their values stay as they are."""
    assert main("--models", "custom", *arguments, *SYNTHETIC)[0] == 0
    (setting,) = untrained
    assert (setting.batch_size, setting.val_perc) == (7, 0.1)
    assert len(list(Path("my_own_results/runs").iterdir())) == 1


def test_underscores_elsewhere(main, one_line):
    """An error quotes what was written."""
    status, _, stderr = main("--no_such_option", *SYNTHETIC)
    assert status == 2
    one_line(stderr, "unrecognized arguments")
    status, _, stderr = main("--models", "my_model", *SYNTHETIC)
    assert status == 2
    one_line(stderr, "'my_model'")


@pytest.mark.parametrize("seeds", ["1", "2"])
def test_no_validation_set(main, monkeypatch, seeds):
    """With --val-perc 0 there is no validation accuracy to show, and nowhere a "nan"."""
    monkeypatch.setattr(fashion_mnist.Results, "save_figure", lambda *_: None)
    arguments = ("all", "--val-perc", "0", "--epochs", "1", "--batch-size", "500", "--seeds", seeds)
    status, stdout, stderr = main(*arguments, *SYNTHETIC)
    assert (status, stderr) == (0, "")
    assert "in training loss" in stdout
    texts = [stdout, *(path.read_text(encoding="utf-8") for path in Path("results").rglob("*.*"))]
    assert len(texts) == 3 + 24 * int(seeds)
    for text in texts:  # a picture may have these letters among its own
        assert not re.search(r"(?<![\w+/])nan(?![\w+/=])", text, re.IGNORECASE)


def test_plain_command(main, untrained, monkeypatch):
    """Without arguments: both models, 784-256-128-10, 10 epochs at learning rate 0.002 on the real set."""
    monkeypatch.setattr(fashion_mnist, "FashionMNIST", lambda *_, **__: None)
    status, _, _ = main()
    assert status == 0
    assert [setting.model for setting in untrained] == ["pytorch", "custom"]
    for setting in untrained:
        assert (setting.lr, setting.epochs, setting.val_perc) == (0.002, 10, 0.2)
        assert (setting.hidden_size1, setting.hidden_size2) == (256, 128)
        assert setting.dataset == "fashion-mnist"
    assert len(list(Path("results/runs").iterdir())) == 2


def test_learning_rates(main, untrained):
    """Section 3.1: the rate as given, a very small and a very large one, each for both models."""
    assert main("learning-rates", *SYNTHETIC)[0] == 0
    rates = sorted({setting.lr for setting in untrained})
    assert len(rates) == 3
    assert rates[1] == 0.002
    assert rates[0] <= 0.0001
    assert rates[2] >= 0.1
    assert len(untrained) == len(set(untrained)) == 6
    assert {setting.model for setting in untrained} == {"pytorch", "custom"}
    assert {setting.epochs for setting in untrained} == {10}


def test_architectures(main, untrained):
    """Section 3.2: the original, four other widths of either hidden layer, and none in second place."""
    assert main("architectures", *SYNTHETIC)[0] == 0
    widths = {(setting.hidden_size1, setting.hidden_size2) for setting in untrained}
    others = (8, 16, 64, 1024)
    assert widths == {(256, 128), (256, None), *((n, 128) for n in others), *((256, n) for n in others)}
    assert len(untrained) == len(set(untrained)) == 20


def test_all(main, untrained):
    """Everything, and what several experiments need only once."""
    assert main("all", *SYNTHETIC)[0] == 0
    assert len(untrained) == len(set(untrained)) == 24


def test_both_models_begin_with_the_same_weights():
    """And with others for another seed or another size."""
    first = {}
    for setting in (
        fashion_mnist.Setting(),
        fashion_mnist.Setting(seed=1),
        fashion_mnist.Setting(hidden_size1=8),
        fashion_mnist.Setting(hidden_size2=None),
    ):
        custom, pytorch = (
            fashion_mnist.build_model(fashion_mnist.replace(setting, model=model)).state_dict()
            for model in ("custom", "pytorch")
        )
        assert custom.keys() == pytorch.keys()
        for key, value in custom.items():
            np.testing.assert_array_equal(np.asarray(value), pytorch[key].numpy())
        first[setting] = np.asarray(custom["layers.0.weight"])[:8, 0].tolist()
    assert len(set(map(tuple, first.values()))) == 3, "the first layers' weights depend on seed and size"


def test_extreme_learning_rates(main):
    """A training that diverges comes to an end like any other, and its record can be read again."""
    arguments = ("learning-rates", "--lr", "1e10", "--epochs", "2", "--batch-size", "100", *SYNTHETIC)
    for _ in range(2):
        status, stdout, stderr = main(*arguments)
        assert (status, stderr) == (0, "")
    assert stdout.count("kept from before") == 6


# What it prints, and where. Each of these runs the program itself.


@pytest.fixture(scope="module")
def alone(tmp_path_factory, repository, command):
    """Return a folder with copies of the three modules and nothing else, and a finished run there."""
    folder = tmp_path_factory.mktemp("alone")
    for name in ("q1.py", "q2.py", "fashion_mnist.py"):
        shutil.copy(repository / name, folder)
    arguments = ("--epochs", "2", "--batch-size", "20", "--plot", *SYNTHETIC)
    return folder, command(*arguments, cwd=folder, script="fashion_mnist.py")


def test_modules_alone(alone):
    """The three modules need nothing beside them: both models are trained, and their curves saved."""
    folder, done = alone
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for model in ("PyTorch", "custom"):
        (line,) = [line for line in lines if line.startswith(f"{model}: test accuracy")]
        assert 0 < float(line.split()[3].rstrip(",")) < 1
    assert (folder / "results/synthetic/training.png").stat().st_size > 10_000
    assert (folder / "results/synthetic/samples.png").stat().st_size > 10_000
    assert len(list((folder / "results/synthetic/runs").glob("*.json"))) == 2


def test_models_agree(alone):
    """Trained side by side, the two models' curves are the same to float32's accuracy."""
    folder, _ = alone
    by_model = {setting.model: run for setting, run in records_in(folder / "results/synthetic").items()}
    pytorch, custom = by_model["pytorch"], by_model["custom"]
    np.testing.assert_allclose(custom.train_losses, pytorch.train_losses, rtol=1e-4)
    np.testing.assert_allclose(custom.val_accuracies, pytorch.val_accuracies, atol=0.01)
    assert custom.train_losses[0] > custom.train_losses[1]
    assert custom.parameters == pytorch.parameters == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10


def test_quiet(alone):
    """Where there is no terminal, there is no progress bar and nothing else on stderr."""
    _, done = alone
    assert done.stderr == ""
    assert "\r" not in done.stdout


def test_plot_without_screen(alone):
    """--plot says that there is no screen, and the figures are saved as ever."""
    folder, done = alone
    assert "no screen" in done.stdout
    assert (folder / "results/synthetic/training.png").exists()


def test_plot_with_screen(main, untrained, monkeypatch):
    """With a screen, --plot shows the figures; without --plot none is shown."""
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(len(plt.get_fignums())))
    monkeypatch.setattr(fashion_mnist.matplotlib, "get_backend", lambda: "TkAgg")
    arguments = ("--models", "custom", "--epochs", "1", *SYNTHETIC)
    assert main(*arguments)[0] == 0
    assert shown == []
    assert main(*arguments, "--plot")[0] == 0
    assert shown == [1]


def test_progress_bar(start, tmp_path):
    """On a terminal a bar shows what is trained, loss, accuracy and the time left, and is gone at the end."""
    terminal = Terminal(80)
    child = start(
        *("--epochs", "2", "--batch-size", "2", "--models", "custom", *SYNTHETIC),
        cwd=tmp_path,
        stderr=terminal.end,
    )
    terminal.watch()
    stdout, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    bars = [text for _, text in terminal.written if text.startswith("custom 256-128")]
    for words in ("lr 0.002", "%|", "█", "| ", "<", "loss ", "accuracy "):
        assert any(words in bar for bar in bars), bars
    losses = [float(loss) for bar in bars for loss in re.findall(r"loss ([0-9.]+)", bar)]
    assert losses[0] > losses[-1] > 0
    whole = [bar for bar in bars if "accuracy" in bar]
    assert re.fullmatch(
        r"custom 256-128, lr 0.002 +\d+%\|[^|]{5,}\| 00:\d\d<00:\d\d, loss \d\.\d+, accuracy \d\.\d+",
        whole[0],
    )
    assert max(column + len(text.rstrip()) for column, text in terminal.written) <= 80, terminal.written
    assert [line for line in terminal.lines if line.strip()] == [], "the bars are cleared"
    assert "\r" not in stdout


def test_progress_of_several_networks(start, tmp_path):
    """With several networks another bar says how many are done, and the time left for the whole."""
    terminal = Terminal(80)
    child = start(
        *("learning-rates", "--models", "custom", "--val-perc", "0"),
        *("--epochs", "4", "--batch-size", "50", *SYNTHETIC),
        cwd=tmp_path,
        stderr=terminal.end,
    )
    terminal.watch()
    child.communicate(timeout=60)
    assert child.returncode == 0
    bars = [text for _, text in terminal.written if re.search(r"\b[1-3]/3\b", text)]
    assert not any("nan" in text for _, text in terminal.written)
    assert bars, terminal.written
    assert any(re.search(r"\d\d:\d\d<\d\d:\d\d", bar) for bar in bars), bars
    assert max(column + len(text.rstrip()) for column, text in terminal.written) <= 80
    assert [line for line in terminal.lines if line.strip()] == [], "the bars are cleared"
