from pathlib import Path
from typing import Any

import pytest

from geo.errors import ConfigError
from model.ablation.config import LadderConfig, chosen, trainings
from model.common.config import load_yaml
from tests.model.ablation.ladders import read

ONE: dict[str, Any] = {"name": "a", "config": "a.yaml", "idea": "some", "seeds": [1]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rungs": []}, "rungs: expected one or more"),
        ({"val_sets": []}, "val_sets: expected one or more"),
        ({"rungs": [ONE, ONE]}, "expected every name once, got a, a"),
        ({"rungs": [ONE | {"against": "b"}, ONE | {"name": "b"}]}, "expected a rung before a, got 'b'"),
        ({"rungs": [ONE | {"against": "a"}]}, "expected a rung before a, got 'a'"),
        ({"rungs": [ONE | {"name": "a/b"}]}, "a name that a folder can have, got 'a/b'"),
        ({"rungs": [ONE | {"name": ""}]}, "a name that a folder can have, got ''"),
        ({"rungs": [ONE | {"name": ".."}]}, "a name that a folder can have, got '..'"),
        ({"rungs": [ONE | {"name": "rendered"}]}, "a name that a folder can have, got 'rendered'"),
        ({"rungs": [ONE | {"seeds": []}]}, "different numbers for a"),
        ({"rungs": [ONE | {"seeds": [1, 1]}]}, "different numbers for a"),
        ({"rungs": [ONE | {"weight": 1}]}, "unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, **changes)


def test_every_rung_has_a_training(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert list(trainings(config)) == ["01-a", "02-b"]
    (tmp_path / "02-b.yaml").write_text("task: classifier")
    with pytest.raises(ConfigError, match="task"):
        trainings(config)
    (tmp_path / "02-b.yaml").unlink()
    with pytest.raises(ConfigError, match=r"02-b\.yaml"):
        trainings(config)


def test_rungs_are_chosen_by_name_and_keep_their_order(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert chosen(config, []) == config.rungs
    assert chosen(config, ["02-b"]) == config.rungs[1:]
    assert chosen(config, ["02-b", "01-a"]) == config.rungs
    with pytest.raises(ConfigError, match="expected one of 01-a, 02-b, got c"):
        chosen(config, ["01-a", "c"])


@pytest.mark.parametrize("file", sorted(Path("configs/ladder").glob("*.yaml")), ids=str)
def test_the_ladders_that_come_with_it_are_sound(file: Path) -> None:
    config = load_yaml(LadderConfig, file)
    known = trainings(config)
    # Same data, same steps: what differs is the idea.
    assert len({(each.records.pattern if each.records else "", each.data) for each in known.values()}) == 1
    assert len({(each.batch, each.steps_per_epoch, each.epochs) for each in known.values()}) == 1


def test_every_rung_of_the_project_is_on_its_ladder() -> None:
    config = load_yaml(LadderConfig, Path("configs/ladder/default.yaml"))
    assert [rung.config for rung in config.rungs] == sorted(Path("configs/train/ladder").glob("*.yaml"))
    assert all(rung.config.stem == rung.name for rung in config.rungs)
