import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.types import Detections
from model import tile_metrics

Boxes = NDArray[np.float64]
NONE = np.zeros((0, 4))
SIDE = 40
AIRPLANE = np.array([[10.0, 10, 30, 20]])  # 20 long


def detections(boxes: Boxes, scores: list[float] | None = None) -> Detections:
    falling = np.linspace(0.9, 0.6, len(boxes))
    return Detections(boxes, falling if scores is None else np.array(scores), np.full(len(boxes), 0.5))


def drawn_boxes(generator: np.random.Generator, count: int) -> Boxes:
    corners = np.sort(generator.integers(0, SIDE + 1, (count, 2, 2)), axis=1)
    return corners.reshape(count, 4).astype(float)


def covered(boxes: Boxes) -> NDArray[np.bool_]:
    """The pixels that boxes of whole pixels cover."""
    pixels = np.zeros((SIDE, SIDE), bool)
    for xmin, ymin, xmax, ymax in boxes.astype(int):
        pixels[ymin:ymax, xmin:xmax] = True
    return pixels


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_iou_is_a_matter_of_counting_pixels(seed: int, found: int, true: int) -> None:
    generator = np.random.default_rng(seed)
    one, other = drawn_boxes(generator, found), drawn_boxes(generator, true)
    a, b = covered(one), covered(other)
    wanted = (a & b).sum() / (a | b).sum() if (a | b).any() else math.nan
    np.testing.assert_allclose(tile_metrics.iou(one, other), wanted, atol=1e-12)


def test_iou_counts_ground_once_and_knows_fractions_of_pixels() -> None:
    found = np.array([[10.0, 10, 20, 20], [10, 10, 20, 20], [10, 10, 15, 20]])
    assert tile_metrics.iou(found, AIRPLANE) == pytest.approx(0.5)
    assert tile_metrics.iou(np.array([[10.25, 10, 30, 20]]), AIRPLANE) == pytest.approx(19.75 / 20)
    assert tile_metrics.iou(AIRPLANE + 100, AIRPLANE) == 0


def counts(found: Detections, truth: Boxes) -> tuple[int, int, int]:
    of = tile_metrics.mistakes(found, truth)
    assert of.false.shape == of.off.shape == (len(found),)
    assert of.missed.shape == (len(truth),)
    assert of.count == of.false.sum() + of.off.sum() + of.missed.sum()
    return int(of.false.sum()), int(of.off.sum()), int(of.missed.sum())


def test_what_is_found_and_in_its_place_is_no_mistake() -> None:
    assert counts(detections(AIRPLANE), AIRPLANE) == (0, 0, 0)
    assert counts(detections(NONE), NONE) == (0, 0, 0)


def test_false_and_missed_ones_are_mistakes() -> None:
    assert counts(detections(AIRPLANE), NONE) == (1, 0, 0)
    assert counts(detections(NONE), AIRPLANE) == (0, 0, 1)
    # So far off that it is neither: two mistakes.
    assert counts(detections(AIRPLANE + 15), AIRPLANE) == (1, 0, 1)


def test_an_airplane_is_found_once_by_the_surest() -> None:
    both = np.concatenate([AIRPLANE + 1, AIRPLANE])
    assert counts(detections(both), AIRPLANE) == (1, 0, 0)
    np.testing.assert_array_equal(tile_metrics.mistakes(detections(both), AIRPLANE).false, [False, True])
    np.testing.assert_array_equal(tile_metrics.mistakes(detections(both, [0.6, 0.9]), AIRPLANE).false, [True, False])


@pytest.mark.parametrize(
    ("moved", "off"),
    [
        ([5.9, 0, 5.9, 0], 0),  # 30 % of 20 are 6
        ([6.1, 0, 6.1, 0], 1),
        ([-6.1, 0, -6.1, 0], 1),
        ([0, 5.9, 0, 5.9], 0),
        ([4.3, 4.3, 4.3, 4.3], 1),  # 6.08 in all
        ([-2.9, 0, 2.9, 0], 0),
        ([-3.1, 0, 3.1, 0], 1),
        ([3.1, 0, -3.1, 0], 1),
        ([0, -5, 0, 5], 0),  # the shorter side becomes as long as the longer one
    ],
)
def test_position_and_size_may_be_off_by_30_percent(moved: list[float], off: int) -> None:
    assert counts(detections(AIRPLANE + np.array(moved)), AIRPLANE) == (0, off, 0)


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_every_box_has_one_fate(seed: int, found: int, true: int) -> None:
    generator = np.random.default_rng(seed)
    one, other = (np.unique(drawn_boxes(generator, count) + np.array([0, 0, 3, 3]), axis=0) for count in (found, true))
    of = tile_metrics.mistakes(detections(one), other)
    assert not (of.false & of.off).any()
    assert (~of.false).sum() == (~of.missed).sum()
    assert of.count >= abs(len(one) - len(other))


def test_figures_are_means_over_tiles_and_empty_ones_say_nothing_of_overlap() -> None:
    half = np.array([[10.0, 10, 20, 20]])
    tiles = [
        (detections(AIRPLANE), AIRPLANE),
        (detections(half), AIRPLANE),  # off
        (detections(NONE), NONE),
        (detections(np.concatenate([AIRPLANE, half + 15])), NONE),
    ]
    found = tile_metrics.figures(tiles)
    assert found.tiles == 4
    assert found.iou == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.mistakes == pytest.approx((0 + 1 + 0 + 2) / 4)


def test_figures_of_nothing_are_no_numbers() -> None:
    nothing, empty = tile_metrics.figures([]), tile_metrics.figures([(detections(NONE), NONE)])
    assert math.isnan(nothing.iou)
    assert math.isnan(nothing.mistakes)
    assert math.isnan(empty.iou)
    assert empty.mistakes == 0
