"""The detector on a grid is trained, saved, used and exported like any other."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from geo.types import ImageArray
from model import train
from model.detectors import registry
from model.detectors.config import GridConfig
from model.export.exporter import export
from model.inference import model_folder, weights_io
from model.inference.predictor import load_predictor
from tests.model.detectors.grid.cells import perfect_cells
from tests.model.image_sets import make_pixels, write_set
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

SMALLEST = GridConfig(layers=9, grid=8, boxes=2)
KIND = registry.get(SMALLEST)
GRID: dict[str, object] = {
    "detector": {"kind": "grid", "layers": 9, "grid": 8, "boxes": 2},
    "start": "random",
    "frozen_blocks": 0,
}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return KIND.build()


@pytest.fixture(scope="module")
def folder(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    weights_io.save(folder, network, "grid", SMALLEST, 0.4)
    return folder


def random_images() -> ImageArray:
    return np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)


def test_its_folder_holds_its_config(folder: Path) -> None:
    assert model_folder.read_config(folder).detector == SMALLEST


def test_detections_come_from_its_cells(folder: Path) -> None:
    model, _ = weights_io.load(folder)
    boxes, scores = (
        np.asarray(keras.ops.convert_to_numpy(output)).reshape(2, -1, width)
        for output, width in zip(KIND.decode(model(random_images().astype(np.float32))), (4, 1), strict=True)
    )
    detections = load_predictor(str(folder), 2, 0.0)(random_images())
    for image_detections, image_boxes, image_scores in zip(detections, boxes, scores[..., 0], strict=True):
        # The highest-scoring box of all is never suppressed.
        assert image_detections.scores.max() == pytest.approx(image_scores.max(), abs=1e-5)
        assert 0 < len(image_detections) <= len(image_boxes)


def test_an_airplane_in_several_cells_is_detected_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Two slots and several cells are assigned an airplane: together they give one box."""
    truth = np.array([[30.0, 20, 62, 52], [70, 30, 86, 46]])
    target = KIND.targets(truth, np.zeros((0, 4)), 64, 96)
    assert (target[..., 3] > 0).sum() > len(truth)
    cells = np.stack([perfect_cells(target, SMALLEST)] * 2)
    constant = keras.layers.Lambda(lambda pixels: keras.ops.convert_to_tensor(cells) + 0 * keras.ops.sum(pixels))
    pixels = keras.Input((None, None, 3))
    oracle = keras.Model(pixels, constant(pixels))
    monkeypatch.setattr(weights_io, "load", lambda *_: (oracle, model_folder.read_config(folder)))
    for detections in load_predictor(str(folder), 2, 0.5)(random_images()):
        np.testing.assert_allclose(detections.boxes[detections.boxes[:, 0].argsort()], truth, atol=1e-2)


def test_every_export_gives_the_same(folder: Path, tmp_path: Path) -> None:
    detections = export(folder, tmp_path / "out", ("saved_model", "frozen_graph", "onnx"), random_images())
    assert len(detections) >= 3  # each is compared with Keras; a difference is an error


def test_its_loss_is_the_weighted_mean_of_its_parts() -> None:
    target = KIND.targets(np.array([[30.0, 20, 62, 52]]), np.zeros((0, 4)), 64, 96)[None]
    cells = np.random.default_rng(2).normal(size=(*target.shape[:-1], 5)).astype(np.float32)
    parts = [float(part(target, cells)) for part in KIND.loss_parts.values()]
    weights = np.array(SMALLEST.loss_weights)
    assert float(KIND.loss()(target, cells)) == pytest.approx(float(weights @ parts / weights.sum()), rel=1e-5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, level in (("one", 1.0), ("two", 0.6)):
        write_set(folder / name, {name: make_pixels(level)}, split="train")
    return folder


def test_an_interrupted_training_equals_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    for name in ("uninterrupted", "broken"):
        (tmp_path / name).mkdir()
    uninterrupted = trained(tmp_path / "uninterrupted", data, **GRID)
    assert {"plane", "position", "size"} <= log(uninterrupted)[0].keys()
    run = interrupted(tmp_path / "broken", data, in_the_second_epoch, **GRID)
    assert trained(tmp_path / "broken", data, **GRID) == run
    assert_same_run(run, uninterrupted)
    assert model_folder.read_config(run / "model").detector == SMALLEST


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"start": "imagenet"}, "start, frozen_blocks: expected random"),
        ({"frozen_blocks": 2}, "start, frozen_blocks: expected random"),
        ({"hard_examples": {"share": 0.2}}, "hard_examples: expected a model to start from"),
        ({"detector": {"kind": "net"}}, "detector.kind: expected 'anchor_free' or 'grid', got 'net'"),
        ({"detector": {"kind": "grid", "channels": 64}}, "unknown key detector.channels"),
        ({"schedule": {"kind": "steps"}}, "schedule.kind: expected 'cosine' or 'exponential' or 'cosine_restarts'"),
    ],
)
def test_invalid_settings_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], named: str
) -> None:
    with tiny_detector():
        assert train.main(["--config", str(settings(tmp_path, Path("unread"), **GRID | change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err
