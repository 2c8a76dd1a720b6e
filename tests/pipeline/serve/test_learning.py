"""The whole loop: detect, correct on the page's routes, train on the review, and detect better on another scene."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fastapi.testclient import TestClient
from keras import layers

from geo.boxes import iou_matrix
from geo.grid import Tiling
from model import train
from model.detectors.anchor_free import network
from model.detectors.config import DetectorConfig
from model.inference import weights_io
from pipeline.serve.app import Service
from pipeline.serve.jobs import JobRunner
from pipeline.serve.models import describe_models
from pipeline.serve.review import ReviewStore
from pipeline.serve.scenes import catalog_of
from pipeline.values import SceneSource
from tests.pipeline.scenes import CONFIG, write_scene
from tests.pipeline.serve.conftest import client_of
from tests.pipeline.serve.test_detect import detect, results

SIDE_PX, COUNT = 448, 20
TILING = Tiling(levels_m=(0.5,), tile_px=256, halo_px=64)
FINETUNE = Path("configs/train/finetune.yaml").resolve()
Box = tuple[int, int, int, int]


def small_network(_: DetectorConfig, *, folded: bool = False) -> Any:  # as `network.build`
    """A network with the detector's input and output that learns to see bright rectangles in seconds."""
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 64, offset=-2)(pixels)
    for number, (filters, stride, dilation) in enumerate([(16, 2, 1), (32, 2, 1), (32, 1, 1), (32, 1, 2), (32, 1, 4)]):
        options = {"strides": stride, "dilation_rate": dilation, "padding": "same", "activation": "relu"}
        x = layers.Conv2D(filters, 3 if number else 5, name=f"conv{number}", **options)(x)
    first = keras.initializers.Constant([-3.0, 1.6, 1.6, 1.6, 1.6])
    return keras.Model(pixels, layers.Conv2D(5, 1, bias_initializer=first, name="cells")(x), name="detector")


def render(path: Path, seed: int) -> list[Box]:
    """Write a scene with airplanes, and return their boxes."""
    random = np.random.default_rng(seed)
    boxes = []
    for number in range(COUNT):
        x, y = 30 + 64 * (number % 6) + random.integers(0, 20), 40 + 64 * (number // 6) + random.integers(0, 20)
        width, height = random.integers(20, 36, 2)
        boxes.append((int(x), int(y), int(x + width), int(y + height)))
    write_scene(path, [(*box, int(random.integers(150, 250))) for box in boxes], size=(SIDE_PX, SIDE_PX))
    return boxes


def overlaps(detected: list[dict[str, Any]], boxes: list[Box]) -> np.ndarray[Any, Any]:
    """The IoU (detections, airplanes)."""
    sides = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    rows = [[each["properties"][side] for side in sides] for each in detected]
    return iou_matrix(np.array(rows, np.float64).reshape(-1, 4), np.array(boxes, np.float64))


def f1(client: TestClient, scene: str, boxes: list[Box]) -> float:
    """The F1 score of the default model on a scene at its default threshold, 0 to 1."""
    iou = overlaps(results(client, detect(client, scene=scene)), boxes)
    hits = int((iou.max(axis=0, initial=0) > 0.5).sum())
    return 2 * hits / (len(iou) + len(boxes))


def review(client: TestClient, scene: str, boxes: list[Box]) -> None:
    """Say right or wrong of each detection, add the airplanes that were missed, and check the tile."""

    def act(action: str, **more: Any) -> None:
        content = {"scene": scene, "reviewer": "anna", "action": action, **more}
        answer = client.post("/review/actions", json=content)
        assert answer.status_code == 200, answer.text

    detected = results(client, detect(client, scene=scene))
    iou = overlaps(detected, boxes)
    for row, feature in zip(iou, detected, strict=True):
        facts = feature["properties"]
        box = [facts[side] for side in ("xmin_px", "ymin_px", "xmax_px", "ymax_px")]
        verdict = "right" if row.max() > 0.5 else "wrong"
        act(verdict, item=facts["detection_id"], box=box, score=facts["score"], model=facts["model"])
    for airplane, best in zip(boxes, iou.max(axis=0, initial=0), strict=True):
        if best <= 0.5:
            act("add", box=list(airplane))
    west, south, east, north = client.get(f"/scenes/{scene}").json()["bounds"]
    act("check", lonlat=[(west + east) / 2, (south + north) / 2])


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_what_a_person_corrects_makes_the_next_model_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "build", small_network)
    reviewed_boxes, other_boxes = render(tmp_path / "reviewed.tif", 1), render(tmp_path / "other.tif", 2)
    keras.utils.set_random_seed(1)
    start = tmp_path / "start"
    start.mkdir()
    weights_io.save(start, small_network(DetectorConfig()), "start", DetectorConfig(), 0.3)
    config = dataclasses.replace(CONFIG, min_score=None, engine="tensorflow", tiling=TILING)
    sources = [SceneSource(str(tmp_path / name)) for name in ("reviewed.tif", "other.tif")]

    def serve(model: Path, store: ReviewStore | None = None) -> Service:
        models = describe_models([str(model)], config, trusted=False)
        return Service(models, catalog_of(sources, config), JobRunner(4), review=store)

    with client_of(serve(start, ReviewStore(tmp_path / "review"))) as client:
        before = f1(client, "other", other_boxes)
        review(client, "reviewed", reviewed_boxes)
    options = {
        "data": tmp_path / "review",
        "run": tmp_path / "run",
        "start": start,
        "frozen_blocks": 0,
        "rendered": "[]",  # to forget nothing costs more time than this test has
        "crops.side_px": 64,
        "crops.size_px": "[16, 48]",
        "batch": 8,
        "steps_per_epoch": 200,
        "epochs": 1,
        "learning_rate": 0.005,
        "warmup_steps": 10,
        "ema": 0.9,
        "min_score": 0.4,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    assert train.main(["--config", str(FINETUNE), *arguments]) == 0
    with client_of(serve(tmp_path / "run" / "model")) as client:
        after = f1(client, "other", other_boxes)
    assert before < 0.3
    assert after > 0.7
