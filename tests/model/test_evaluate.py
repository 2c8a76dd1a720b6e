import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from geo.errors import ConfigError
from geo.raster.header import read_header
from geo.types import Detections
from model import evaluate
from model.data.sources import read_rendered_scenes
from model.detectors.config import DetectorConfig
from model.evaluation.measure import EvaluateConfig
from model.inference import model_folder
from model.inference.model_folder import CONFIG_FILE, WEIGHTS_FILE, ModelConfig
from model.inference.predictor import FakePredictor
from model.inference.scan import scan
from model.inference.scan_config import ScanConfig, read_scan_config
from tests.model.image_sets import make_pixels, write_rendered, write_set

SCAN = {
    "tiling": {"levels_m": [0.5, 1.0], "tile_px": 128, "halo_px": 16},
    "suppression": {"iou": 0.5, "containment": 0.8},
    "model": "not looked at",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with one set of two images, and the fake detector as its model."""
    model = tmp_path / "model"
    model.mkdir()
    weights = b"not really weights"
    described = ModelConfig("fake", DetectorConfig(), 0.95, hashlib.sha256(weights).hexdigest())
    (model / WEIGHTS_FILE).write_bytes(weights)
    (model / CONFIG_FILE).write_text(yaml.safe_dump(asdict(described)))
    monkeypatch.setattr(
        "model.evaluation.measure.load_predictor", lambda *_, calibrated=True, **__: Fake(model, calibrated)
    )
    (tmp_path / "scan.yaml").write_text(yaml.safe_dump(SCAN))
    write_set(tmp_path / "data" / "bright", {"a": make_pixels(), "b": make_pixels(0.9)})
    return write_config(tmp_path)


class Fake(FakePredictor):
    """The fake detector, with the calibration of a model folder."""

    def __init__(self, model: Path, calibrated: bool) -> None:
        self.calibration = model_folder.read_config(model).calibration if calibrated else None

    def __call__(self, images: Any) -> list[Detections]:
        each = super().__call__(images)
        calibration = self.calibration
        if calibration is None:
            return each
        return [replace(detected, scores=calibration.apply(detected.scores, detected.boxes)) for detected in each]


def write_config(folder: Path, **changes: object) -> Path:
    content: dict[str, object] = {
        "data": str(folder / "data"),
        "sets": ["bright"],
        "split": "test",
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


def test_a_perfect_detector_has_perfect_metrics(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = result(config)
    for part in ("bright", "together"):
        row = content["sets"][part]
        assert (row["pictures"], row["airplanes"]) == (2, 6)
        for name in ("ap50", "ap75", "ap", "precision", "recall", "mean_recall", "best_f1"):
            assert row[name] == 1
        assert row["false"] == 0
        assert row["false_per_picture"] == 0
        assert row["best_f1_min_score"] == pytest.approx(0.9 * 231 / 255, abs=0.01)
    assert content["model"] == FakePredictor.name
    assert (content["split"], content["min_score"]) == ("test", 0.5)
    assert content["scan"]["tiling"]["levels_m"] == [0.5, 1.0]
    printed = capsys.readouterr().out
    assert "bright" in printed
    assert "together" in printed


def test_missed_airplanes_and_false_detections_are_counted(config: Path) -> None:
    dim, wrong = make_pixels(), make_pixels()
    dim[30:60, 20:45] = 100  # below what the fake calls bright
    wrong[70:82, 60:75] = 140
    write_set(config.parent / "data" / "mixed", {"dim": dim, "wrong": wrong})
    content = result(config, "--sets", "mixed", "bright")["sets"]
    row = content["mixed"]
    assert (row["airplanes"], row["recall"], row["precision"]) == (6, 5 / 6, 5 / 6)
    assert row["false_per_picture"] == 0.5
    # Five of six at full precision: the 84 recalls from 0 to 0.83.
    assert row["ap50"] == pytest.approx(84 / 101)
    # The best threshold drops the false detection.
    assert row["best_f1"] == pytest.approx(10 / 11)
    assert row["best_f1_min_score"] == pytest.approx(231 / 255, abs=0.01)
    assert content["bright"]["recall"] == 1
    assert content["together"]["airplanes"] == 12
    assert content["together"]["recall"] == pytest.approx(11 / 12)


def test_the_threshold_is_the_models_own_unless_one_is_given(config: Path) -> None:
    assert result(write_config(config.parent, min_score=None))["min_score"] == FakePredictor.default_min_score
    row = result(config, "--min-score", "0.92")["sets"]["bright"]
    assert row["recall"] == 2 / 6
    assert row["ap50"] == 1  # does not depend on the threshold


def test_imprecise_boxes_match_at_the_lower_iou_only(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(FakePredictor):
        def __call__(self, images: Any) -> list[Detections]:
            return [
                replace(detected, boxes=detected.boxes + np.array([-3, -3, 3, 3]))
                for detected in super().__call__(images)
            ]

    monkeypatch.setattr("model.evaluation.measure.load_predictor", lambda *_, **__: Wide())
    one_level = SCAN | {"tiling": {"levels_m": [0.5], "tile_px": 256, "halo_px": 16}}
    (config.parent / "scan.yaml").write_text(yaml.safe_dump(one_level))
    row = result(config)["sets"]["bright"]
    assert row["ap50"] == 1
    assert row["ap75"] < 0.5


def write_val(config: Path, *levels: int) -> None:
    """Write a set whose val split has two of 20 images, each with airplanes and false ones of these red levels."""
    wrong = make_pixels()
    for number, level in enumerate(levels):
        wrong[64:88, 10 + 30 * number : 35 + 30 * number] = level
    write_set(config.parent / "data" / "dev", {str(number): wrong for number in range(20)}, split="train")


def test_record_writes_calibration_and_the_best_threshold_into_the_model(config: Path) -> None:
    write_val(config, 140, 145, 235)  # one of the false ones between the airplanes
    model = config.parent / "model"
    before = model_folder.read_config(model)
    content = result(config, "--sets", "dev", "--split", "val", "--record")
    row = content["sets"]["together"]
    assert row["pictures"] == 2
    after = model_folder.read_config(model)
    assert (after.name, after.sha256, after.detector) == (before.name, before.sha256, before.detector)
    assert after.calibration is not None
    assert content["calibration"] == asdict(after.calibration)
    # Raw scores 231/255 and above are airplanes, those of 145/255 and less are not; the one of 235/255 is too small.
    boxes = np.array([[0.0, 0, 25, 24], [140, 90, 185, 130]])
    low, high = after.calibration.apply(np.array([145 / 255, 231 / 255]), boxes)
    assert low < 0.1 < 0.4 < high
    assert low < after.min_score == content["min_score"] < row["best_f1_min_score"]
    assert (row["recall"], row["false"]) == (1, 0)


def test_recording_predicts_raw_scores_and_then_calibrated_ones(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(*_: object, calibrated: bool = True, **__: object) -> FakePredictor:
        asked.append(calibrated)
        return FakePredictor()

    monkeypatch.setattr("model.evaluation.measure.load_predictor", load)
    write_val(config, 140)
    result(config, "--sets", "dev", "--split", "val", "--record")
    assert asked == [False, True]
    result(config)
    assert asked == [False, True, True]


def test_rendered_scenes_take_their_resolution_from_their_georeference(config: Path) -> None:
    write_rendered(config.parent / "data" / "rendered", {"a": make_pixels(), "b": make_pixels(0.9)})
    content = result(config, "--sets", "rendered", "bright")["sets"]
    row = content["rendered"]
    assert (row["airplanes"], row["ap75"], row["recall"], row["precision"]) == (6, 1, 1, 1)
    # Two images of airplanes of 30, 28 and 45 px: 15, 14 and 22.5 m. The resolution is known in both sets.
    for name in ("rendered", "bright"):
        sizes = {size["least"]: size["airplanes"] for size in content[name]["by_size_m"] if size["airplanes"]}
        assert sizes == ({10: 2, 15: 2, 20: 2} if name == "bright" else sizes)
        assert sum(sizes.values()) == 6
    assert {size["least"]: size["airplanes"] for size in content["rendered"]["by_size_px"] if size["airplanes"]} == {
        24: 4,
        32: 2,
    }


def test_a_set_may_be_named_by_its_path(config: Path) -> None:
    elsewhere = write_rendered(config.parent / "elsewhere" / "scenes", {"a": make_pixels()})
    assert result(config, "--sets", str(elsewhere), "bright")["sets"]["scenes"]["airplanes"] == 3


def test_two_sets_of_one_name_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = write_rendered(config.parent / "elsewhere" / "bright", {"a": make_pixels()})
    assert evaluate.main(["--config", str(config), "--sets", str(elsewhere), "bright"]) == 2
    assert "bright twice" in capsys.readouterr().err


def test_rendered_sets_are_not_among_all_sets_together(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_rendered(config.parent / "drawn", {"a": make_pixels(), "b": make_pixels()}, airplanes=False)
    monkeypatch.setattr("model.data.sources.render_scenes", lambda *_: read_rendered_scenes(folder))
    content = result(write_config(config.parent, rendered=[{"scene": "town", "seeds": [1, 2]}]))["sets"]
    assert list(content) == ["bright", "together", "rendered town 0.5 m"]
    assert content["together"] == content["bright"]
    row = content["rendered town 0.5 m"]
    assert (row["pictures"], row["airplanes"], row["false"], row["false_elsewhere"]) == (2, 0, 6, 6)
    # Two scenes of 200 x 150 px of about 0.5 m.
    assert row["background_km2"] == pytest.approx(2 * 200 * 150 * 0.25e-6, rel=0.01)
    assert row["false_per_100km2"] == pytest.approx(600 / row["background_km2"])


def test_detections_of_a_file_give_the_metrics_of_the_model(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = make_pixels()
    wrong[70:82, 60:75] = 140
    write_set(config.parent / "data" / "mixed", {"c": wrong, "d": make_pixels(0.8)})
    expected = result(config, "--sets", "bright", "mixed")
    scan = read_scan_config(config.parent / "scan.yaml")
    rows, features = [], []
    for folder, name in (("bright", "a"), ("bright", "b"), ("mixed", "c"), ("mixed", "d")):
        path = config.parent / "data" / folder / f"{name}.png"
        detected = detect(path, scan)
        for (left, top, right, bottom), score in zip(detected.boxes.tolist(), detected.scores.tolist(), strict=True):
            bbox = [left, top, right - left, bottom - top]
            rows.append({"image_id": path.name, "category_id": 1, "bbox": bbox, "score": score})
            box = {"xmin_px": left, "ymin_px": top, "xmax_px": right, "ymax_px": bottom}
            properties = {"scene_uri": str(path), "scene_id": "?", "score": score, "model": "m@1", **box}
            features.append({"type": "Feature", "geometry": None, "properties": properties})
    (config.parent / "coco.json").write_text(json.dumps(rows))
    (config.parent / "ours.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    monkeypatch.setattr("model.evaluation.measure.load_predictor", None)  # nothing is run
    for file, model in (("coco.json", "coco.json"), ("ours.geojson", "m@1")):
        given = result(config, "--sets", "bright", "mixed", "--detections", str(config.parent / file))
        assert given["model"] == model
        for part in ("sets", "curves", "min_score"):
            assert given[part] == expected[part]


def detect(path: Path, config: ScanConfig) -> Detections:
    return scan(read_header(str(path), 0.5), config, FakePredictor(), 2)


def test_a_set_without_airplanes_has_no_average_precision(config: Path) -> None:
    folder = write_set(config.parent / "data" / "empty", {"a": make_pixels()})
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
        (["--split", "every"], "split"),
        (["--scan", "nowhere.yaml"], "nowhere.yaml"),
        (["--min-score", "1.5"], "min_score"),
        (["--output", "."], "name of a file"),
        (["--output", "evaluate.yaml/result.json"], "evaluate.yaml/result.json"),
        (["--record"], "val"),
        (["--record", "--split", "val", "--detections", "some.json"], "--record"),
        (["--detections", "nowhere.json"], "nowhere.json"),
        (["--page", "."], "name of a file"),
    ],
)
def test_wrong_commands_exit_with_one_line_and_2(
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
    "change",
    [
        {"batch_size": 0},
        {"sets": []},
        {"sets": "bright"},
        {"min_score": -0.1},
        {"treshold": 0.5},
        {"rendered": [{"scene": "moon", "seeds": [1]}]},
        {"rendered": [{"scene": "town", "seeds": []}]},
    ],
)
def test_invalid_configs_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    assert evaluate.main(["--config", str(write_config(config.parent, **change))]) == 2
    message = capsys.readouterr().err
    assert next(iter(change)) in message
    assert message.count("\n") == 1


def test_a_missing_model_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # takes the fake away
    assert evaluate.main(["--config", str(config), "--model", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "named"), [([], "--trust-model"), (["--record", "--split", "val"], "--record")])
def test_a_saved_model_is_not_loaded_without_trust_and_not_recorded(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.undo()
    (config.parent / "theirs").mkdir()
    (config.parent / "theirs" / "saved_model.pb").write_bytes(b"who knows")
    assert evaluate.main(["--config", str(config), "--model", str(config.parent / "theirs"), *arguments]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert message.count("\n") == 1


def test_trust_is_passed_to_the_loader(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(*_: object, trusted: bool = False, **__: object) -> FakePredictor:
        asked.append(trusted)
        return FakePredictor()

    monkeypatch.setattr("model.evaluation.measure.load_predictor", load)
    result(config)
    result(config, "--trust-model")
    assert asked == [False, True]


def test_the_page_is_written(config: Path) -> None:
    page = config.parent / "pages" / "result.html"
    content = result(config, "--page", str(page))
    assert content["model"] in page.read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["result.html"]


def test_an_unreadable_image_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "data" / "bright" / "b.png").write_text("no picture")
    assert evaluate.main(["--config", str(config)]) == 2
    assert "b.png" in capsys.readouterr().err


def test_nothing_is_recorded_without_detections(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(config.parent / "data" / "dark", {str(n): make_pixels(0.3) for n in range(10)}, split="train")
    before = (config.parent / "model" / CONFIG_FILE).read_text()
    assert evaluate.main(["--config", str(config), "--sets", "dark", "--split", "val", "--record"]) == 2
    assert "calibrate" in capsys.readouterr().err
    assert (config.parent / "model" / CONFIG_FILE).read_text() == before


@pytest.mark.parametrize("text", ["suppression: {iou: 0.5, containment: 0.8}", "tiling: {levels_m: [0.5]}", "{}"])
def test_incomplete_configs_of_the_pipeline_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"{file}.*(tiling|suppression)"):
        read_scan_config(file)


def test_the_configs_of_the_project_are_valid() -> None:
    scan = read_scan_config(Path("configs/pipeline/default.yaml"))
    assert scan.tiling.tile_px % 32 == 0
    from model.common.config import load_yaml

    for file in sorted(Path("configs/evaluate").glob("*.yaml")):
        load_yaml(EvaluateConfig, file)
