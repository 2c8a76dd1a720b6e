import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from geo.errors import ConfigError
from geo.types import Detections
from model import evaluate, weights_io
from model.detector import DetectorConfig
from model.metrics import Outcomes
from model.predictor import FakePredictor
from model.weights_io import CONFIG_FILE, WEIGHTS_FILE, ModelConfig
from tests.model.photos import picture, write_rendered, write_set

SCAN = {
    "tiling": {"levels_m": [0.5, 1.0], "tile_px": 128, "halo_px": 16},
    "suppression": {"iou": 0.5, "containment": 0.8},
    "model": "not looked at",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config over one set of two photos, with the fake detector in the place of the model."""
    model = tmp_path / "model"
    model.mkdir()
    weights = b"no numbers, but whole"
    described = ModelConfig("fake", DetectorConfig(), 0.95, hashlib.sha256(weights).hexdigest())
    (model / WEIGHTS_FILE).write_bytes(weights)
    (model / CONFIG_FILE).write_text(yaml.safe_dump(asdict(described)))
    monkeypatch.setattr(evaluate, "load_predictor", lambda *_: FakePredictor())
    (tmp_path / "scan.yaml").write_text(yaml.safe_dump(SCAN))
    write_set(tmp_path / "data" / "bright", {"a": picture(), "b": picture(0.9)})
    return write_config(tmp_path)


def write_config(folder: Path, **changes: object) -> Path:
    content: dict[str, object] = {
        "data": str(folder / "data"),
        "sets": ["bright"],
        "split": "val",
        "scan": str(folder / "scan.yaml"),
        "model": str(folder / "model"),
        "min_score": 0.5,
        "batch_size": 2,
        "output": str(folder / "out" / "result.json"),
        **changes,
    }
    file = folder / "evaluate.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def result(config: Path, *arguments: str) -> dict[str, Any]:
    assert evaluate.main(["--config", str(config), *arguments]) == 0
    content = json.loads((config.parent / "out" / "result.json").read_text())
    assert isinstance(content, dict)
    return content


def test_a_detector_that_finds_everything_scores_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(config)
    for name in ("bright", "together"):
        row = found["sets"][name]
        assert (row["pictures"], row["airplanes"]) == (2, 6)
        assert row["ap50"] == row["ap75"] == row["precision"] == row["recall"] == row["best_f1"] == 1
        assert row["false_per_picture"] == 0
        assert row["best_f1_min_score"] == pytest.approx(0.9 * 231 / 255, abs=0.01)
    assert found["model"] == FakePredictor.name
    assert (found["split"], found["min_score"]) == ("val", 0.5)
    assert found["scan"]["tiling"]["levels_m"] == [0.5, 1.0]
    printed = capsys.readouterr().out
    assert "bright" in printed
    assert "together" in printed


def test_what_is_missed_and_what_is_wrong_is_counted(config: Path) -> None:
    dim, wrong = picture(), picture()
    dim[30:60, 20:45] = 100  # below what the fake calls bright
    wrong[70:82, 60:75] = 140
    write_set(config.parent / "data" / "mixed", {"dim": dim, "wrong": wrong})
    found = result(config, "--sets", "mixed", "bright")["sets"]
    row = found["mixed"]
    assert (row["airplanes"], row["recall"], row["precision"]) == (6, 5 / 6, 5 / 6)
    assert row["false_per_picture"] == 0.5
    # Five of six at full precision: recalls 0 to 0.83 of the 101.
    assert row["ap50"] == pytest.approx(84 / 101)
    # At the best threshold the wrong one is left out.
    assert row["best_f1"] == pytest.approx(10 / 11)
    assert row["best_f1_min_score"] == pytest.approx(231 / 255, abs=0.01)
    assert found["bright"]["recall"] == 1
    assert found["together"]["airplanes"] == 12
    assert found["together"]["recall"] == pytest.approx(11 / 12)


def test_the_threshold_is_the_models_own_unless_one_is_given(config: Path) -> None:
    assert result(write_config(config.parent, min_score=None))["min_score"] == FakePredictor.default_min_score
    row = result(config, "--min-score", "0.92")["sets"]["bright"]
    assert row["recall"] == 2 / 6
    assert row["ap50"] == 1  # average precision asks for no threshold


def test_boxes_that_fit_badly_count_at_the_looser_overlap_alone(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(FakePredictor):
        def __call__(self, images: Any) -> list[Detections]:
            return [
                Detections(found.boxes + np.array([-3, -3, 3, 3]), found.scores, found.resolution_m)
                for found in super().__call__(images)
            ]

    monkeypatch.setattr(evaluate, "load_predictor", lambda *_: Wide())
    one_level = SCAN | {"tiling": {"levels_m": [0.5], "tile_px": 256, "halo_px": 16}}
    (config.parent / "scan.yaml").write_text(yaml.safe_dump(one_level))
    row = result(config)["sets"]["bright"]
    assert row["ap50"] == 1
    assert row["ap75"] < 0.5


def test_record_writes_the_best_threshold_into_the_model(config: Path) -> None:
    wrong = picture()
    wrong[70:82, 60:75] = 140
    write_set(config.parent / "data" / "dev", {str(number): wrong for number in range(20)}, split="train")
    model = config.parent / "model"
    before = weights_io.read_config(model)
    row = result(config, "--sets", "dev", "--split", "dev", "--record")["sets"]["together"]
    assert row["pictures"] == 2
    after = weights_io.read_config(model)
    assert after.min_score == row["best_f1_min_score"]
    assert after.min_score == pytest.approx(231 / 255, abs=0.01)
    assert (after.name, after.sha256, after.detector) == (before.name, before.sha256, before.detector)
    # It is the least score that still finds every airplane: nothing is lost to rounding.
    assert result(config, "--min-score", str(after.min_score))["sets"]["bright"]["recall"] > 0
    again = result(config, "--sets", "dev", "--split", "dev", "--min-score", str(after.min_score))["sets"]["dev"]
    assert (again["recall"], again["precision"]) == (1, 1)


def test_rendered_scenes_are_measured_by_their_own_georeference(config: Path) -> None:
    write_rendered(config.parent / "data" / "rendered", {"a": picture(), "b": picture(0.9)})
    found = result(config, "--sets", "rendered", "bright")
    row = found["sets"]["rendered"]
    assert (row["airplanes"], row["ap75"], row["recall"], row["precision"]) == (6, 1, 1, 1)
    # Two pictures of airplanes of 15, 14 and 22.5 m, whose resolution is known in both sets.
    for name in ("rendered", "bright"):
        sizes = found["histograms"][name]["size_m"]
        assert {size: count for size, count in sizes.items() if count} == {"10": 4, "20": 2}
    assert sum(found["histograms"]["rendered"]["size_m"].values()) == 6


def test_histograms_tell_scores_of_what_is_right(config: Path) -> None:
    wrong = picture()
    wrong[70:82, 60:75] = 150
    write_set(config.parent / "data" / "mixed", {"a": wrong})
    scores = result(config, "--sets", "mixed")["histograms"]["mixed"]["score"]
    assert list(scores) == [f"{tenth / 10:.1f}" for tenth in range(10)]
    assert {low: count for low, count in scores.items() if count} == {"0.9": 3}


def test_a_set_without_airplanes_has_false_hits_and_no_average(config: Path) -> None:
    folder = write_set(config.parent / "data" / "empty", {"a": picture()})
    content = json.loads((folder / "annotations.json").read_text())
    content["images"][0]["boxes"] = []
    (folder / "annotations.json").write_text(json.dumps(content))
    row = result(config, "--sets", "empty")["sets"]["empty"]
    assert (row["false_per_picture"], row["ap50"], row["recall"], row["best_f1"]) == (3, None, None, None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--data", "nowhere"], "nowhere"),
        (["--sets", "bright", "unheard-of"], "unheard-of"),
        (["--split", "test"], "split"),
        (["--scan", "nowhere.yaml"], "nowhere.yaml"),
        (["--min-score", "1.5"], "min_score"),
        (["--output", "."], "output"),
        (["--output", "evaluate.yaml/result.json"], "output"),
        (["--record"], "dev"),
    ],
)
def test_a_command_that_is_wrong_ends_with_one_line_and_2(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    monkeypatch.chdir(config.parent)
    assert evaluate.main(["--config", "evaluate.yaml", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("model.evaluate: ")
    assert captured.err.count("\n") == 1
    assert named in captured.err
    assert not (config.parent / "out" / "result.json").exists()


@pytest.mark.parametrize(
    "change", [{"batch_size": 0}, {"sets": []}, {"sets": "bright"}, {"min_score": -0.1}, {"treshold": 0.5}]
)
def test_settings_that_do_not_fit_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    assert evaluate.main(["--config", str(write_config(config.parent, **change))]) == 2
    message = capsys.readouterr().err
    assert next(iter(change)) in message
    assert message.count("\n") == 1


def test_a_model_that_is_not_there_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # takes the fake away
    assert evaluate.main(["--config", str(config), "--model", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_a_photo_that_cannot_be_read_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "data" / "bright" / "b.png").write_text("no picture")
    assert evaluate.main(["--config", str(config)]) == 2
    assert "b.png" in capsys.readouterr().err


def test_no_threshold_is_recorded_where_nothing_was_found(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(config.parent / "data" / "dark", {str(n): picture(0.3) for n in range(10)}, split="train")
    before = (config.parent / "model" / CONFIG_FILE).read_text()
    assert evaluate.main(["--config", str(config), "--sets", "dark", "--split", "dev", "--record"]) == 2
    assert "threshold" in capsys.readouterr().err
    assert (config.parent / "model" / CONFIG_FILE).read_text() == before


@pytest.mark.parametrize("text", ["suppression: {iou: 0.5, containment: 0.8}", "tiling: {levels_m: [0.5]}", "{}"])
def test_settings_of_the_pipeline_that_lack_a_part_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"{file}.*(tiling|suppression)"):
        evaluate.read_scan_config(file)


def test_the_settings_of_the_project_fit() -> None:
    scan = evaluate.read_scan_config(Path("configs/pipeline/default.yaml"))
    assert scan.tiling.tile_px % 32 == 0
    from model import config as config_file

    for file in sorted(Path("configs/evaluate").glob("*.yaml")):
        config_file.load(evaluate.EvaluateConfig, file)


def test_a_table_has_a_line_for_every_set() -> None:
    of = Outcomes(np.array([0.5]), np.array([True]), 2, 1)
    rows = {"one": evaluate.row({0.5: of, 0.75: of}, 0.4), "the other": evaluate.row({0.5: of, 0.75: of}, 0.6)}
    lines = evaluate.table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[0] for line in lines] == ["set", "one", "the"]
