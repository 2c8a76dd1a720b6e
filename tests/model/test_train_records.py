"""Training from TFRecord files of tiles, as `test_train` does from images."""

from pathlib import Path

import pytest

from model import train
from tests.model.data.tile_records import write_files
from tests.model.tiny_training import (
    assert_same_run,
    in_the_second_epoch,
    interrupted,
    log,
    settings,
    tiny_detector,
    trained,
)

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings of a training from ten tiles: an epoch of four, so that it takes three to see all of them."""
    pattern = write_files(tmp_path_factory.mktemp("records"))
    return {"sources": [], "records": {"pattern": pattern, "shuffle_buffer": 4}}


@pytest.fixture(scope="module")
def uninterrupted(records: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("uninterrupted"), Path("unread"), **records)


def test_an_interrupted_training_equals_an_uninterrupted_one(
    uninterrupted: Path, records: dict[str, object], tmp_path: Path
) -> None:
    run = interrupted(tmp_path, Path("unread"), in_the_second_epoch, **records)
    assert trained(tmp_path, Path("unread"), **records) == run
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize("change", [{"shuffle_buffer": 0}, {"augment": False}, {"shuffle_buffer": 5}])
def test_the_records_settings_are_applied(
    uninterrupted: Path, records: dict[str, dict[str, object]], tmp_path: Path, change: dict[str, object]
) -> None:
    run = trained(tmp_path, Path("unread"), **records | {"records": records["records"] | change})
    assert [row["loss"] for row in log(run)] != [row["loss"] for row in log(uninterrupted)]


def test_a_cache_changes_nothing(uninterrupted: Path, records: dict[str, dict[str, object]], tmp_path: Path) -> None:
    run = trained(tmp_path, Path("unread"), **records | {"records": records["records"] | {"cache": True}})
    assert_same_run(run, uninterrupted)


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
    with tiny_detector():
        assert train.main(["--config", str(settings(tmp_path, Path("unread"), **records | change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err
