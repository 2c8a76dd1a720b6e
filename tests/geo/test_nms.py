"""Suppression against plain implementations of its rules, and suppression in chunks against one pass."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import nms
from geo.boxes import iou_pairs
from geo.errors import ConfigError
from geo.nms import (
    Suppression,
    box_voting,
    local_nms,
    merge_levels,
    merge_local_results,
    round_detections,
    split_into_chunks,
    suppress,
)
from geo.types import Detections, FloatArray, IndexArray
from tests.geo.strategies import detections, plain_iou, plain_merge, plain_suppress, rows

SUPPRESSION = Suppression(0.3, 0.8)
AIRPLANE, PART = [10.0, 10, 50, 40], [12.0, 12, 22, 22]
thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])
sides = st.sampled_from([7, 16, 64, 1000])
# The time grows with the number of chunks: the smallest ones are for the smallest scenes.
larger_sides = st.sampled_from([30, 64, 1000])
seeds = st.integers(0, 10_000)


def merge_in_chunks(scene: Detections, side_px: int, suppression: Suppression, seed: int) -> Detections:
    """Merge in chunks of that side, with the chunks and the detections of each in random order."""
    rng = np.random.default_rng(seed)

    def shuffled(detections: Detections) -> Detections:
        return detections.take(rng.permutation(len(detections)))

    chunks = list(split_into_chunks(shuffled(scene), side_px))
    order = rng.permutation(len(chunks)).tolist()
    results = [local_nms(chunks[n][0], shuffled(chunks[n][1]), suppression) for n in order]
    return merge_local_results(results, suppression)


def shuffled_order(detections: Detections, random: Random) -> IndexArray:
    order = list(range(len(detections)))
    random.shuffle(order)
    return np.array(order, dtype=np.int64)


@given(detections(), thresholds)
def test_suppression_equals_the_plain_rule(drawn: Detections, iou: float) -> None:
    kept = suppress(drawn.boxes, drawn.scores, iou)
    assert kept.dtype == np.int64
    assert drawn.boxes[kept].tolist() == drawn.boxes[plain_suppress(drawn, iou)].tolist()
    assert (np.diff(drawn.scores[kept]) <= 0).all()


def test_suppression_does_not_compare_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    pair_count = 0
    original = iou_pairs

    def counted(a: FloatArray, b: FloatArray) -> FloatArray:
        nonlocal pair_count
        pair_count += len(a)
        return original(a, b)

    monkeypatch.setattr(nms, "iou_pairs", counted)
    count = 5000
    low = np.column_stack([np.arange(count) % 100, np.arange(count) // 100]) * 30.0
    spread = np.column_stack([low, low + 40])
    stacked = np.tile(np.array([[9000.0, 9000, 9040, 9040]]), (count, 1)) + np.linspace(0, 1, count)[:, None]
    kept = suppress(np.concatenate([spread, stacked]), np.linspace(0.9, 0.1, 2 * count), 0.5)
    assert kept.tolist() == list(range(count + 1))
    assert 0 < pair_count < 500 * count


@given(detections(), thresholds, st.randoms(use_true_random=False))
def test_box_voting_averages_the_overlapping_boxes(drawn: Detections, iou: float, random: Random) -> None:
    kept = suppress(drawn.boxes, drawn.scores, 0.5)
    means = box_voting(drawn.boxes, kept, iou)
    for i, mean in zip(kept, means, strict=True):
        voters = [k for k in range(len(drawn)) if plain_iou(drawn.boxes[i], drawn.boxes[k]) >= iou]
        # At a threshold of 0 all boxes that touch count, which depends on the spatial index.
        if iou > 0:
            np.testing.assert_allclose(mean, drawn.boxes[voters].mean(axis=0))
    shuffled = drawn.take(shuffled_order(drawn, random))
    again = box_voting(shuffled.boxes, suppress(shuffled.boxes, shuffled.scores, 0.5), iou)
    assert again.tolist() == means.tolist()


def test_box_voting_without_boxes_and_with_boxes_without_area() -> None:
    assert box_voting(np.zeros((0, 4)), np.zeros(0, np.int64), 0.6).shape == (0, 4)
    flat = np.array([[3.0, 3, 3, 9], [3, 3, 3, 9], [20, 20, 30, 30], [20, 20, 30, 30]])
    np.testing.assert_allclose(box_voting(flat, np.array([0, 3]), 0.6), flat[[0, 3]])


def test_boxes_are_rounded_to_a_hundredth_of_a_pixel_without_negative_zeros() -> None:
    rounded = round_detections(Detections([[-0.001, 1.234, 5.678, 9.016]], [0.98765432], [0.5]))  # type: ignore[arg-type]
    assert rows(rounded) == [[0.0, 1.23, 5.68, 9.02, 0.987654, 0.5]]
    assert not np.signbit(rounded.boxes).any()


@pytest.mark.parametrize(
    ("iou", "containment", "name"), [(-0.1, 0.5, "iou"), (0.5, 1.1, "containment"), (float("nan"), 0.5, "iou")]
)
def test_thresholds_out_of_range_are_rejected(iou: float, containment: float, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"suppression\.{name}: expected .*, got .*: "):
        Suppression(iou, containment)


@given(detections(), thresholds, st.sampled_from([0.0, 0.5, 0.8, 1.0]), sides, seeds)
def test_merging_in_chunks_equals_one_pass(
    drawn: Detections, iou: float, containment: float, side_px: int, seed: int
) -> None:
    suppression = Suppression(iou, containment)
    assert rows(merge_in_chunks(drawn, side_px, suppression, seed)) == rows(merge_levels(drawn, suppression))


@given(st.integers(1, 60), st.integers(5, 30), st.integers(-200, 200), larger_sides, seeds)
def test_chains_across_chunks_merge_as_in_one_pass(length: int, step: int, start: int, side_px: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = start + np.arange(length) * float(step)
    boxes = np.column_stack([x, x / 2, x + 40, x / 2 + 40])
    scores = rng.choice([0.5, 0.7, 0.9], length)
    levels = rng.choice([0.5, 1.0, 2.0], length)
    scene = Detections(boxes, scores, levels)
    assert rows(merge_in_chunks(scene, side_px, SUPPRESSION, seed)) == rows(merge_levels(scene, SUPPRESSION))


@given(larger_sides, seeds)
def test_dense_detections_merge_in_chunks_as_in_one_pass(side_px: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 120
    low = rng.uniform(-60, 300, (count, 2)).round(1)
    size = rng.choice([0.0, 4.0, 20.0, 90.0], (count, 2))
    scene = Detections(
        np.column_stack([low, low + size]), rng.integers(1, 6, count) / 6, rng.choice([0.5, 1, 2], count)
    )
    assert rows(merge_in_chunks(scene, side_px, SUPPRESSION, seed)) == rows(merge_levels(scene, SUPPRESSION))


def test_few_detections_are_deferred() -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 20_000, (5000, 2))
    scene = Detections(np.column_stack([low, low + 60]), rng.uniform(0, 1, 5000), np.ones(5000))
    results = [local_nms(chunk, touching, SUPPRESSION) for chunk, touching in split_into_chunks(scene, 4096)]
    assert sum(len(result.deferred) for result in results) < 0.05 * len(scene)
    assert len(merge_local_results(results, SUPPRESSION)) > 4000


def test_scenes_without_detections_have_no_chunks() -> None:
    assert list(split_into_chunks(Detections.empty(), 64)) == []
    assert len(merge_local_results([], SUPPRESSION)) == 0


@pytest.mark.parametrize(
    ("case", "scores", "box"),
    [
        ("equal scores: the finer level has twice the weight", (0.9, 0.9), [10.67, 10.33, 50.33, 40.67]),
        ("a slightly lower score of the finer level", (0.75, 0.9), [11, 10.5, 50.5, 41]),
        ("a far lower score: weight 0", (0.59, 0.9), [12, 11, 51, 42]),
    ],
)
def test_a_merged_box_is_the_weighted_mean_over_levels(
    case: str, scores: tuple[float, float], box: list[float]
) -> None:
    boxes = np.array([[10.0, 10, 50, 40], [12.0, 11, 51, 42]])
    for order in ([0, 1], [1, 0]):
        scene = Detections(boxes, np.array(scores), np.array([1.0, 2.0])).take(np.array(order))
        (merged,) = rows(merge_levels(scene, Suppression(0.5, 0.8)))
        assert merged == [*box, 0.9, 1 if scores[0] == 0.9 else 2], case


def test_a_level_counts_once_in_the_mean_even_with_two_tiles() -> None:
    boxes = np.array([[10.0, 10, 50, 40], [12.0, 10, 50, 40], [14.0, 10, 50, 40]])
    scene = Detections(boxes, np.full(3, 0.9), np.array([1.0, 1.0, 2.0]))
    (merged,) = merge_levels(scene, Suppression(0.5, 0.8)).boxes.tolist()
    assert merged == [12, 10, 50, 40]  # (2 * 11 + 14) / 3


def test_parts_do_not_take_part_in_the_mean() -> None:
    scene = Detections(np.array([AIRPLANE, PART]), np.array([0.9, 0.89]), np.array([2.0, 1.0]))
    assert merge_levels(scene, Suppression(0.5, 0.8)).boxes.tolist() == [AIRPLANE]


def test_unknown_levels_have_equal_weights() -> None:
    scene = Detections(np.add([AIRPLANE, AIRPLANE], [[0], [2]]), np.array([0.9, 0.9]), np.full(2, np.nan))
    assert merge_levels(scene, Suppression(0.5, 0.8)).boxes.tolist() == [[11, 11, 51, 41]]


@given(st.integers(1, 40), seeds)
def test_noise_of_scores_does_not_move_boxes(count: int, seed: int) -> None:
    """Noise in scores and boxes decides which level scores highest, but moves boxes by no more than the noise.

    Nor does a detection that noise lifts above the threshold, which is applied before the merge.
    """
    rng = np.random.default_rng(seed)
    low = np.column_stack([np.arange(count) * 60.0, np.zeros(count)])
    airplanes = np.column_stack([low, low + rng.uniform(30, 45, (count, 2))])
    airplane = np.repeat(np.arange(count), rng.integers(1, 4, count))
    first = np.diff(airplane, prepend=-1) > 0
    levels_m = np.concatenate([rng.permutation([0.5, 1.0, 2.0])[:level_count] for level_count in np.bincount(airplane)])
    boxes = airplanes[airplane] + rng.uniform(-2, 2, (len(airplane), 4))
    score_gaps = np.where(first, 0.0, rng.choice([0.0, 0.01, 0.1, 0.35], len(airplane)))

    def merge_with_noise() -> Detections:
        scores = 0.9 - score_gaps + rng.uniform(-0.007, 0.007, len(airplane))
        scene = Detections(boxes + rng.uniform(-0.05, 0.05, boxes.shape), scores, levels_m)
        result = merge_levels(scene.take(scores >= 0.55), Suppression(0.5, 0.8))
        return result.take(np.argsort(result.boxes[:, 0]))

    first_result, second_result = merge_with_noise(), merge_with_noise()
    assert len(first_result) == len(second_result) == count
    # The noise of the boxes, and of the weights, between boxes that lie at most 4 px apart.
    assert np.abs(first_result.boxes - second_result.boxes).max() < 0.1 + 4 * 2 * 0.014 / 0.3
    np.testing.assert_allclose(first_result.scores, second_result.scores, atol=0.0141)


def test_airplanes_wing_to_wing_are_both_kept() -> None:
    # Turned by 45 degrees, their upright boxes overlap by a third of each.
    boxes = np.array([[0.0, 0, 60, 60], [38.0, 2, 98, 62]])
    for levels in ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0)):
        scene = Detections(boxes, np.array([0.9, 0.8]), np.array(levels))
        assert len(merge_levels(scene, Suppression(0.5, 0.8))) == 2


def test_a_small_airplane_under_the_wing_of_a_large_one_is_kept() -> None:
    # Half of it lies in the large one's box; and all of it, where one level sees both.
    large, small, inside = [0.0, 0, 140, 120], [130.0, 100, 150, 115], [110.0, 95, 130, 110]
    for box, levels in ((small, (2.0, 0.5)), (small, (0.5, 0.5)), (inside, (0.5, 0.5))):
        scene = Detections(np.array([large, box]), np.array([0.95, 0.6]), np.array(levels))
        assert len(merge_levels(scene, Suppression(0.5, 0.8))) == 2


def test_ten_thousand_adjacent_airplanes_on_two_levels_merge_to_ten_thousand() -> None:
    rng = np.random.default_rng(1)
    low = np.stack(np.meshgrid(np.arange(100) * 30.0, np.arange(100) * 26.0), axis=-1).reshape(-1, 2)
    boxes = np.tile(np.column_stack([low, low + np.array([32, 28])]), (2, 1)) + rng.uniform(-1, 1, (20_000, 4))
    scene = Detections(boxes, rng.uniform(0.5, 1, 20_000), np.repeat([0.5, 1.0], 10_000))
    assert len(merge_levels(scene, Suppression(0.5, 0.8))) == 10_000


@given(detections(), thresholds, st.sampled_from([0.5, 0.8, 1.0]))
def test_merging_levels_equals_the_plain_rule(drawn: Detections, iou: float, containment: float) -> None:
    merged = rows(merge_levels(drawn, Suppression(iou, containment)))
    assert merged == sorted(merged, key=lambda row: (-row[4], *row[:4]))
    # Half-way values may be rounded up or down.
    unmatched = merged.copy()
    for expected in plain_merge(drawn, iou, containment):
        (index, *_) = [
            n
            for n, row in enumerate(unmatched)
            if row[4:] == expected[4:] and np.allclose(row, expected, rtol=0, atol=0.00501)
        ]
        unmatched.pop(index)
    assert not unmatched


@given(detections(), st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_the_input_order(drawn: Detections, random: Random) -> None:
    shuffled = drawn.take(shuffled_order(drawn, random))
    assert rows(merge_levels(drawn, SUPPRESSION)) == rows(merge_levels(shuffled, SUPPRESSION))


@pytest.mark.parametrize(
    ("case", "scores", "levels", "kept"),
    [
        ("a part of an airplane of a coarser level", (0.9, 0.5), (2, 1), [AIRPLANE]),
        ("a small airplane beside a large one, on the same level", (0.9, 0.5), (1, 1), [AIRPLANE, PART]),
        ("inside a box of a finer level", (0.9, 0.5), (1, 2), [AIRPLANE, PART]),
        ("a part with a higher score: both are kept", (0.5, 0.9), (2, 1), [PART, AIRPLANE]),
        ("the same, the larger one finer", (0.5, 0.9), (1, 2), [PART, AIRPLANE]),
    ],
)
def test_only_parts_of_airplanes_of_coarser_levels_are_suppressed(
    case: str, scores: tuple[float, float], levels: tuple[float, float], kept: list[list[float]]
) -> None:
    scene = Detections(np.array([AIRPLANE, PART]), np.array(scores), np.array(levels))
    assert merge_levels(scene, Suppression(0.5, 0.8)).boxes.tolist() == kept, case


@pytest.mark.parametrize(("xmin", "kept"), [(42.0, 1), (42.1, 2), (48.0, 2)])
def test_parts_are_suppressed_from_the_containment_threshold_on(xmin: float, kept: int) -> None:
    scene = Detections(np.array([AIRPLANE, [xmin, 12.0, xmin + 10, 22.0]]), np.array([0.9, 0.5]), np.array([2.0, 1.0]))
    assert len(merge_levels(scene, Suppression(0.5, 0.8))) == kept


def test_noise_in_the_last_bits_does_not_change_the_result() -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 500, (60, 2))
    scene = Detections(np.column_stack([low, low + rng.uniform(10, 60, (60, 2))]), rng.uniform(0, 1, 60), np.ones(60))
    noisy = Detections(scene.boxes * (1 + 1e-13), scene.scores * (1 - 1e-13), scene.resolution_m)
    assert rows(merge_levels(scene, SUPPRESSION)) == rows(merge_levels(noisy, SUPPRESSION))


def test_of_two_scores_near_1_the_higher_is_kept() -> None:
    boxes = np.array([[0.0, 0, 20, 20], [1.0, 0, 21, 20]])
    merged = merge_levels(Detections(boxes, np.array([0.99997, 0.99999]), np.ones(2)), Suppression(0.5, 0.8))
    assert merged.scores.tolist() == [0.99999]
