"""What is kept of the three kinds of runs: trainings, recipes, recovered grids."""

import json
import math
from dataclasses import asdict, replace

import pytest

from ee411 import bonus, data, models, training, unpermute
from ee411.bonus import RECIPES, Outcome
from ee411.experiments import code_of
from ee411.training import CURVES, Place, Run, RunRecord
from ee411.unpermute import Permuted, Recovered
from fashion_mnist import Results, hash_of

SETTING = Run("mlp", "nesterov", 0.01, batch_size=100, epochs=2, dataset="synthetic")
RECORD = RunRecord(SETTING, 89_610, {name: [0.5, 1.5] for name in CURVES}, 0.25, 1.5)
OUTCOME = Outcome(RECIPES["CNN"], 7, 0.5, 0.75, 1.5)
GRID = Recovered(Permuted("synthetic", 0, 900), list(range(784))[::-1], 0.9, 0.95, 0.5, 2.5, 7.5)
RECORDS = pytest.mark.parametrize("record", [RECORD, OUTCOME, GRID], ids=["record", "outcome", "grid"])


@RECORDS
def test_they_are_kept(tmp_path, record):
    results, setting, kind = Results(tmp_path, "code"), record.setting, type(record)
    assert results.load(setting, kind) is None
    results.save(record)
    assert results.load(setting, kind) == record
    assert results.load(replace(setting, seed=1), kind) is None
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{setting.name}.json"]


@RECORDS
def test_those_of_other_code_are_not_used(tmp_path, record):
    Results(tmp_path, "other").save(record)
    results = Results(tmp_path, "code")
    assert results.load(record.setting, type(record)) is None
    assert results.outdated == [record.setting]


def test_which_code_that_is():
    """That which decides what a run comes to, and no more: else all would be done again for nothing."""
    plain = hash_of(training, models, data)
    assert code_of(SETTING) == code_of(replace(SETTING, pixels="permuted")) == plain
    for pixels in ("recovered", "recovered-2000"):
        assert code_of(replace(SETTING, pixels=pixels)) == hash_of(training, models, data, unpermute)
    assert code_of(RECIPES["CNN"]) == hash_of(training, models, data, bonus)
    assert code_of(GRID.setting) == hash_of(data, unpermute)


@pytest.mark.parametrize(
    ("record", "change"),
    [
        (RECORD, {"curves": {}}),
        (RECORD, {"curves": RECORD.curves | {"test_loss": [0.5]}}),
        (RECORD, {"curves": RECORD.curves | {"other_loss": [0.5, 1.5]}}),
        (RECORD, {"curves": RECORD.curves | {"test_loss": [0.5, "1.5"]}}),
        (RECORD, {"setting": asdict(SETTING) | {"epochs": 3}}),
        (RECORD, {"setting": {"model": 1}}),
        (RECORD, {"parameters": 1.5}),
        (OUTCOME, {"accuracy": 75}),
        (OUTCOME, {"accuracy_of_views": -0.1}),
        (OUTCOME, {"accuracy": None}),
        (OUTCOME, {"setting": {"epochs": 2}}),
        (OUTCOME, {"setting": 0}),
        (OUTCOME, {"color": 1}),
        (GRID, {"order": [1, 2]}),
        (GRID, {"order": [0, *range(783)]}),
        (GRID, {"order": None}),
        (GRID, {"neighbours": "0.5"}),
        (RECORD, {"setting": asdict(SETTING) | {"place": "cpu"}}),
    ],
)
def test_broken_ones(tmp_path, capsys, record, change):
    """One line says so, and there is no record."""
    results, path = Results(tmp_path), tmp_path / "runs" / f"{record.setting.name}.json"
    results.save(record)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["record"] |= change
    path.write_text(json.dumps(content), encoding="utf-8")
    assert results.load(record.setting, type(record)) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: expected the record of a run")


@RECORDS
@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"code": "", "record": {}}', '{"code": "", "record'])
def test_foreign_ones(tmp_path, capsys, record, text):
    results = Results(tmp_path)
    (tmp_path / "runs" / f"{record.setting.name}.json").write_text(text, encoding="utf-8")
    assert results.load(record.setting, type(record)) is None
    assert "expected the record of a run" in capsys.readouterr().err


def test_diverged_ones_are_json(tmp_path):
    results = Results(tmp_path)
    results.save(replace(RECORD, curves=RECORD.curves | {"train_loss": [2.0, math.nan]}))
    text = (tmp_path / "runs" / f"{SETTING.name}.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["record"]["curves"]["train_loss"] == [2.0, None]
    assert math.isnan(results.load(SETTING, RunRecord).final("train_loss"))


def test_names_tell_settings_apart():
    others = [
        replace(SETTING, **change)
        for change in (
            {"model": "cnn"}, {"optimizer": "sgd"}, {"lr": 0.1}, {"batch_size": 8}, {"epochs": 3},
            {"seed": 1}, {"pixels": "permuted"}, {"dataset": "fashion-mnist"}, {"place": Place("cpu", 1, 2)},
        )
    ]  # fmt: skip
    grids = [
        Permuted(dataset, seed, images)
        for dataset in ("fashion-mnist", "synthetic")
        for seed in (0, 1)
        for images in (1000, 2000)
    ]
    settings = [SETTING, *others, *grids, *RECIPES.values()]
    assert len({setting.name for setting in settings}) == len(settings)
