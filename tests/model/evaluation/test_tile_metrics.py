import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.matching import match
from geo.types import Detections
from model.evaluation import tile_metrics

Boxes = NDArray[np.float64]
NONE = np.zeros((0, 4))
SIDE = 40
WIDTH, HEIGHT = 600, 400  # 3 x 2 tiles
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


def picture(seed: int) -> tuple[Detections, Boxes]:
    """Airplanes, some across a seam or beyond the picture, and detections near them and elsewhere."""
    generator = np.random.default_rng(seed)
    count = generator.integers(0, 9)
    x = generator.choice([-5, 0, 100, 250, 256, 262, 511, 512, 590, 599, 606], count)
    y = generator.choice([-5, 0, 100, 250, 256, 262, 390, 399, 406], count)
    centres = np.stack([x, y], axis=1)
    sizes = generator.integers(8, 60, (len(centres), 2))
    truth = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    near = np.repeat(truth, generator.integers(0, 3, len(truth)), axis=0)
    near = near + generator.integers(-9, 10, near.shape) / 2
    elsewhere = generator.integers(0, (WIDTH, HEIGHT), (generator.integers(0, 6), 2)).astype(float)
    boxes = np.concatenate([near, np.concatenate([elsewhere, elsewhere + 12], axis=1)])
    return detections(boxes, list(generator.integers(0, 9, len(boxes)) / 9)), truth


def tile_of(box: Boxes) -> tuple[int, int]:
    """Row and column by counting the seams that the centre has passed."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return int(y >= 256), int(x >= 256) + int(x >= 512)


def rows(boxes: Boxes) -> list[list[float]]:
    return sorted(boxes.tolist())


@given(st.integers(0, 2**32 - 1))
def test_tiles_have_what_is_centred_in_them_and_pairs_stay_together(seed: int) -> None:
    found, truth = picture(seed)
    pairs = match(found.boxes, found.scores, truth, 0.1)
    wanted: dict[tuple[int, int], tuple[list[Boxes], list[Boxes]]] = {
        (row, column): ([], []) for row in range(2) for column in range(3)
    }
    for box, pair in zip(found.boxes, pairs, strict=True):
        wanted[tile_of(box if pair < 0 else truth[pair])][0].append(box)
    for box in truth:
        wanted[tile_of(box)][1].append(box)
    tiles = tile_metrics.cut(found, truth, WIDTH, HEIGHT)
    assert [(rows(of.boxes), rows(boxes)) for of, boxes in tiles] == [
        tuple(rows(np.array(some).reshape(-1, 4)) for some in each) for each in wanted.values()
    ]


@given(st.integers(0, 2**32 - 1))
def test_the_mistakes_of_all_tiles_are_those_of_the_picture(seed: int) -> None:
    found, truth = picture(seed)
    tiles = tile_metrics.cut(found, truth, WIDTH, HEIGHT)
    whole = tile_metrics.mistakes(found, truth)
    for name in ("false", "off", "missed"):
        each = [getattr(tile_metrics.mistakes(*tile), name).sum() for tile in tiles]
        assert sum(each) == getattr(whole, name).sum()
    assert tile_metrics.figures(tiles).mistakes == pytest.approx(whole.count / 6)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 3))
def test_tiles_move_with_their_picture(seed: int, across: int, down: int) -> None:
    found, truth = picture(seed)
    # What lies before the first tile would find a nearer one.
    away = 256.0 * np.array([across, down] * 2)
    found, truth = replace(found, boxes=np.maximum(found.boxes, 0)), np.maximum(truth, 0)
    moved = tile_metrics.cut(replace(found, boxes=found.boxes + away), truth + away, WIDTH + 768, HEIGHT + 768)
    at = [(row + down) * 6 + column + across for row in range(2) for column in range(3)]
    here = tile_metrics.figures(tile_metrics.cut(found, truth, WIDTH, HEIGHT))
    there = tile_metrics.figures([moved[place] for place in at])
    assert (there.tiles, there.mistakes) == (here.tiles, here.mistakes)
    np.testing.assert_allclose(there.iou, here.iou, atol=1e-12)
    assert sum(len(of) + len(boxes) for of, boxes in moved) == len(found) + len(truth)


def test_a_seam_between_two_centres_makes_nothing_wrong() -> None:
    truth = np.array([[246.0, 100, 266.2, 120]])  # centre at 256.1
    tiles = tile_metrics.cut(detections(truth - 0.4), truth, 512, 256)
    assert [(len(found), len(boxes)) for found, boxes in tiles] == [(0, 0), (1, 1)]
    assert tile_metrics.figures(tiles).mistakes == 0
