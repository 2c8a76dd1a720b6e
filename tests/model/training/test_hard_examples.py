from pathlib import Path

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
from model.inference.predictor import FakePredictor
from model.inference.scan_config import ScanConfig
from model.training import hard_examples
from tests.model.image_sets import AIRPLANES, make_pixels, write_rendered, write_set

SCAN = ScanConfig(Tiling((0.5, 1.0), tile_px=128, halo_px=16), Suppression(0.5, 0.8))
Boxes = NDArray[np.float64]


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
    np.testing.assert_array_equal(hard_examples.select_hard_boxes(detections(boxes), truth), expected)


def test_a_poorly_fitting_box_is_a_miss_and_no_false_positive() -> None:
    truth = np.array([[0.0, 0, 10, 10]])
    at = {0.05: 2, 0.3: 1, 0.6: 0}  # by overlap
    for fraction, count in at.items():
        assert len(hard_examples.select_hard_boxes(detections(np.array([[0, 0, 10, 10 * fraction]])), truth)) == count


def test_images_are_scanned_as_by_the_pipeline(tmp_path: Path) -> None:
    dim, wrong = make_pixels(), make_pixels()
    dim[30:60, 20:45] = 100  # below what the fake calls bright
    wrong[70:82, 60:76] = 140
    names = {"dim": dim, "right": make_pixels(), "wrong": wrong}
    for folder in (write_set(tmp_path / "photos", names), write_rendered(tmp_path / "scenes", names)):
        images = sources.read_annotated_images(folder, "test")
        mined = hard_examples.mine_hard_examples(images, FakePredictor(), SCAN, 3)
        assert [boxes.tolist() for boxes in mined] == [[AIRPLANES[0][0]], [], [[60, 70, 76, 82]]]


def test_hard_examples_round_trip(tmp_path: Path) -> None:
    positions = {"one": [np.array([[0.1, 2.25, 1 / 3, 40]]), np.zeros((0, 4))], "none": []}
    file = tmp_path / "hard_examples.json"
    hard_examples.write_hard_examples(positions, file)
    mined = hard_examples.read_hard_examples(file)
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
        hard_examples.write_hard_examples({"one": [np.ones((5, 4))]}, tmp_path / "hard_examples.json")
    assert not (tmp_path / "hard_examples.json").exists()
