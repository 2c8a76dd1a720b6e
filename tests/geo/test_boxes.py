"""Overlap of boxes against counted pixels."""

import numpy as np
import pytest
from hypothesis import given

from geo.boxes import area, iom_matrix, iou_matrix
from geo.types import FloatArray
from tests.geo.strategies import boxes, pixels_of, plain_iou


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
