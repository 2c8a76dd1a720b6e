import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.boxes import iom_matrix, iou_matrix, score_order
from geo.types import Detections
from model.evaluation import metrics
from model.evaluation.metrics import Outcomes

Array = NDArray[np.float64]
WIDTH, HEIGHT = 200, 120
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def all_outcomes(draw: st.DrawFn, least: int = 0) -> Outcomes:
    """Outcomes with many equal scores and any share of right ones."""
    count = draw(st.integers(least, 30))
    generator = np.random.default_rng(draw(SEEDS))
    correct = generator.random(count) < generator.random()
    truths = int(correct.sum()) + draw(st.integers(0, 8))
    return Outcomes(generator.integers(1, 12, count) / 12, correct, truths, 1)


def detections(boxes: Array, scores: Array) -> Detections:
    return Detections(boxes, scores, np.full(len(boxes), np.nan))


def drawn_picture(generator: np.random.Generator) -> tuple[Detections, Array]:
    """Airplanes away from the edges of a picture, and detections near some of them and elsewhere."""
    low = generator.uniform(5, [150, 70], (generator.integers(0, 7), 2))
    truth = np.concatenate([low, low + generator.uniform(10, 40, low.shape)], axis=1)
    near = truth[generator.random(len(truth)) < 0.8]
    boxes = np.concatenate([near + generator.normal(0, 2, near.shape), truth[::2] + 1, near[:2] * 0.5 + 3])
    return detections(boxes, generator.integers(1, 9, len(boxes)) / 9), truth


def slow_average_precision(of: Outcomes) -> float:
    """The mean over 101 recalls of the best precision among all thresholds that reach that recall."""
    points = []
    for threshold in np.unique(of.scores):
        right = sum(bool(c) for c, s in zip(of.correct, of.scores, strict=True) if s >= threshold)
        points.append((right / of.truths, right / sum(s >= threshold for s in of.scores)))
    recalls = np.linspace(0, 1, 101)
    return sum(max((p for r, p in points if r >= recall), default=0.0) for recall in recalls) / 101


@given(all_outcomes())
def test_average_precision_equals_a_slow_one(of: Outcomes) -> None:
    found = metrics.average_precision(of)
    assert math.isnan(found) if of.truths == 0 else found == pytest.approx(slow_average_precision(of))


@given(all_outcomes(least=1), SEEDS)
def test_average_precision_knows_the_order_of_scores_alone(of: Outcomes, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(of.scores))
    moved = replace(of, scores=of.scores[order] ** 3 / 2, correct=of.correct[order])
    np.testing.assert_equal(metrics.average_precision(moved), metrics.average_precision(of))


@given(all_outcomes(), st.floats(0, 1))
def test_a_false_detection_never_helps_and_a_missed_airplane_always_harms(of: Outcomes, score: float) -> None:
    of = replace(of, truths=of.truths + 1)
    worse = Outcomes.concatenate([of, Outcomes(np.array([score]), np.array([False]), 0, 0)])
    assert metrics.average_precision(worse) <= metrics.average_precision(of)
    missed = replace(of, truths=of.truths + 1)
    assert metrics.average_precision(missed) <= metrics.average_precision(of)
    assert metrics.at_threshold(missed, score).missed == metrics.at_threshold(of, score).missed + 1


@given(all_outcomes(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_finds_less(of: Outcomes, one: float, other: float) -> None:
    low, high = (metrics.at_threshold(of, score) for score in sorted((one, other)))
    assert low.right >= high.right
    assert low.wrong >= high.wrong
    assert low.recall >= high.recall
    for at in (low, high):
        assert at.right + at.missed == of.truths
        assert 0 <= at.f1 <= 1


@given(all_outcomes(least=1))
def test_the_best_threshold_is_the_best_of_all_and_the_highest_of_equals(of: Outcomes) -> None:
    def f1(threshold: float) -> Fraction:
        chosen = of.scores >= threshold
        return Fraction(2 * int(of.correct[chosen].sum()), int(chosen.sum()) + of.truths)

    best = metrics.best_f1(of)
    assert best.min_score == max((f1(score), score) for score in of.scores)[1]
    assert best.f1 == pytest.approx(float(f1(best.min_score)))


def test_equal_thresholds_are_equal_to_the_last_bit() -> None:
    # 1 right of 4 and 2 right of 10, of 2: F1 = 2/6 = 4/12. From rounded precisions the second comes out larger.
    scores = np.repeat([0.9, 0.5], [4, 6])
    correct = np.isin(np.arange(10), [0, 4])
    assert metrics.best_f1(Outcomes(scores, correct, 2, 1)).min_score == 0.9


def test_no_threshold_is_chosen_from_nothing() -> None:
    with pytest.raises(ValueError, match="none"):
        metrics.best_f1(Outcomes(np.zeros(0), np.zeros(0, bool), 3, 1))


def test_nothing_found_and_nothing_there_is_no_mistake() -> None:
    nothing = metrics.at_threshold(Outcomes.concatenate([]), 0.5)
    assert (nothing.precision, nothing.recall, nothing.f1) == (1, 1, 1)


@given(all_outcomes(), all_outcomes())
def test_pictures_add_up(one: Outcomes, other: Outcomes) -> None:
    both = Outcomes.concatenate([one, other])
    assert both.pictures == 2
    parts, whole = [metrics.at_threshold(of, 0.4) for of in (one, other)], metrics.at_threshold(both, 0.4)
    assert [whole.right, whole.wrong, whole.missed] == [
        sum(values) for values in zip(*[(p.right, p.wrong, p.missed) for p in parts], strict=True)
    ]


@given(SEEDS)
def test_the_truth_itself_scores_one(seed: int) -> None:
    _, truth = drawn_picture(np.random.default_rng(seed))
    # Boxes drawn over one another could take each other's detections.
    truth = truth[:1]
    of = metrics.outcomes(detections(truth, np.full(len(truth), 0.7)), truth, WIDTH, HEIGHT, 0.9)
    assert of.correct.all()
    np.testing.assert_equal(metrics.average_precision(of), 1.0 if len(truth) else math.nan)


@given(SEEDS, st.sampled_from(["left", "top", "right", "bottom"]), st.integers(0, 3))
def test_airplanes_cut_by_the_edge_neither_count_nor_harm(seed: int, edge: str, hits: int) -> None:
    generator = np.random.default_rng(seed)
    found, truth = drawn_picture(generator)
    # In a wider picture there is room for a cut airplane that meets nothing else.
    cut = {
        "left": [0, 300, 20, 330],
        "top": [240, 0, 270, 20],
        "right": [380.5, 300, 400, 330],
        "bottom": [300, 379, 330, 400],
    }
    box = np.array([cut[edge]], np.float64)
    on_it = np.repeat(box, hits, axis=0) + generator.normal(0, 1, (hits, 4))
    more = Detections.concatenate([found, detections(on_it, generator.random(hits))])
    without = metrics.outcomes(found, truth, 400, 400, 0.5)
    with_cut = metrics.outcomes(more, np.concatenate([truth, box]), 400, 400, 0.5)
    assert with_cut.truths == without.truths == len(truth)
    np.testing.assert_array_equal(with_cut.scores, without.scores)
    np.testing.assert_array_equal(with_cut.correct, without.correct)


def test_a_detection_at_the_edge_counts_only_where_it_is_right() -> None:
    truth = np.array([[10.0, 10, 30, 30]])
    boxes = np.array([[11.0, 10, 30, 30], [0, 50, 20, 70], [60, 60, 80, 80]])
    of = metrics.outcomes(detections(boxes, np.array([0.9, 0.8, 0.7])), truth, WIDTH, HEIGHT, 0.5)
    assert of.scores.tolist() == [0.9, 0.7]
    assert of.correct.tolist() == [True, False]


def test_an_airplane_is_found_once_and_by_the_surest() -> None:
    truth = np.array([[10.0, 10, 30, 30]])
    boxes = np.array([[10.0, 10, 30, 30], [12, 10, 30, 30]])
    of = metrics.outcomes(detections(boxes, np.array([0.6, 0.9])), truth, WIDTH, HEIGHT, 0.5)
    assert dict(zip(of.scores.tolist(), of.correct.tolist(), strict=True)) == {0.6: False, 0.9: True}


def slow_comparison(found: Detections, truth: Array, ignored: Array, iou: float) -> list[tuple[float, bool]]:
    """Score and verdict of each detection that counts, one after the other, by the rules alone."""
    free, verdicts = list(range(len(truth) + len(ignored))), []
    everything = np.concatenate([truth, ignored])
    for i in score_order(found.boxes, found.scores):
        box = found.boxes[i]
        overlaps = {k: iou_matrix(box[None], everything[k : k + 1])[0, 0] for k in free}
        best = max(overlaps, key=lambda k: overlaps[k], default=None)
        if best is not None and overlaps[best] >= iou:
            free.remove(best)
            if not void(everything[best], best >= len(truth)):
                verdicts.append((found.scores[i], True))
        elif not cut(box) and not any(
            iom_matrix(box[None], other[None])[0, 0] >= iou
            for k, other in enumerate(everything)
            if void(other, k >= len(truth))
        ):
            verdicts.append((found.scores[i], False))
    return verdicts


def cut(box: Array) -> bool:
    return bool(min(box[:2]) <= 1 or box[2] >= WIDTH - 1 or box[3] >= HEIGHT - 1)


def void(box: Array, ignored: bool) -> bool:
    return ignored or cut(box)


@given(SEEDS)
def test_all_overlaps_at_once_are_what_the_rules_say_of_each(seed: int) -> None:
    generator = np.random.default_rng(seed)
    found, truth = drawn_picture(generator)
    truth = truth + generator.choice([0, -4, 30], (len(truth), 1))  # some reach the edge
    split = generator.integers(0, len(truth) + 1)
    truth, ignored = truth[:split], truth[split:]
    compared = metrics.compare(found, truth, WIDTH, HEIGHT, metrics.IOUS, ignored)
    assert len(metrics.IOUS) == 10
    for iou, of in compared.outcomes.items():
        verdicts = slow_comparison(found, truth, ignored, iou)
        assert sorted(zip(of.scores.tolist(), of.correct.tolist(), strict=True)) == sorted(verdicts)
        assert of.truths == sum(not cut(box) for box in truth)
    assert len(compared.counted) == len(compared.outcomes[0.5].scores)
    assert compared.airplanes.tolist() == [box.tolist() for box in truth if not cut(box)]
    right = compared.outcomes[0.5].scores[compared.outcomes[0.5].correct]
    assert sorted(compared.found_at[~np.isnan(compared.found_at)]) == sorted(right)


def test_the_mean_over_overlaps_is_the_mean() -> None:
    truth = np.array([[10.0, 10, 30, 30], [50, 50, 90, 90]])
    # 18/20 and 28/40 of the airplanes: right up to an overlap of 0.9 and of 0.7.
    boxes = np.array([[10.0, 10, 30, 28], [50, 50, 90, 78]])
    of = metrics.compare(detections(boxes, np.array([0.9, 0.8])), truth, WIDTH, HEIGHT, metrics.IOUS).outcomes
    half = 51 / 101
    assert metrics.mean_average_precision(of) == pytest.approx((5 * 1 + 4 * half + 0) / 10)
    assert metrics.mean_recall(of, 0.5) == pytest.approx((5 * 1 + 4 * 0.5 + 0) / 10)
    assert metrics.mean_recall(of, 0.85) == pytest.approx((9 * 0.5 + 0) / 10)
    assert math.isnan(metrics.mean_recall({0.5: Outcomes.concatenate([])}, 0.5))
