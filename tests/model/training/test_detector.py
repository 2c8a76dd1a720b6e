from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.grid import Tiling
from geo.nms import Suppression
from geo.types import Detections
from model.data import sources
from model.detectors import registry
from model.detectors.config import DetectorConfig
from model.inference.frozen_graph import FrozenPredictor
from model.inference.predictor import FakePredictor, Predictor, load_predictor
from model.inference.scan_config import ScanConfig
from model.training.detector import (
    KerasPredictor,
    mine_hard_examples,
    read_hard_examples,
    select_hard_boxes,
    write_hard_examples,
)
from tests.model.image_sets import AIRPLANES, make_pixels, write_rendered, write_set
from tests.model.thresholds import in_a_gap

DECODE = registry.get(DetectorConfig()).decode
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
SCAN = ScanConfig(Tiling((0.5, 1.0), tile_px=128, halo_px=16), Suppression(0.5, 0.8))
Boxes = NDArray[np.float64]


def test_it_agrees_with_the_frozen_graph(network: Any, model_folder: Path) -> None:
    full = load_predictor(str(model_folder), 3, 0.0, calibrated=False)
    assert isinstance(full, FrozenPredictor)
    everything = full(IMAGES)
    # Of all cells: those above it have their say in a box, too.
    threshold = in_a_gap(full.engine(IMAGES)[1])
    frozen = load_predictor(str(model_folder), 3, threshold, calibrated=False)(IMAGES)
    for count in (1, 3):
        predictor: Predictor = KerasPredictor(network, DECODE, "young", threshold)
        detections = predictor(IMAGES[:count])
        assert len(detections) == count
        for detected, expected, unfiltered in zip(detections, frozen, everything, strict=False):
            assert 0 < len(detected) == len(expected) < len(unfiltered)
            np.testing.assert_allclose(detected.boxes, expected.boxes, rtol=1e-4, atol=1e-2)
            np.testing.assert_allclose(detected.scores, expected.scores, atol=1e-4)


def test_it_has_the_given_name_and_threshold(network: Any) -> None:
    predictor = KerasPredictor(network, DECODE, "young", 0.25)
    assert (predictor.name, predictor.default_min_score) == ("young", 0.25)


def test_it_follows_the_model(network: Any) -> None:
    predictor, bias = KerasPredictor(network, DECODE, "young", 0.999), network.get_layer("cells").bias
    before = bias.numpy()
    (first,) = predictor(IMAGES[:1])
    try:
        bias.assign(before + np.array([30, 0, 0, 0, 0], np.float32))
        (second,) = predictor(IMAGES[:1])
    finally:
        bias.assign(before)
    assert len(first) < len(second)


def overlap(a: Boxes, b: Boxes) -> float:
    first, second = shapely.box(*a), shapely.box(*b)
    return float(first.intersection(second).area / first.union(second).area)


def detections(boxes: Boxes) -> Detections:
    return Detections(boxes, np.linspace(1, 0.5, len(boxes)), np.full(len(boxes), np.nan))


@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(0, 8))
def test_hard_boxes_are_false_positives_and_then_missed_airplanes(seed: int, count: int, airplanes: int) -> None:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 60, (airplanes, 2))
    truth = np.concatenate([low, low + generator.uniform(5, 30, (airplanes, 2))], axis=1)
    # Some of the boxes lie near an airplane, others anywhere.
    low = generator.uniform(0, 60, (count, 2))
    boxes = np.concatenate([low, low + generator.uniform(5, 30, (count, 2))], axis=1)
    near = generator.random(count) < 0.7 * (airplanes > 0)
    boxes[near] = truth[generator.integers(max(airplanes, 1), size=near.sum())]
    boxes += generator.uniform(-4, 4, (count, 2))[:, [0, 1, 0, 1]]
    false = [box for box in boxes if all(overlap(box, airplane) < 0.1 for airplane in truth)]
    missed = [airplane for airplane in truth if all(overlap(box, airplane) < 0.5 for box in boxes)]
    expected = np.array([*false, *missed]).reshape(-1, 4)
    np.testing.assert_array_equal(select_hard_boxes(detections(boxes), truth), expected)


def test_a_poorly_fitting_box_is_a_miss_and_no_false_positive() -> None:
    truth = np.array([[0.0, 0, 10, 10]])
    at = {0.05: 2, 0.3: 1, 0.6: 0}  # by overlap
    for fraction, count in at.items():
        assert len(select_hard_boxes(detections(np.array([[0, 0, 10, 10 * fraction]])), truth)) == count


def test_images_are_scanned_as_by_the_pipeline(tmp_path: Path) -> None:
    dim, wrong = make_pixels(), make_pixels()
    dim[30:60, 20:45] = 100  # below what the fake calls bright
    wrong[70:82, 60:76] = 140
    names = {"dim": dim, "right": make_pixels(), "wrong": wrong}
    for folder in (write_set(tmp_path / "photos", names), write_rendered(tmp_path / "scenes", names)):
        images = sources.read_annotated_images(folder, "test")
        mined = mine_hard_examples(images, FakePredictor(), SCAN, 3)
        assert [boxes.tolist() for boxes in mined] == [[AIRPLANES[0][0]], [], [[60, 70, 76, 82]]]


def test_hard_examples_round_trip(tmp_path: Path) -> None:
    positions = {"one": [np.array([[0.1, 2.25, 1 / 3, 40]]), np.zeros((0, 4))], "none": []}
    file = tmp_path / "hard_examples.json"
    write_hard_examples(positions, file)
    mined = read_hard_examples(file)
    assert mined.keys() == positions.keys()
    assert mined["none"] == []
    for boxes, expected in zip(mined["one"], positions["one"], strict=True):
        assert boxes.dtype == np.float64
        assert boxes.shape == expected.shape
        np.testing.assert_array_equal(boxes, expected)


def test_hard_examples_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_hard_examples({"one": [np.ones((5, 4))]}, tmp_path / "hard_examples.json")
    assert not (tmp_path / "hard_examples.json").exists()
