"""The training of the keypoint network, from its config to a model in LiteRT."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from geo.errors import FinderError
from model import train
from model.data.keypoints import AirplanePatches
from model.detectors.keypoints.heat_maps import Keypoints
from model.inference.keypoints import MODEL_FILE, KeypointPredictor
from model.training.keypoints import fit_expected_error, measure_keypoints
from tests.model.data.test_keypoints import BOX, POINTS, dots, labelled

CONFIG = {
    "task": "keypoints",
    "name": "tiny",
    "sources": [{"set": "made-up", "weight": 1}],
    "batch": 4,
    "steps_per_epoch": 2,
    "epochs": 1,
}


def write_config(folder: Path, **changes: object) -> Path:
    """A data set whose three groups are train, val and test, and the config of a training on it."""
    data = folder / "data" / "made-up"
    if not data.exists():
        labelled(data)
        content = json.loads((data / "annotations.json").read_text())
        (image,) = content["images"]
        # Ten groups to train on, of which one becomes val.
        content["images"] = [dict(image, group=f"g{number}") for number in range(10)] + [dict(image, split="test")]
        content["images"][0]["split"] = "val"
        (data / "annotations.json").write_text(json.dumps(content))
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(CONFIG | {"data": str(folder / "data"), "run": str(folder / "run")} | changes))
    return file


def test_a_training_ends_in_a_model_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--config", str(write_config(tmp_path))]) == 0
    folder = tmp_path / "run" / "model"
    assert f"model: {folder}" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    predictor = KeypointPredictor(str(folder))
    assert result["sha256"] == predictor.config.sha256
    assert result["airplanes"] == 1
    keypoints = predictor(np.zeros((2, 64, 64, 3), np.uint8))
    assert keypoints.points.shape == (2, 4, 2)
    assert (predictor.sd_px(keypoints) > 0).all()
    # The same command has nothing left to train, and gives the same model.
    before = (folder / MODEL_FILE).read_bytes()
    assert train.main(["--config", str(write_config(tmp_path))]) == 0
    assert (folder / MODEL_FILE).read_bytes() == before
    (folder / MODEL_FILE).write_bytes(before[:-1])
    with pytest.raises(FinderError, match="expected the file with sha256"):
        KeypointPredictor(str(folder))


def test_val_scenes_are_not_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = {"scene": "airport", "size_px": 1200, "resolution_m": 0.5}
    config = write_config(tmp_path, rendered=[scenes | {"seeds": [3, 4], "weight": 1}], val=[scenes | {"seeds": [4]}])
    assert train.main(["--config", str(config)]) == 2
    assert "expected seeds that rendered airport 0.5 m is not trained on" in capsys.readouterr().err


def test_measures_are_those_of_the_geometry() -> None:
    patches = AirplanePatches(
        np.stack([dots(POINTS, 128)] * 3), np.stack([POINTS] * 3), np.stack([BOX] * 3), np.ones(3)
    )
    truth = (POINTS - (64, 64)) * 64 / 90 + 32
    reversed_points = truth[[1, 0, 3, 2]]
    stretched = truth.copy()
    stretched[0] = truth[1] + 1.1 * (truth[0] - truth[1])
    points = np.stack([truth, reversed_points, stretched])
    measured = measure_keypoints(Keypoints(points, np.ones((3, 4)), np.zeros(3)), patches)
    assert measured["airplanes"] == 3
    assert measured["reversed"] == pytest.approx(1 / 3, abs=1e-4)
    assert measured["length"] == pytest.approx(0.0, abs=1e-4)
    assert measured["heading_deg"] == pytest.approx(0.0, abs=0.05)


def test_expected_errors_hold_two_thirds_of_the_errors() -> None:
    random = np.random.default_rng(2)
    truth = random.uniform(10, 50, (4000, 4, 2))
    spread = random.uniform(1, 4, (4000, 4))
    points = truth + random.normal(size=truth.shape) * (0.4 + 0.5 * spread)[..., None]
    offset, slope = fit_expected_error(Keypoints(points, spread, np.zeros(4000)), truth)
    assert offset == pytest.approx(0.4, abs=0.1)
    assert slope == pytest.approx(0.5, abs=0.05)


def test_a_model_that_does_not_exist_is_refused_with_the_remedy() -> None:
    with pytest.raises(FinderError, match=r"keypoint model nowhere: expected .* or null to measure nothing"):
        KeypointPredictor("nowhere")
