from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import boxes as module
from geo.boxes import Suppression, area, average, iom_matrix, iou_matrix, round_detections, suppress
from geo.errors import ConfigError
from geo.types import Detections, FloatArray
from tests.geo.strategies import boxes, detections, pixels_of, plain_iou, plain_suppress, rows

thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])


@given(boxes(side=12, max_size=6), boxes(side=12, max_size=6))
def test_overlaps_are_those_of_counted_pixels(a: FloatArray, b: FloatArray) -> None:
    iou, iom = iou_matrix(a, b), iom_matrix(a, b)
    assert iou.shape == iom.shape == (len(a), len(b))
    for i, first in enumerate(a):
        assert area(a)[i] == len(pixels_of(first))
        for j, second in enumerate(b):
            shared = len(pixels_of(first) & pixels_of(second))
            assert iou[i, j] == pytest.approx(plain_iou(first, second))
            assert iom[i, j] == pytest.approx(shared / min(len(pixels_of(first)), len(pixels_of(second))))


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[1.0, 1, 1, 5], [3.0, 3, 2, 2]])
    assert area(flat).tolist() == [0, 0]
    assert iou_matrix(flat, flat).tolist() == iom_matrix(flat, flat).tolist() == [[0, 0], [0, 0]]


@given(detections(), thresholds)
def test_suppression_equals_the_plain_rule(found: Detections, iou: float) -> None:
    kept = suppress(found.boxes, found.scores, iou)
    assert kept.dtype == np.int64
    assert found.boxes[kept].tolist() == found.boxes[plain_suppress(found, iou)].tolist()
    assert (np.diff(found.scores[kept]) <= 0).all()


@given(detections(), thresholds, st.randoms(use_true_random=False))
def test_an_average_is_that_of_the_boxes_that_agree(found: Detections, iou: float, random: Random) -> None:
    kept = suppress(found.boxes, found.scores, 0.5)
    mean = average(found.boxes, kept, iou)
    for i, box in zip(kept, mean, strict=True):
        agreed = [k for k in range(len(found)) if plain_iou(found.boxes[i], found.boxes[k]) >= iou]
        # At an overlap of 0 all that is asked of a box is that it lies near.
        if iou > 0:
            np.testing.assert_allclose(box, found.boxes[agreed].mean(axis=0))
    order = list(range(len(found)))
    random.shuffle(order)
    shuffled = found.take(np.array(order, dtype=int))
    again = average(shuffled.boxes, suppress(shuffled.boxes, shuffled.scores, 0.5), iou)
    assert again.tolist() == mean.tolist()


def test_an_average_of_nothing_and_of_what_has_no_area() -> None:
    assert average(np.zeros((0, 4)), np.zeros(0, np.int64), 0.6).shape == (0, 4)
    flat = np.array([[3.0, 3, 3, 9], [3, 3, 3, 9], [20, 20, 30, 30], [20, 20, 30, 30]])
    mean = average(flat, np.array([0, 3]), 0.6)
    np.testing.assert_allclose(mean, flat[[0, 3]])


def test_rounding_is_to_a_hundredth_of_a_pixel_without_negative_zeros() -> None:
    rounded = round_detections(Detections([[-0.001, 1.234, 5.678, 9.016]], [0.98765432], [0.5]))  # type: ignore[arg-type]
    assert rows(rounded) == [[0.0, 1.23, 5.68, 9.02, 0.987654, 0.5]]
    assert not np.signbit(rounded.boxes).any()


def test_many_boxes_are_suppressed_without_a_matrix_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = 0
    original = module.iou_pairs

    def counted(a: FloatArray, b: FloatArray) -> FloatArray:
        nonlocal pairs
        pairs += len(a)
        return original(a, b)

    monkeypatch.setattr(module, "iou_pairs", counted)
    count = 5000
    low = np.column_stack([np.arange(count) % 100, np.arange(count) // 100]) * 30.0
    spread = np.column_stack([low, low + 40])
    heap = np.tile(np.array([[9000.0, 9000, 9040, 9040]]), (count, 1)) + np.linspace(0, 1, count)[:, None]
    kept = suppress(np.concatenate([spread, heap]), np.linspace(0.9, 0.1, 2 * count), 0.5)
    assert kept.tolist() == list(range(count + 1))
    assert 0 < pairs < 500 * count


@pytest.mark.parametrize(
    ("iou", "containment", "name"), [(-0.1, 0.5, "iou"), (0.5, 1.1, "containment"), (float("nan"), 0.5, "iou")]
)
def test_thresholds_out_of_range_are_named(iou: float, containment: float, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"suppression\.{name}: expected .*, got .*: "):
        Suppression(iou, containment)
