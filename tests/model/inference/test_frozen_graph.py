import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

from geo.boxes import iou_matrix
from geo.types import Detections, ImageArray
from model.detectors.anchor_free.network import decode_boxes, decode_scores
from model.inference.calibration import Calibration
from model.inference.engine_cache import CACHE_VARIABLE
from model.inference.frozen_graph import FrozenPredictor, build
from model.inference.model_folder import read_config, write_config
from model.inference.predictor import load_predictor

BATCH = 3


@pytest.fixture(scope="module")
def predictor(model_folder: Path) -> FrozenPredictor:
    """The model of the folder, at a threshold that leaves something over and something out."""
    detections = load_predictor(str(model_folder), BATCH, 0.0)
    assert isinstance(detections, FrozenPredictor)
    _, scores = detections.engine(random_images(BATCH))
    detections.min_score = float(np.quantile(scores, 0.6))
    return detections


def random_images(count: int, seed: int = 1, shape: tuple[int, int] = (64, 96)) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape, 3), dtype=np.uint8)


def assert_same(detections: Detections, expected: Detections) -> None:
    assert len(expected) > 0
    np.testing.assert_array_equal(detections.boxes, expected.boxes)
    np.testing.assert_array_equal(detections.scores, expected.scores)


@pytest.mark.parametrize("shape", [(64, 96), (32, 160)])
def test_the_graph_gives_what_the_network_gives(
    predictor: FrozenPredictor, network: Any, shape: tuple[int, int]
) -> None:
    images = random_images(2, seed=7, shape=shape)
    boxes, scores = predictor.engine(images)
    cells = network(images.astype(np.float32), training=False)
    assert boxes.shape == (2, shape[0] // 4, shape[1] // 4, 4)
    np.testing.assert_allclose(scores, ops.convert_to_numpy(decode_scores(cells)), atol=1e-4)
    np.testing.assert_allclose(boxes, ops.convert_to_numpy(decode_boxes(cells)), rtol=1e-4, atol=1e-3)
    assert np.ptp(scores) > 0.005  # else the comparison means nothing


def test_the_graph_has_no_variables(model_folder: Path) -> None:
    kinds = {operation.type for operation in build(model_folder, False, "float32").graph.get_operations()}
    assert not {kind for kind in kinds if "Variable" in kind}


def test_detections_come_from_cells_above_the_threshold(predictor: FrozenPredictor) -> None:
    (detections,) = predictor(random_images(1))
    boxes, scores = predictor.engine(np.repeat(random_images(1), BATCH, axis=0))
    every_box, every_score = boxes[0].reshape(-1, 4), scores[0].ravel()
    assert 0 < len(detections) < len(every_score)
    assert (detections.scores >= predictor.min_score).all()
    assert (np.diff(detections.scores) <= 0).all()
    assert np.isnan(detections.resolution_m).all()
    for box, score in zip(detections.boxes, detections.scores, strict=True):
        cell = every_box[every_score == score][0].astype(np.float64)
        assert iou_matrix(box[None], cell[None])[0, 0] > 0.5


def test_boxes_do_not_depend_on_the_threshold(predictor: FrozenPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "min_vote", predictor.min_score)
    (low,) = predictor(random_images(1))
    monkeypatch.setattr(predictor, "min_score", float(np.median(low.scores)))
    (high,) = predictor(random_images(1))
    assert 0 < len(high) < len(low)
    assert_same(high, low.take(low.scores >= predictor.min_score))


def test_padding_a_batch_changes_nothing(predictor: FrozenPredictor) -> None:
    images = random_images(BATCH)
    together = predictor(images)
    assert len(together) == BATCH
    for number in range(BATCH):
        (alone,) = predictor(images[number : number + 1])
        assert_same(alone, together[number])


def test_an_image_gives_the_same_at_every_position_of_every_batch(predictor: FrozenPredictor) -> None:
    image, others = random_images(1, seed=2), random_images(2 * BATCH, seed=3)
    (expected,) = predictor(image)
    for index in range(2 * BATCH):
        mixed = others.copy()
        mixed[index] = image[0]
        assert_same(predictor(mixed)[index], expected)


def test_any_number_of_images_can_be_predicted(predictor: FrozenPredictor) -> None:
    for count in (0, 1, BATCH, BATCH + 1, 2 * BATCH + 1):
        assert len(predictor(random_images(count))) == count


def test_a_predictor_has_the_name_and_threshold_of_its_model(predictor: FrozenPredictor, model_folder: Path) -> None:
    config = read_config(model_folder)
    assert predictor.name == f"tiny@{config.sha256[:12]}"
    assert predictor.default_min_score == 0.25


def test_scores_are_probabilities_by_the_calibration_of_the_model(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "calibrated"))
    numbers = Calibration(1.7, 0.6, -0.4, 0.8)
    write_config(folder, replace(read_config(folder), calibration=numbers))
    raw, detections = (load_predictor(str(folder), BATCH, 0.0, calibrated=calibrated) for calibrated in (False, True))
    assert isinstance(raw, FrozenPredictor)
    assert isinstance(detections, FrozenPredictor)
    boxes, scores = raw.engine(random_images(BATCH))
    same, probabilities = detections.engine(random_images(BATCH))
    np.testing.assert_allclose(same, boxes, rtol=1e-5)
    np.testing.assert_allclose(probabilities, numbers.apply(scores, boxes), atol=1e-5)
    (everything,) = detections(random_images(1))
    detections.min_score = float(np.median(everything.scores))
    (detected,) = detections(random_images(1))
    assert 0 < len(detected) == (everything.scores >= detections.min_score).sum() < len(everything)


def test_it_implements_the_protocol(predictor: FrozenPredictor) -> None:
    detections: Any = predictor(random_images(1))
    assert isinstance(detections, list)
    assert all(isinstance(each, Detections) for each in detections)
    assert detections[0].boxes.dtype == detections[0].scores.dtype == np.float64


def test_a_graph_from_the_cache_gives_the_same_bytes_and_a_damaged_one_is_replaced(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    images = random_images(BATCH)
    expected = FrozenPredictor(str(model_folder), BATCH, 0.0, True, "float32").engine(images)
    assert not list(tmp_path.iterdir())
    results = []
    for damage in (None, b"", b"damaged"):
        for file in tmp_path.iterdir():
            content = file.read_bytes() if damage is None else damage
            file.write_bytes(content)
        for _ in range(2):
            results.append(FrozenPredictor(str(model_folder), BATCH, 0.0, True, "float32", cached=True).engine(images))
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size > 10_000
    for boxes, scores in results:
        np.testing.assert_array_equal(boxes, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_a_graph_from_the_cache_needs_no_keras_and_is_made_anew_if_it_vanishes(
    model_folder: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from pathlib import Path; from model.common.logs import hidden_packages; "
        "from model.inference.predictor import load_predictor\n"
        "with hidden_packages('keras'):\n"
        f"    load_predictor({str(model_folder)!r}, 1, 0.5, cached=True)\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)\n"
        f"[file.unlink() for file in Path({str(tmp_path)!r}).iterdir()]\n"
        "with hidden_packages('keras'):\n"
        f"    load_predictor({str(model_folder)!r}, 1, 0.5, cached=True)\n"
        f"print(len(list(Path({str(tmp_path)!r}).iterdir())))"
    )
    env = os.environ | {CACHE_VARIABLE: str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path))
        FrozenPredictor(str(model_folder), 1, 0.5, True, "float32", cached=True)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["True", "False", "1"]
