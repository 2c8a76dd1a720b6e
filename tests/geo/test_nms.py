"""One detection for each airplane: the plain rule, and its parts against the whole."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.boxes import Suppression
from geo.nms import by_block, join, merge_levels, settle
from geo.types import Detections
from tests.geo.strategies import detections, plain_suppress, rows

RULES = Suppression(0.3, 0.8)
thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])
sides = st.sampled_from([7, 16, 64, 1000])
seeds = st.integers(0, 10_000)


def in_parts(found: Detections, side_px: int, rules: Suppression, seed: int) -> Detections:
    """Merges blocks of that size in whatever order, each with its detections in whatever order."""
    rng = np.random.default_rng(seed)

    def shuffled(detections: Detections) -> Detections:
        return detections.take(rng.permutation(len(detections)))

    blocks = list(by_block(shuffled(found), side_px))
    order = rng.permutation(len(blocks)).tolist()
    return join([settle(blocks[n][0], shuffled(blocks[n][1]), rules) for n in order], rules)


@given(detections(), thresholds, st.sampled_from([0.0, 0.5, 0.8, 1.0]), sides, seeds)
def test_blocks_give_what_one_pass_gives(
    found: Detections, iou: float, containment: float, side_px: int, seed: int
) -> None:
    rules = Suppression(iou, containment)
    assert rows(in_parts(found, side_px, rules, seed)) == rows(merge_levels(found, rules))


@given(st.integers(1, 60), st.integers(5, 30), st.integers(-200, 200), sides, seeds)
def test_chains_across_blocks_give_what_one_pass_gives(
    length: int, step: int, start: int, side_px: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = start + np.arange(length) * float(step)
    boxes = np.column_stack([x, x / 2, x + 40, x / 2 + 40])
    scores = rng.choice([0.5, 0.7, 0.9], length)
    levels = rng.choice([0.5, 1.0, 2.0], length)
    found = Detections(boxes, scores, levels)
    assert rows(in_parts(found, side_px, RULES, seed)) == rows(merge_levels(found, RULES))


@given(sides, seeds)
def test_crowds_give_what_one_pass_gives(side_px: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 120
    low = rng.uniform(-60, 300, (count, 2)).round(1)
    size = rng.choice([0.0, 4.0, 20.0, 90.0], (count, 2))
    found = Detections(
        np.column_stack([low, low + size]), rng.integers(1, 6, count) / 6, rng.choice([0.5, 1, 2], count)
    )
    assert rows(in_parts(found, side_px, RULES, seed)) == rows(merge_levels(found, RULES))


def test_most_is_settled_in_its_block() -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 20_000, (5000, 2))
    found = Detections(np.column_stack([low, low + 60]), rng.uniform(0, 1, 5000), np.ones(5000))
    parts = [settle(block, of, RULES) for block, of in by_block(found, 4096)]
    assert sum(len(part.open) for part in parts) < 0.05 * len(found)
    assert len(join(parts, RULES)) > 4000


def test_nothing_merges_to_nothing() -> None:
    assert list(by_block(Detections.empty(), 64)) == []
    assert len(join([], RULES)) == 0


def test_an_airplane_that_two_levels_see_comes_out_once_with_the_surer_box() -> None:
    boxes = np.array([[10.0, 10, 50, 40], [12.0, 11, 51, 42]])
    for order in ([0, 1], [1, 0]):
        found = Detections(boxes, np.array([0.8, 0.9]), np.array([1.0, 2.0])).take(np.array(order))
        assert rows(merge_levels(found, Suppression(0.5, 0.8))) == [[12, 11, 51, 42, 0.9, 2]]


def test_two_airplanes_wing_to_wing_stay_two() -> None:
    # Turned by 45 degrees, their upright boxes overlap by a third of each.
    boxes = np.array([[0.0, 0, 60, 60], [38.0, 2, 98, 62]])
    for levels in ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0)):
        found = Detections(boxes, np.array([0.9, 0.8]), np.array(levels))
        assert len(merge_levels(found, Suppression(0.5, 0.8))) == 2


def test_a_small_airplane_under_the_wing_of_a_large_one_stays() -> None:
    # Half of it lies in the large one's box; and all of it, where one level sees both.
    large, small, inside = [0.0, 0, 140, 120], [130.0, 100, 150, 115], [110.0, 95, 130, 110]
    for box, levels in ((small, (2.0, 0.5)), (small, (0.5, 0.5)), (inside, (0.5, 0.5))):
        found = Detections(np.array([large, box]), np.array([0.95, 0.6]), np.array(levels))
        assert len(merge_levels(found, Suppression(0.5, 0.8))) == 2


def test_ten_thousand_airplanes_side_by_side_seen_at_two_levels_are_ten_thousand() -> None:
    rng = np.random.default_rng(1)
    low = np.stack(np.meshgrid(np.arange(100) * 30.0, np.arange(100) * 26.0), axis=-1).reshape(-1, 2)
    boxes = np.tile(np.column_stack([low, low + np.array([32, 28])]), (2, 1)) + rng.uniform(-1, 1, (20_000, 4))
    found = Detections(boxes, rng.uniform(0.5, 1, 20_000), np.repeat([0.5, 1.0], 10_000))
    assert len(merge_levels(found, Suppression(0.5, 0.8))) == 10_000


@given(detections(), thresholds, st.sampled_from([0.5, 0.8, 1.0]))
def test_merging_levels_equals_the_plain_rule(found: Detections, iou: float, containment: float) -> None:
    merged = merge_levels(found, Suppression(iou, containment))
    assert rows(merged) == rows(found.take(np.array(plain_suppress(found, iou, containment), dtype=int)))


@given(detections(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_never_matters(found: Detections, random: Random) -> None:
    order = list(range(len(found)))
    random.shuffle(order)
    shuffled, rules = found.take(np.array(order, dtype=int)), Suppression(0.3, 0.8)
    assert rows(merge_levels(found, rules)) == rows(merge_levels(shuffled, rules))


WHOLE, PART = [10.0, 10, 50, 40], [12.0, 12, 22, 22]


@pytest.mark.parametrize(
    ("case", "scores", "levels", "kept"),
    [
        ("a part of a whole that a coarser level saw", (0.9, 0.5), (2, 1), [WHOLE]),
        ("a small airplane beside a large one, of one level", (0.9, 0.5), (1, 1), [WHOLE, PART]),
        ("inside a box of a finer level", (0.9, 0.5), (1, 2), [WHOLE, PART]),
        ("a surer part: the larger box neither suppresses it nor goes", (0.5, 0.9), (2, 1), [PART, WHOLE]),
        ("the same, the larger one finer", (0.5, 0.9), (1, 2), [PART, WHOLE]),
    ],
)
def test_only_parts_of_a_coarser_whole_are_dropped(
    case: str, scores: tuple[float, float], levels: tuple[float, float], kept: list[list[float]]
) -> None:
    found = Detections(np.array([WHOLE, PART]), np.array(scores), np.array(levels))
    assert merge_levels(found, Suppression(0.5, 0.8)).boxes.tolist() == kept, case


@pytest.mark.parametrize(("xmin", "kept"), [(42.0, 1), (42.1, 2), (48.0, 2)])
def test_a_part_must_lie_inside_by_the_share_that_is_asked(xmin: float, kept: int) -> None:
    found = Detections(np.array([WHOLE, [xmin, 12.0, xmin + 10, 22.0]]), np.array([0.9, 0.5]), np.array([2.0, 1.0]))
    assert len(merge_levels(found, Suppression(0.5, 0.8))) == kept


def test_noise_in_the_last_bits_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 500, (60, 2))
    found = Detections(np.column_stack([low, low + rng.uniform(10, 60, (60, 2))]), rng.uniform(0, 1, 60), np.ones(60))
    noisy = Detections(found.boxes * (1 + 1e-13), found.scores * (1 - 1e-13), found.resolution_m)
    assert rows(merge_levels(found, Suppression(0.3, 0.8))) == rows(merge_levels(noisy, Suppression(0.3, 0.8)))


def test_the_surer_of_two_that_are_nearly_sure_stays() -> None:
    boxes = np.array([[0.0, 0, 20, 20], [1.0, 0, 21, 20]])
    merged = merge_levels(Detections(boxes, np.array([0.99997, 0.99999]), np.ones(2)), Suppression(0.5, 0.8))
    assert merged.boxes.tolist() == [[1, 0, 21, 20]]
