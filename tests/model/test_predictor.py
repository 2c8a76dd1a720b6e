import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.boxes import iou_matrix
from model.predictor import FakePredictor, Predictor, load_predictor, tile_detections
from model.weights_io import WeightsError


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_an_airplane_is_told_once_by_its_surest_cell(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 60, (count, 2))
    boxes, scores = np.concatenate([low, low + generator.uniform(5, 40, (count, 2))], axis=1), generator.random(count)
    found = tile_detections(boxes, scores)
    assert np.isnan(found.resolution_m).all()
    overlaps = iou_matrix(found.boxes, found.boxes)
    assert all(overlaps[i, j] <= 0.5 for i, j in itertools.combinations(range(len(found)), 2))
    # Whatever is left out lies over something surer that is kept.
    for box, score in zip(boxes, scores, strict=True):
        same = iou_matrix(box[None], found.boxes)[0]
        kept = (found.boxes == box).all(axis=1).any()
        assert kept or (found.scores[same > 0.5] >= score).any()


def test_the_fake_finds_bright_rectangles() -> None:
    images = np.full((2, 64, 96, 3), 40, np.uint8)
    images[0, 10:20, 30:50] = 204
    images[0, 40:64, 0:5] = 255
    predictor: Predictor = FakePredictor()
    first, second = predictor(images)
    order = first.boxes[:, 0].argsort()
    assert first.boxes[order].tolist() == [[0, 40, 5, 64], [30, 10, 50, 20]]
    assert first.scores[order].tolist() == [1.0, 0.8]
    assert len(second) == 0


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/folder"])
def test_a_model_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match=name):
        load_predictor(name, 1, 0.5)
