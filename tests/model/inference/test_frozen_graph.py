import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from geo.boxes import iou_matrix
from geo.types import Detections, ImageArray
from model.detectors.anchor_free import decode
from model.inference import weights_io
from model.inference.calibration import Calibration
from model.inference.frozen_graph import FrozenPredictor
from model.inference.predictor import load_predictor
from tests.model.thresholds import in_a_gap

BATCH = 3


@pytest.fixture(scope="module")
def predictor(model_folder: Path) -> FrozenPredictor:
    """The model of the folder, at a threshold that leaves something over and something out."""
    found = load_predictor(str(model_folder), BATCH, 0.0)
    assert isinstance(found, FrozenPredictor)
    _, scores = found.graph(tf.constant(pictures(BATCH)))
    found.min_score = in_a_gap(scores, 0.6)
    return found


def pictures(count: int, seed: int = 1, shape: tuple[int, int] = (64, 96)) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape, 3), dtype=np.uint8)


def assert_same(found: Detections, wanted: Detections) -> None:
    assert len(wanted) > 0
    np.testing.assert_array_equal(found.boxes, wanted.boxes)
    np.testing.assert_array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("shape", [(64, 96), (32, 160)])
def test_the_graph_says_what_the_network_says(predictor: FrozenPredictor, network: Any, shape: tuple[int, int]) -> None:
    images = pictures(2, seed=7, shape=shape)
    boxes, scores = (output.numpy() for output in predictor.graph(tf.constant(images)))
    cells = network(images.astype(np.float32), training=False)
    assert boxes.shape == (2, shape[0] // 4, shape[1] // 4, 4)
    np.testing.assert_allclose(scores, ops.convert_to_numpy(decode.scores(cells)), atol=1e-4)
    np.testing.assert_allclose(boxes, ops.convert_to_numpy(decode.boxes(cells)), rtol=1e-4, atol=1e-3)
    assert np.ptp(scores) > 0.005  # or it would compare nothing


def test_the_graph_has_no_variables(predictor: FrozenPredictor) -> None:
    kinds = {operation.type for operation in predictor.graph.graph.get_operations()}
    assert not {kind for kind in kinds if "Variable" in kind}


def test_detections_are_those_cells_that_score_enough(predictor: FrozenPredictor) -> None:
    (found,) = predictor(pictures(1))
    boxes, scores = predictor.graph(tf.constant(np.repeat(pictures(1), BATCH, axis=0)))
    every_box, every_score = boxes[0].numpy().reshape(-1, 4), scores[0].numpy().ravel()
    assert 0 < len(found) < len(every_score)
    assert (found.scores >= predictor.min_score).all()
    assert (np.diff(found.scores) <= 0).all()
    assert np.isnan(found.resolution_m).all()
    for box, score in zip(found.boxes, found.scores, strict=True):
        cell = every_box[every_score == score][0].astype(np.float64)
        assert iou_matrix(box[None], cell[None])[0, 0] > 0.5


def test_a_box_does_not_hang_on_the_threshold(predictor: FrozenPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "min_vote", predictor.min_score)
    (low,) = predictor(pictures(1))
    monkeypatch.setattr(predictor, "min_score", in_a_gap(low.scores))
    (high,) = predictor(pictures(1))
    assert 0 < len(high) < len(low)
    assert_same(high, low.take(low.scores >= predictor.min_score))


def test_filling_a_batch_up_changes_nothing(predictor: FrozenPredictor) -> None:
    images = pictures(BATCH)
    together = predictor(images)
    assert len(together) == BATCH
    for number in range(BATCH):
        (alone,) = predictor(images[number : number + 1])
        assert_same(alone, together[number])


def test_a_picture_gives_the_same_in_every_place_of_every_batch(predictor: FrozenPredictor) -> None:
    image, others = pictures(1, seed=2), pictures(2 * BATCH, seed=3)
    (wanted,) = predictor(image)
    for place in range(2 * BATCH):
        mixed = others.copy()
        mixed[place] = image[0]
        assert_same(predictor(mixed)[place], wanted)


def test_any_number_of_pictures_goes(predictor: FrozenPredictor) -> None:
    for count in (0, 1, BATCH, BATCH + 1, 2 * BATCH + 1):
        assert len(predictor(pictures(count))) == count


def test_a_predictor_says_which_model_it_is(predictor: FrozenPredictor, model_folder: Path) -> None:
    config = weights_io.read_config(model_folder)
    assert predictor.name == f"tiny@{config.sha256[:12]}"
    assert predictor.default_min_score == 0.25


def test_scores_are_probabilities_by_the_calibration_of_the_model(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "calibrated"))
    numbers = Calibration(1.7, 0.6, -0.4, 0.8)
    weights_io.write_config(folder, replace(weights_io.read_config(folder), calibration=numbers))
    raw, found = (load_predictor(str(folder), BATCH, 0.0, calibrated=calibrated) for calibrated in (False, True))
    assert isinstance(raw, FrozenPredictor)
    assert isinstance(found, FrozenPredictor)
    boxes, scores = (output.numpy() for output in raw.graph(tf.constant(pictures(BATCH))))
    same, probabilities = (output.numpy() for output in found.graph(tf.constant(pictures(BATCH))))
    np.testing.assert_allclose(same, boxes, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(probabilities, numbers.apply(scores, boxes), atol=1e-5)
    (everything,) = found(pictures(1))
    found.min_score = in_a_gap(everything.scores)
    (some,) = found(pictures(1))
    assert 0 < len(some) == (everything.scores >= found.min_score).sum() < len(everything)


def test_it_is_as_the_protocol_says(predictor: FrozenPredictor) -> None:
    found: Any = predictor(pictures(1))
    assert isinstance(found, list)
    assert all(isinstance(each, Detections) for each in found)
    assert found[0].boxes.dtype == found[0].scores.dtype == np.float64
