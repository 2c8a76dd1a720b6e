"""Training from TFRecord files of tiles, as `test_train` does from images."""

from pathlib import Path

import pytest

from model import train
from tests.model import test_train
from tests.model.data.tile_records import write_files
from tests.model.test_train import assert_same_run, broken_off, eagerly, in_the_second_epoch, log, trained

pytestmark = test_train.pytestmark


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings of a training from ten tiles: an epoch of four, so that it takes three to see all of them."""
    pattern = write_files(tmp_path_factory.mktemp("records"))
    return {"sources": [], "records": {"pattern": pattern, "shuffle_buffer": 4}}


@pytest.fixture(scope="module")
def unbroken(records: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("unbroken"), Path("unread"), **records)


def test_an_interrupted_training_equals_an_uninterrupted_one(
    unbroken: Path, records: dict[str, object], tmp_path: Path
) -> None:
    run = broken_off(tmp_path, Path("unread"), in_the_second_epoch, **records)
    assert trained(tmp_path, Path("unread"), **records) == run
    assert_same_run(run, unbroken)


@pytest.mark.parametrize("change", [{"shuffle_buffer": 0}, {"augment": False}, {"shuffle_buffer": 5}])
def test_the_records_settings_are_applied(
    unbroken: Path, records: dict[str, dict[str, object]], tmp_path: Path, change: dict[str, object]
) -> None:
    run = trained(tmp_path, Path("unread"), **records | {"records": records["records"] | change})
    assert [row["loss"] for row in log(run)] != [row["loss"] for row in log(unbroken)]


def test_a_cache_changes_nothing(unbroken: Path, records: dict[str, dict[str, object]], tmp_path: Path) -> None:
    run = trained(tmp_path, Path("unread"), **records | {"records": records["records"] | {"cache": True}})
    assert_same_run(run, unbroken)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sources": [{"set": "one", "weight": 1.0}]}, "sources, records: expected one of the two, got both"),
        ({"records": None}, "sources, records: expected one of the two, got none"),
        ({"records": {"pattern": "nowhere/*"}}, "nowhere/*: expected TFRecord files, found none"),
        ({"records": {"pattern": "a", "shuffle_buffer": -1}}, "shuffle_buffer"),
        ({"rendered": [{"scene": "town", "weight": 1, "seeds": [1]}]}, "records: expected no rendered"),
        ({"hard_examples": {"share": 0.2}, "start": "somewhere"}, "records: expected no rendered and no hard_examples"),
        ({"callbacks": {}}, "callbacks.sets"),
    ],
)
def test_invalid_settings_are_rejected(
    records: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    named: str,
) -> None:
    with eagerly():
        assert train.main(["--config", str(test_train.settings(tmp_path, Path("unread"), **records | change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err
