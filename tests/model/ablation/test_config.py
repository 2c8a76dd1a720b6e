import dataclasses
from pathlib import Path
from typing import Any

import pytest

from geo.errors import ConfigError
from model.ablation.config import AblationConfig, select_experiments, training_configs, training_settings
from model.common.config import load_yaml
from model.training.config import RecordsConfig, TrainConfig
from tests.model.ablation.studies import TRAINING, load_study

ONE: dict[str, Any] = {"name": "a", "summary": "some", "seeds": [1]}
FILES = sorted(Path("configs/ablation").glob("*.yaml"))
TALK = Path("configs/ablation/talk.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiments": []}, "experiments: expected one or more"),
        ({"val_sets": []}, "val_sets: expected one or more"),
        ({"experiments": [ONE, ONE]}, "expected every name once, got a, a"),
        ({"experiments": [ONE | {"baseline": "b"}, ONE | {"name": "b"}]}, "expected an experiment before a, got 'b'"),
        ({"experiments": [ONE | {"baseline": "a"}]}, "expected an experiment before a, got 'a'"),
        ({"experiments": [ONE | {"name": "a/b"}]}, "a name that a folder can have, got 'a/b'"),
        ({"experiments": [ONE | {"name": ""}]}, "a name that a folder can have, got ''"),
        ({"experiments": [ONE | {"name": ".."}]}, "a name that a folder can have, got '..'"),
        ({"experiments": [ONE | {"name": "rendered"}]}, "a name that a folder can have, got 'rendered'"),
        ({"experiments": [ONE | {"seeds": []}]}, "different numbers for a"),
        ({"experiments": [ONE | {"seeds": [1, 1]}]}, "different numbers for a"),
        ({"experiments": [ONE | {"weight": 1}]}, "unknown key"),
        ({"experiments": [ONE | {"overrides": {"seed": 3}}]}, "expected no seed: the study sets them"),
        ({"training": TRAINING | {"name": "some", "run": "here"}}, "expected no name, run: the study sets them"),
    ],
)
def test_invalid_studies_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_study(tmp_path, **changes)


def test_an_experiment_has_the_settings_of_its_baselines_and_its_own(tmp_path: Path) -> None:
    experiments = [
        ONE | {"overrides": {"detector": {"kind": "grid", "grid": 8}, "batch": 3}},
        ONE | {"name": "b", "baseline": "a", "overrides": {"detector.boxes": 2}},
        ONE | {"name": "c", "baseline": "b", "overrides": {"detector.grid": 16, "records.augment": True}},
        ONE | {"name": "d"},
    ]
    config = load_study(tmp_path, experiments=experiments)
    a, b, c, d = (training_settings(config, experiment, 7) for experiment in config.experiments)
    assert a["detector"] == {"kind": "grid", "grid": 8}
    assert b["detector"] == {"kind": "grid", "grid": 8, "boxes": 2}
    assert c["detector"] == {"kind": "grid", "grid": 16, "boxes": 2}
    assert [each.get("batch") for each in (a, b, c, d)] == [3, 3, 3, None]
    assert (b["records"], c["records"]["augment"]) == (TRAINING["records"], True)
    own = {"name": "ablation-d", "data": str(config.data), "run": str(tmp_path / "run" / "d" / "7"), "seed": 7}
    assert d == TRAINING | own


def test_every_experiment_has_a_training_that_is_checked(tmp_path: Path) -> None:
    assert list(training_configs(load_study(tmp_path))) == ["01-a", "02-b"]
    for overrides, message in [
        ({"task": "classifier"}, "experiment a: unknown key task"),
        ({"epochs": 0}, "experiment a: epochs: expected a whole number from 1 on"),
        ({"epochs.some": 1}, "epochs: expected a mapping"),
    ]:
        with pytest.raises(ConfigError, match=message):
            training_configs(load_study(tmp_path, experiments=[ONE | {"overrides": overrides}]))


def test_experiments_are_selected_by_name_and_keep_their_order(tmp_path: Path) -> None:
    config = load_study(tmp_path)
    assert select_experiments(config, []) == config.experiments
    assert select_experiments(config, ["02-b"]) == config.experiments[1:]
    assert select_experiments(config, ["02-b", "01-a"]) == config.experiments
    with pytest.raises(ConfigError, match="expected one of 01-a, 02-b, got c"):
        select_experiments(config, ["01-a", "c"])


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_studies_of_the_project_compare_like_with_like(file: Path) -> None:
    known = training_configs(load_yaml(AblationConfig, file))
    assert len({(each.records.pattern if each.records else "", each.data) for each in known.values()}) == 1
    assert len({(each.batch, each.steps_per_epoch, each.epochs) for each in known.values()}) == 1


def test_the_talks_experiments_are_the_trainings_that_were_measured() -> None:
    config = load_yaml(AblationConfig, TALK)
    known = {name: dataclasses.asdict(training) for name, training in training_configs(config).items()}
    last = known["08-loss-weights"]
    assert last["records"] == dataclasses.asdict(RecordsConfig("out/tiles/*.tfrecord", 10000, augment=True))
    grid = {"kind": "grid", "backbone": "squeezenet", "layers": 12, "grid": 16, "boxes": 2}
    assert last["detector"].items() >= (grid | {"assignment": "swarm", "loss_weights": (1, 3, 30)}).items()
    assert (last["batch"], last["steps_per_epoch"], last["epochs"], last["learning_rate"]) == (20, 500, 4, 0.003)
    in_order = [known[name]["detector"] for name in list(known)[:6]]
    assert [(each["grid"], each["boxes"], each["assignment"]) for each in in_order] == [
        (4, 1, "plain"),
        (4, 1, "plain"),
        (4, 4, "plain"),
        (8, 1, "plain"),
        (16, 2, "plain"),
        (16, 2, "swarm"),
    ]
    assert [each["records"]["shuffle_buffer"] for each in known.values()] == [0] + [10000] * 11
    assert [each["records"]["augment"] for each in known.values()] == [False] * 6 + [True] * 6
    backbones = [(known[name]["detector"]["backbone"], known[name]["detector"]["layers"]) for name in list(known)[8:11]]
    assert backbones == [("darknet", 10), ("squeezenet", 17), ("darknet", 17)]
    shipped = known["12-shipped"]
    assert (shipped["detector"]["kind"], shipped["start"], shipped["frozen_blocks"]) == ("anchor_free", "imagenet", 3)
    assert shipped["learning_rate"] == 0.001


def test_the_grid_training_is_that_of_the_talks_last_change() -> None:
    experiment = training_configs(load_yaml(AblationConfig, TALK))["08-loss-weights"]
    training = load_yaml(TrainConfig, Path("configs/train/grid.yaml"))
    assert dataclasses.replace(training, name=experiment.name, run=experiment.run) == experiment
