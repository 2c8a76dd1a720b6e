"""The whole loop on rendered airports: detect, correct on the page's routes, train on the review, detect better."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fastapi.testclient import TestClient

from geo.boxes import iou_matrix
from geo.grid import Tiling
from geo.types import Detections, FloatArray
from model import train
from model.detectors.anchor_free import network
from model.detectors.config import DetectorConfig
from model.evaluation.metrics import average_precision, match_detections
from model.inference import model_folder, weights_io
from model.synthetic import scene as synthetic
from pipeline.serve.app import Service
from pipeline.serve.jobs import JobRunner
from pipeline.serve.models import describe_models
from pipeline.serve.review import ReviewStore
from pipeline.serve.scenes import catalog_of
from pipeline.values import SceneSource
from tests.pipeline.scenes import CONFIG
from tests.pipeline.serve.conftest import client_of
from tests.pipeline.serve.test_detect import detect, results

SIDE_PX = 800
TILING = Tiling(levels_m=(0.5,), tile_px=480, halo_px=80)
#: Of the noise, in standard deviations of the weights it is added to.
NOISE = 0.6
FINETUNE = Path("configs/train/finetune.yaml").resolve()
SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")


def render(path: Path, seed: int) -> FloatArray:
    """Render an airport, and return the boxes (N, 4) of its airplanes in its pixels."""
    truth = json.loads(synthetic.write(synthetic.render(SIDE_PX, seed), path).read_text())
    return np.array([[each["properties"][side] for side in SIDES] for each in truth["features"]], np.float64)


def write_weak_model(folder: Path) -> None:
    """Write the packaged detector with noise in the last layers: it misses airplanes, and sees some where none are."""
    detector = DetectorConfig()
    model = network.build(detector)
    packaged = model_folder.resolve("airplanes-lite0")
    weights_io.load_into(model, packaged / model_folder.WEIGHTS_FILE)
    random = np.random.default_rng(3)
    for name in ("head_1_conv", "cells"):
        layer = model.get_layer(name)
        kernel, *others = layer.get_weights()
        layer.set_weights([kernel + random.normal(0, NOISE * kernel.std(), kernel.shape), *others])
    weights_io.save(folder, model, "weak", detector, 0.3)


def detections(features: list[dict[str, Any]]) -> Detections:
    """The airplanes of a result, in pixels of its scene."""
    facts = [each["properties"] for each in features]
    boxes = np.array([[each[side] for side in SIDES] for each in facts], np.float64).reshape(-1, 4)
    return Detections(boxes, np.array([each["score"] for each in facts]), np.full(len(facts), 0.5))


def ap50(client: TestClient, scene: str, airplanes: FloatArray) -> float:
    """The average precision of the default model on a scene at an IoU of 0.5, 0 to 1."""
    detected = detections(results(client, detect(client, scene=scene, min_score=0.05)))
    return average_precision(match_detections(detected, airplanes, SIDE_PX, SIDE_PX, 0.5))


def review(client: TestClient, scene: str, airplanes: FloatArray) -> None:
    """Say right or wrong of each detection, add the airplanes that were missed, and check the tile."""

    def act(action: str, **more: Any) -> None:
        content = {"scene": scene, "reviewer": "anna", "action": action, **more}
        answer = client.post("/review/actions", json=content)
        assert answer.status_code == 200, answer.text

    features = results(client, detect(client, scene=scene))
    iou = iou_matrix(detections(features).boxes, airplanes)
    hits = int((iou.max(axis=1, initial=0) > 0.5).sum())
    assert 0 < hits < min(len(features), len(airplanes))  # right, wrong and missing: there is something to learn
    for row, feature in zip(iou, features, strict=True):
        facts = feature["properties"]
        box = [facts[side] for side in SIDES]
        verdict = "right" if row.max() > 0.5 else "wrong"
        act(verdict, item=facts["detection_id"], box=box, score=facts["score"], model=facts["model"])
    for airplane, best in zip(airplanes, iou.max(axis=0, initial=0), strict=True):
        if best <= 0.5:
            act("add", box=airplane.tolist())
    west, south, east, north = client.get(f"/scenes/{scene}").json()["bounds"]
    act("check", lonlat=[(west + east) / 2, (south + north) / 2])


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_what_a_person_corrects_makes_the_next_model_better(tmp_path: Path) -> None:
    reviewed_airplanes, other_airplanes = render(tmp_path / "reviewed.tif", 1), render(tmp_path / "other.tif", 3)
    keras.utils.set_random_seed(1)
    weak = tmp_path / "weak"
    write_weak_model(weak)
    config = dataclasses.replace(CONFIG, min_score=None, engine="tensorflow", tiling=TILING)
    sources = [SceneSource(str(tmp_path / name)) for name in ("reviewed.tif", "other.tif")]

    def serve(model: Path, store: ReviewStore | None = None) -> Service:
        models = describe_models([str(model)], config, trusted=False)
        return Service(models, catalog_of(sources, config), JobRunner(4), review=store)

    with client_of(serve(weak, ReviewStore(tmp_path / "review"))) as client:
        before = ap50(client, "other", other_airplanes)
        review(client, "reviewed", reviewed_airplanes)
    options = {
        "data": tmp_path / "review",
        "run": tmp_path / "run",
        "start": weak,
        "frozen_blocks": 16,  # what is weak comes after them
        "rendered": "[]",  # to forget nothing costs more time than this test has
        "crops.side_px": 128,
        "batch": 8,
        "steps_per_epoch": 40,
        "epochs": 1,
        "learning_rate": 0.002,
        "warmup_steps": 5,
        "ema": 0.9,
        "min_score": 0.3,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    assert train.main(["--config", str(FINETUNE), *arguments]) == 0
    with client_of(serve(tmp_path / "run" / "model")) as client:
        after = ap50(client, "other", other_airplanes)
    assert before < 0.3
    assert after > 0.7
