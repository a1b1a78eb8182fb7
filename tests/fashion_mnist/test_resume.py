"""Runs that are stopped and go on: what one command leaves behind, the same command builds on."""

import csv
import itertools
import json
import os
import resource
import signal
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from runs import heed_interrupts, leftovers_in, make_record
from tqdm import tqdm

import fashion_mnist
from fashion_mnist import Record, Results, Setting, read_record, replacing

NETWORKS = 24


def records_in(folder):
    """Return the records in a results folder: bytes by file name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "runs").glob("*.json"))}


def wait_for_records(child, folder, count):
    """Wait until a running program has finished that many networks."""
    while child.poll() is None and len(records_in(folder)) < count:
        time.sleep(0.002)
    assert child.poll() is None, f"it ended by itself: {child.communicate()}"


@contextmanager
def limited_files(size):
    """Let every write beyond a file size fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Story:
    """One command, given four times: killed, interrupted, on a full disk, and let go on to the end.

    The first two times it is a program of its own, the last two in this process, which is faster.

    Attributes:
        folder: the results folder.
        after: for each time, what was in the folder afterwards: bytes by the record's name.
        done: for each time that ended by itself, the finished process.
    """

    def __init__(self, folder, start, everything):
        self.folder = folder / "results"
        self.after, self.done = {}, {}
        arguments, options = (*everything, "--results-dir", str(self.folder)), {"cwd": folder}

        child = start(*arguments, **options)
        wait_for_records(child, self.folder, 2)
        child.kill()
        child.communicate()
        self.after["killed"] = records_in(self.folder)

        child = start(*arguments, **options, preexec_fn=heed_interrupts)
        wait_for_records(child, self.folder, len(self.after["killed"]) + 2)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
        self.done["interrupted"] = (child.returncode, stdout, stderr)
        self.after["interrupted"] = records_in(self.folder)
        self.left_by_interrupt = leftovers_in(self.folder)

        for name, size in (("no room for a figure", 50_000), ("finished", -1)):
            with limited_files(size), redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
                try:
                    status = fashion_mnist.main(arguments)
                except SystemExit as end:
                    status = end.code
            self.done[name] = (status, out.getvalue(), err.getvalue())
            self.after[name] = records_in(self.folder)


@pytest.fixture(scope="module")
def story(tmp_path_factory, start, everything):
    return Story(tmp_path_factory.mktemp("story"), start, everything)


def test_killed(story):
    """kill -9 costs no more than the network that was being trained."""
    assert 2 <= len(story.after["killed"]) < NETWORKS
    for name in story.after["killed"]:
        read_record(story.folder / "runs" / name, Record)


def test_interrupted(story):
    """Ctrl-C ends with status 130 and a sentence that says how to go on."""
    status, _, stderr = story.done["interrupted"]
    assert status == 130, stderr
    assert "stopped" in stderr
    assert "same command" in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert len(story.after["killed"]) + 2 <= len(story.after["interrupted"]) < NETWORKS
    assert story.left_by_interrupt == []


@pytest.mark.parametrize("error", [None, RuntimeError, OSError, ValueError])
def test_an_error_on_the_way_out_of_ctrl_c(monkeypatch, capsys, tmp_path, error):
    """It is Ctrl-C all the same: tqdm's own, and what else may fail, whether it is one of ours or not."""

    class Lock:
        """Interrupted before it is acquired."""

        def acquire(self):
            raise KeyboardInterrupt

        def release(self):
            raise AssertionError("attempt to release recursive lock not owned by thread")

    def stopped(options):
        if error is None:
            monkeypatch.setattr(tqdm, "_lock", Lock(), raising=False)
            tqdm.write("")
        try:
            raise KeyboardInterrupt
        finally:
            raise error("on the way out")

    parser = fashion_mnist.make_parser()
    assert fashion_mnist.run_command(parser, stopped, ["train", "--results-dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "\nstopped; the same command goes on from here\n"


def test_no_room_for_a_figure(story, one_line):
    """The records, which are smaller, are there all the same."""
    status, stdout, stderr = story.done["no room for a figure"]
    assert status == 2
    one_line(stderr, "File too large")
    assert len(story.after["no room for a figure"]) == NETWORKS
    assert "saved" not in stdout


def test_finished(story, all_results):
    """In the end there is what there is after a run without interruption, down to the losses and tables."""
    assert story.done["finished"][0] == 0
    assert leftovers_in(story.folder) == []
    assert {path.relative_to(story.folder) for path in story.folder.rglob("*")} == {
        path.relative_to(all_results) for path in all_results.rglob("*")
    }
    for name, record in records_in(all_results).items():
        expected, found = json.loads(record), json.loads(story.after["finished"][name])
        for content in (expected, found):
            for quantity in ("epoch_seconds", "epoch_cpu_seconds"):
                seconds = content["record"].pop(quantity)
                assert len(seconds) == 2
                assert min(seconds) > 0
        assert found == expected
    expected, found = (table_without_times(folder) for folder in (all_results, story.folder))
    assert found == expected
    assert len(found) == 20


def table_without_times(folder):
    """Return the rows of the table of architectures, without seconds and what is computed from them."""
    with open(folder / "architectures.csv", newline="", encoding="utf-8") as file:
        return [
            {name: value for name, value in row.items() if "(s)" not in name and "Speed" not in name}
            for row in csv.DictReader(file)
        ]


def test_finished_runs_are_not_run_again(story):
    """A record stays, byte for byte, through all that comes later, and the output says that it was kept."""
    order = ["killed", "interrupted", "no room for a figure", "finished"]
    for earlier, later in itertools.pairwise(order):
        for name, record in story.after[earlier].items():
            assert story.after[later][name] == record, f"{name} was done again: {earlier}, then {later}"
    kept = [line for line in story.done["finished"][1].splitlines() if "kept from before" in line]
    assert len(kept) == NETWORKS


# One run at a time, in this process.

TRAIN = ("--dataset", "synthetic", "--epochs", "1", "--batch-size", "200", "--results-dir", "results")


@pytest.fixture
def trained(monkeypatch):
    """Count the settings that are trained, in their order."""
    settings, run = [], fashion_mnist.run

    def count(setting, *args, **kwargs):
        settings.append(setting)
        return run(setting, *args, **kwargs)

    monkeypatch.setattr(fashion_mnist, "run", count)
    monkeypatch.setattr(fashion_mnist.make_synthetic_images, "__defaults__", (400, 100))
    # Figures take longer than all the rest.
    monkeypatch.setattr(fashion_mnist, "plot_samples", lambda *_: None)
    monkeypatch.setattr(Results, "save_figure", lambda *_: None)
    return settings


def models_of(settings):
    return [setting.model for setting in settings]


def test_same_command_twice(main, trained):
    """The second time nothing is trained, and the results are the same."""
    first, second = main(*TRAIN), main(*TRAIN)
    assert first[0] == second[0] == 0
    assert models_of(trained) == ["pytorch", "custom"]
    assert second[1].replace(" (kept from before)", "") == first[1]


@pytest.mark.parametrize(
    "change",
    [
        ("--lr", "0.0021"),
        ("--epochs", "2"),
        ("--batch-size", "201"),
        ("--val-perc", "0.21"),
        ("--seed", "1"),
    ],
)
def test_other_settings(main, trained, change):
    """Nothing that was made with other settings is taken, and it is still there afterwards."""
    main(*TRAIN)
    before = records_in(Path("results"))
    main(*TRAIN, *change)
    assert len(trained) == 4
    assert trained[2:] != trained[:2]
    assert records_in(Path("results")).items() >= before.items()
    main(*TRAIN)
    assert len(trained) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"model": "pytorch"},
        {"hidden_size1": 8},
        {"hidden_size2": 8},
        {"hidden_size2": None},
        {"lr": 0.003},
        {"batch_size": 9},
        {"epochs": 2},
        {"val_perc": 0.1},
        {"seed": 1},
        {"dataset": "synthetic"},
    ],
    ids=str,
)
def test_record_of_another_setting(tmp_path, change):
    """A record says itself what it was made with; a file name alone is not believed."""
    results = Results(tmp_path)
    setting = Setting()
    other = replace(setting, **change)
    results.save(make_record(setting))
    assert results.load(setting, Record)
    assert results.load(other, Record) is None
    (path,) = results.runs.iterdir()
    path.rename(results.runs / f"{other.name}.json")
    assert results.load(other, Record) is None


def test_names_tell_close_settings_apart():
    """No two settings share a file name, however close their numbers are."""
    settings = [
        replace(Setting(), **{name: value})
        for name, values in {
            "lr": (0.1, 0.1 + 2**-54, 1e-5, 1e-6, 1.0, 10.0),
            "val_perc": (0.1, 0.1000000001, 0.0),
            "hidden_size1": (25, 256),
            "hidden_size2": (None, 12, 1288),
        }.items()
        for value in values
    ]
    assert len({setting.name for setting in settings}) == len(set(settings))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '{"setting": {}}', "\0\0\0", "\udcff"],
    ids=["empty", "cut off", "a list", "null", "a number", "half of it", "zeros", "no UTF-8"],
)
def test_broken_record(main, trained, text):
    """A record that is none is done again, and a line says so."""
    main(*TRAIN)
    broken = next(Path("results/runs").glob("*custom*"))
    broken.write_bytes(text.encode(errors="surrogateescape"))
    status, _, stderr = main(*TRAIN)
    assert status == 0
    assert stderr.startswith(str(broken))
    assert len(stderr.splitlines()) == 1
    assert models_of(trained) == ["pytorch", "custom", "custom"]
    read_record(broken, Record)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train_losses", []),
        ("train_losses", ["high"]),
        ("val_accuracies", [0.1, 0.2]),
        ("test_accuracy", "good"),
        ("test_accuracy", None),
        ("epoch_seconds", "long"),
        ("epoch_seconds", [1.0, 2.0]),
        ("epoch_cpu_seconds", []),
        ("cores", "many"),
        ("setting", {"model": "custom"}),
        ("optimizer", "Adam"),
        ("parameters", None),
    ],
    ids=str,
)
def test_record_with_a_wrong_field(main, trained, field, value):
    """So is a record that a hand has been in."""
    main(*TRAIN)
    broken = next(Path("results/runs").glob("*custom*"))
    content = json.loads(broken.read_text(encoding="utf-8"))
    content["record"][field] = value
    broken.write_text(json.dumps(content), encoding="utf-8")
    status, _, stderr = main(*TRAIN)
    assert status == 0
    assert stderr.startswith(str(broken))
    assert models_of(trained) == ["pytorch", "custom", "custom"]


def test_fresh(main, trained):
    """--fresh forgets the results of this command, and those alone."""
    main(*TRAIN)
    main(*TRAIN, "--seed", "1")
    before = records_in(Path("results"))
    main(*TRAIN, "--fresh")
    after = records_in(Path("results"))
    assert models_of(trained) == ["pytorch", "custom"] * 3
    assert before.keys() == after.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert len(changed) == 2
    assert all("seed0" in name for name in changed)


def test_one_model_first(main, trained):
    """Runs are kept one by one: what one model has done is there when both are asked for."""
    main(*TRAIN, "--models", "custom")
    main(*TRAIN)
    assert models_of(trained) == ["custom", "pytorch"]


def test_experiments_share_their_runs(main, trained):
    """The network as given is in all three experiments, and trained once."""
    main("learning-rates", *TRAIN, "--models", "custom")
    main("train", *TRAIN, "--models", "custom")
    assert len(trained) == 3
    assert len(set(trained)) == 3


def test_no_room_for_a_record(main, trained, one_line):
    """A record that can't be written whole is not there at all."""
    with limited_files(150):
        status, _, stderr = main(*TRAIN)
    assert status == 2
    one_line(stderr, "File too large")
    assert models_of(trained) == ["pytorch"]
    assert [path for path in Path("results").rglob("*") if path.is_file()] == []


def test_a_write_that_fails(tmp_path):
    """What was there stays there whole, and nothing else is left."""
    results = Results(tmp_path)
    results.save_text("old", "table.md")
    with pytest.raises(OSError, match="disk"), replacing(tmp_path / "table.md") as path:
        path.write_text("ne", encoding="utf-8")
        raise OSError("the disk is full")
    assert [path.name for path in tmp_path.glob("*.md*")] == ["table.md"]
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "old"
    assert leftovers_in(tmp_path) == []


def test_a_part_that_kill_left(main, trained):
    """Half a record that kill -9 has left is not taken for one, and is gone some time later.

    Not at once: a young one may be what another command is just writing.
    """
    results = Results(Path("results"))
    setting = replace(Setting(), model="custom", dataset="synthetic", epochs=1, batch_size=200)
    parts = []
    for age in (0, 7200):
        with pytest.raises(OSError), replacing(results.runs / f"{setting.name}.json") as part:
            raise OSError
        part.write_text('{"code"', encoding="utf-8")
        os.utime(part, (time.time() - age, time.time() - age))
        parts.append(part)
    assert main(*TRAIN)[0] == 0
    assert models_of(trained) == ["pytorch", "custom"]
    assert leftovers_in(Path("results")) == parts[:1]
