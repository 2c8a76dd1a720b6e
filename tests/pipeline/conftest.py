import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import yaml

from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import model_loading
from tests.pipeline.desk import Desk
from tests.pipeline.scenes import CONFIG, write_scene


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that is described as any other, with weights that are whole; what is loaded for it is the fake."""
    from model.detectors.anchor_free.network import DetectorConfig
    from model.inference.weights_io import CONFIG_FILE, WEIGHTS_FILE, ModelConfig

    folder = tmp_path / "model"
    folder.mkdir()
    weights = b"no numbers, but whole"
    described = ModelConfig("fake", DetectorConfig(), 0.85, hashlib.sha256(weights).hexdigest())
    (folder / WEIGHTS_FILE).write_bytes(weights)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(dataclasses.asdict(described)), encoding="utf-8")
    monkeypatch.setattr(model_loading, "load_predictor", _Fake)
    return folder


@pytest.fixture
def desk(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    write_scene(tmp_path / "a.tif")
    settings = dataclasses.asdict(dataclasses.replace(CONFIG, min_score=None))
    (tmp_path / "settings.yaml").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, model_folder, capsys)


class _Fake(FakePredictor):
    """The fake, with what `load_predictor` takes."""

    def __init__(self, name_or_path: str, batch_size: int, min_score: float, precision: str, trusted: bool) -> None:
        self.min_score = min_score

    def __call__(self, images: ImageArray) -> list[Detections]:
        return [found.take(found.scores >= self.min_score) for found in super().__call__(images)]
