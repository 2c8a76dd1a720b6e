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
from tests.model.photos import AIRPLANES, picture, write_rendered, write_set

SCAN = ScanConfig(Tiling((0.5, 1.0), tile_px=128, halo_px=16), Suppression(0.5, 0.8))
Boxes = NDArray[np.float64]


def overlap(a: Boxes, b: Boxes) -> float:
    one, other = shapely.box(*a), shapely.box(*b)
    return float(one.intersection(other).area / one.union(other).area)


def detections(boxes: Boxes) -> Detections:
    return Detections(boxes, np.linspace(1, 0.5, len(boxes)), np.full(len(boxes), np.nan))


@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(0, 8))
def test_hard_boxes_are_false_positives_and_then_missed_airplanes(seed: int, count: int, airplanes: int) -> None:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 60, (airplanes, 2))
    truth = np.concatenate([low, low + generator.uniform(5, 30, (airplanes, 2))], axis=1)
    # Of the boxes some lie about an airplane, others anywhere.
    low = generator.uniform(0, 60, (count, 2))
    boxes = np.concatenate([low, low + generator.uniform(5, 30, (count, 2))], axis=1)
    near = generator.random(count) < 0.7 * (airplanes > 0)
    boxes[near] = truth[generator.integers(max(airplanes, 1), size=near.sum())]
    boxes += generator.uniform(-4, 4, (count, 2))[:, [0, 1, 0, 1]]
    false = [box for box in boxes if all(overlap(box, airplane) < 0.1 for airplane in truth)]
    missed = [airplane for airplane in truth if all(overlap(box, airplane) < 0.5 for box in boxes)]
    wanted = np.array([*false, *missed]).reshape(-1, 4)
    np.testing.assert_array_equal(hard_examples.select_hard_boxes(detections(boxes), truth), wanted)


def test_a_poorly_fitting_box_is_a_miss_and_no_false_positive() -> None:
    truth = np.array([[0.0, 0, 10, 10]])
    at = {0.05: 2, 0.3: 1, 0.6: 0}  # by overlap
    for share, count in at.items():
        assert len(hard_examples.select_hard_boxes(detections(np.array([[0, 0, 10, 10 * share]])), truth)) == count


def test_images_are_scanned_as_by_the_pipeline(tmp_path: Path) -> None:
    dim, wrong = picture(), picture()
    dim[30:60, 20:45] = 100  # below what the fake calls bright
    wrong[70:82, 60:76] = 140
    names = {"dim": dim, "right": picture(), "wrong": wrong}
    for folder in (write_set(tmp_path / "photos", names), write_rendered(tmp_path / "scenes", names)):
        photos = sources.read_annotated_images(folder, "test")
        found = hard_examples.mine_hard_examples(photos, FakePredictor(), SCAN, 3)
        assert [boxes.tolist() for boxes in found] == [[AIRPLANES[0][0]], [], [[60, 70, 76, 82]]]


def test_hard_examples_round_trip(tmp_path: Path) -> None:
    places = {"one": [np.array([[0.1, 2.25, 1 / 3, 40]]), np.zeros((0, 4))], "none": []}
    file = tmp_path / "hard_examples.json"
    hard_examples.write_hard_examples(places, file)
    found = hard_examples.read_hard_examples(file)
    assert found.keys() == places.keys()
    assert found["none"] == []
    for boxes, wanted in zip(found["one"], places["one"], strict=True):
        assert boxes.dtype == np.float64
        assert boxes.shape == wanted.shape
        np.testing.assert_array_equal(boxes, wanted)


def test_hard_examples_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hard_examples.write_hard_examples({"one": [np.ones((5, 4))]}, tmp_path / "hard_examples.json")
    assert not (tmp_path / "hard_examples.json").exists()
