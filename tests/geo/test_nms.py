"""One detection for each airplane: the plain rule, and its parts against the whole."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.boxes import Suppression
from geo.nms import by_block, join, merge_levels, settle
from geo.types import Detections
from tests.geo.strategies import detections, plain_merge, rows

RULES = Suppression(0.3, 0.8)
thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])
sides = st.sampled_from([7, 16, 64, 1000])
# Every block costs its time: the smallest ones are for the smallest scenes.
larger_sides = st.sampled_from([30, 64, 1000])
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


@given(st.integers(1, 60), st.integers(5, 30), st.integers(-200, 200), larger_sides, seeds)
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


@given(larger_sides, seeds)
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


@pytest.mark.parametrize(
    ("case", "scores", "box"),
    [
        ("as sure: the finer one weighs twice", (0.9, 0.9), [10.67, 10.33, 50.33, 40.67]),
        ("a little less sure", (0.75, 0.9), [11, 10.5, 50.5, 41]),
        ("far less sure: it has no say", (0.59, 0.9), [12, 11, 51, 42]),
    ],
)
def test_an_airplane_that_two_levels_see_comes_out_once_with_the_box_that_they_agree_on(
    case: str, scores: tuple[float, float], box: list[float]
) -> None:
    boxes = np.array([[10.0, 10, 50, 40], [12.0, 11, 51, 42]])
    for order in ([0, 1], [1, 0]):
        found = Detections(boxes, np.array(scores), np.array([1.0, 2.0])).take(np.array(order))
        (merged,) = rows(merge_levels(found, Suppression(0.5, 0.8)))
        assert merged == [*box, 0.9, 1 if scores[0] == 0.9 else 2], case


def test_what_two_tiles_of_one_level_saw_counts_once() -> None:
    boxes = np.array([[10.0, 10, 50, 40], [12.0, 10, 50, 40], [14.0, 10, 50, 40]])
    found = Detections(boxes, np.full(3, 0.9), np.array([1.0, 1.0, 2.0]))
    (merged,) = merge_levels(found, Suppression(0.5, 0.8)).boxes.tolist()
    assert merged == [12, 10, 50, 40]  # (2 * 11 + 14) / 3


def test_a_part_has_no_say_in_the_box_of_its_whole() -> None:
    found = Detections(np.array([WHOLE, PART]), np.array([0.9, 0.89]), np.array([2.0, 1.0]))
    assert merge_levels(found, Suppression(0.5, 0.8)).boxes.tolist() == [WHOLE]


def test_levels_that_are_not_known_weigh_alike() -> None:
    found = Detections(np.add([WHOLE, WHOLE], [[0], [2]]), np.array([0.9, 0.9]), np.full(2, np.nan))
    assert merge_levels(found, Suppression(0.5, 0.8)).boxes.tolist() == [[11, 11, 51, 41]]


@given(st.integers(1, 40), seeds)
def test_near_ties_between_levels_do_not_move_boxes(count: int, seed: int) -> None:
    """Airplanes side by side, seen by one level to three: noise decides which scores highest, and moves no box.

    Neither does it where a detection comes and goes at the threshold, which is applied before.
    """
    rng = np.random.default_rng(seed)
    low = np.column_stack([np.arange(count) * 60.0, np.zeros(count)])
    airplanes = np.column_stack([low, low + rng.uniform(30, 45, (count, 2))])
    number = np.repeat(np.arange(count), rng.integers(1, 4, count))
    first = np.diff(number, prepend=-1) > 0
    levels_m = np.concatenate([rng.permutation([0.5, 1.0, 2.0])[:seen] for seen in np.bincount(number)])
    boxes = airplanes[number] + rng.uniform(-2, 2, (len(number), 4))
    below = np.where(first, 0.0, rng.choice([0.0, 0.01, 0.1, 0.35], len(number)))

    def merged() -> Detections:
        scores = 0.9 - below + rng.uniform(-0.007, 0.007, len(number))
        found = Detections(boxes + rng.uniform(-0.05, 0.05, boxes.shape), scores, levels_m)
        result = merge_levels(found.take(scores >= 0.55), Suppression(0.5, 0.8))
        return result.take(np.argsort(result.boxes[:, 0]))

    one, other = merged(), merged()
    assert len(one) == len(other) == count
    # The noise of the boxes, and of the weights, between boxes that lie at most 4 px apart.
    assert np.abs(one.boxes - other.boxes).max() < 0.1 + 4 * 2 * 0.014 / 0.3
    np.testing.assert_allclose(one.scores, other.scores, atol=0.0141)


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
    merged = rows(merge_levels(found, Suppression(iou, containment)))
    assert merged == sorted(merged, key=lambda row: (-row[4], *row[:4]))
    # What lies between two steps of the rounding may be rounded to either.
    left = merged.copy()
    for row in plain_merge(found, iou, containment):
        (at, *_) = [
            n for n, one in enumerate(left) if one[4:] == row[4:] and np.allclose(one, row, rtol=0, atol=0.00501)
        ]
        left.pop(at)
    assert not left


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


def test_of_two_that_are_nearly_sure_the_score_of_the_surer_stays() -> None:
    boxes = np.array([[0.0, 0, 20, 20], [1.0, 0, 21, 20]])
    merged = merge_levels(Detections(boxes, np.array([0.99997, 0.99999]), np.ones(2)), Suppression(0.5, 0.8))
    assert merged.scores.tolist() == [0.99999]
