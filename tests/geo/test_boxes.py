"""Overlap of boxes against counted pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.boxes import area, iom_matrix, iou_matrix, match, match_at
from geo.types import Detections, FloatArray
from tests.geo.strategies import boxes, detections, pixels_of, plain_iou


@given(boxes(side=12, max_size=6), boxes(side=12, max_size=6))
def test_overlaps_equal_those_of_counted_pixels(a: FloatArray, b: FloatArray) -> None:
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


def reference_match(detections: Detections, truth: FloatArray, iou: float) -> list[int]:
    free = set(range(len(truth)))
    result = [-1] * len(detections)
    for i in sorted(range(len(detections)), key=lambda i: (-detections.scores[i], *detections.boxes[i])):
        overlaps = {k: plain_iou(detections.boxes[i], truth[k]) for k in sorted(free)}
        best = max(overlaps, key=lambda k: overlaps[k], default=None)
        if best is not None and overlaps[best] >= iou:
            result[i] = best
            free.remove(best)
    return result


@given(detections(), boxes(max_size=10), st.sampled_from([0.1, 0.3, 0.5, 1.0]))
def test_matches_equal_the_reference_implementation(detections: Detections, truth: FloatArray, iou: float) -> None:
    pairs = match(detections.boxes, detections.scores, truth, iou)
    assert pairs.dtype == np.int64
    assert pairs.tolist() == reference_match(detections, truth, iou)


@given(detections(), boxes(max_size=10))
def test_several_thresholds_equal_separate_calls(detections: Detections, truth: FloatArray) -> None:
    ious = (0.75, 0.1, 0.5)
    together = match_at(detections.boxes, detections.scores, truth, ious)
    assert together.shape == (3, len(detections))
    assert together.tolist() == [reference_match(detections, truth, iou) for iou in ious]


def test_the_highest_score_is_matched_to_its_largest_overlap() -> None:
    truth = np.array([[0.0, 0, 10, 10], [4.0, 0, 14, 10]])
    boxes = np.array([[3.0, 0, 13, 10], [4.0, 0, 14, 10], [1.0, 0, 11, 10], [50.0, 50, 60, 60]])
    assert match(boxes, np.array([0.9, 0.8, 0.7, 0.6]), truth, 0.3).tolist() == [1, 0, -1, -1]


def test_empty_inputs() -> None:
    box = np.array([[0.0, 0, 10, 10]])
    none = np.zeros((0, 4))
    assert match(none, np.zeros(0), box, 0.5).tolist() == []
    assert match(box, np.ones(1), none, 0.5).tolist() == [-1]
