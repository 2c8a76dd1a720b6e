import contextlib
import io
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from geo.boxes import iom_matrix, iou_matrix, match, score_order
from geo.types import Detections
from model.evaluation import metrics
from model.evaluation.metrics import Matches

Array = NDArray[np.float64]
WIDTH, HEIGHT = 200, 120
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def random_matches(draw: st.DrawFn, min_count: int = 0) -> Matches:
    """Matches with many equal scores and any share of correct ones."""
    count = draw(st.integers(min_count, 30))
    generator = np.random.default_rng(draw(SEEDS))
    correct = generator.random(count) < generator.random()
    num_airplanes = int(correct.sum()) + draw(st.integers(0, 8))
    return Matches(generator.integers(1, 12, count) / 12, correct, num_airplanes, 1)


def detections(boxes: Array, scores: Array) -> Detections:
    return Detections(boxes, scores, np.full(len(boxes), np.nan))


def random_image(generator: np.random.Generator) -> tuple[Detections, Array]:
    """Detections and airplanes, these away from the edges: detections are near some of them, and elsewhere."""
    low = generator.uniform(5, [150, 70], (generator.integers(0, 7), 2))
    airplanes = np.concatenate([low, low + generator.uniform(10, 40, low.shape)], axis=1)
    near = airplanes[generator.random(len(airplanes)) < 0.8]
    boxes = np.concatenate([near + generator.normal(0, 2, near.shape), airplanes[::2] + 1, near[:2] * 0.5 + 3])
    return detections(boxes, generator.integers(1, 9, len(boxes)) / 9), airplanes


def slow_average_precision(matches: Matches) -> float:
    """The mean over 101 recalls of the best precision among all thresholds that reach that recall."""
    points = []
    for threshold in np.unique(matches.scores):
        right = sum(bool(c) for c, s in zip(matches.correct, matches.scores, strict=True) if s >= threshold)
        points.append((right / matches.num_airplanes, right / sum(s >= threshold for s in matches.scores)))
    recalls = np.linspace(0, 1, 101)
    return sum(max((p for r, p in points if r >= recall), default=0.0) for recall in recalls) / 101


@given(random_matches())
def test_average_precision_equals_a_slow_implementation(matches: Matches) -> None:
    expected = slow_average_precision(matches) if matches.num_airplanes else math.nan
    assert metrics.average_precision(matches) == pytest.approx(expected, nan_ok=True)


@given(random_matches(min_count=1), SEEDS)
def test_average_precision_depends_only_on_the_order_of_scores(matches: Matches, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(matches.scores))
    moved = replace(matches, scores=matches.scores[order] ** 3 / 2, correct=matches.correct[order])
    np.testing.assert_equal(metrics.average_precision(moved), metrics.average_precision(matches))


@given(random_matches(), st.floats(0, 1))
def test_false_detections_and_missed_airplanes_never_raise_average_precision(matches: Matches, score: float) -> None:
    matches = replace(matches, num_airplanes=matches.num_airplanes + 1)
    worse = Matches.concatenate([matches, Matches(np.array([score]), np.array([False]), 0, 0)])
    assert metrics.average_precision(worse) <= metrics.average_precision(matches)
    missed = replace(matches, num_airplanes=matches.num_airplanes + 1)
    assert metrics.average_precision(missed) <= metrics.average_precision(matches)
    before, after = (metrics.at_threshold(each, score).false_negatives for each in (matches, missed))
    assert after == before + 1


@given(random_matches(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_keeps_fewer_detections(matches: Matches, first: float, second: float) -> None:
    low, high = (metrics.at_threshold(matches, score) for score in sorted((first, second)))
    assert low.true_positives >= high.true_positives
    assert low.false_positives >= high.false_positives
    assert low.recall >= high.recall
    for at in (low, high):
        assert at.true_positives + at.false_negatives == matches.num_airplanes
        assert 0 <= at.f1 <= 1


@given(random_matches(min_count=1))
def test_the_best_threshold_has_the_best_f1_and_is_the_highest_of_equals(matches: Matches) -> None:
    def f1(threshold: float) -> Fraction:
        chosen = matches.scores >= threshold
        return Fraction(2 * int(matches.correct[chosen].sum()), int(chosen.sum()) + matches.num_airplanes)

    best = metrics.best_f1(matches)
    assert best.min_score == max((f1(score), score) for score in matches.scores)[1]
    assert best.f1 == pytest.approx(float(f1(best.min_score)))


def test_equal_f1_are_equal_to_the_last_bit() -> None:
    # 1 right of 4 and 2 right of 10, of 2: F1 = 2/6 = 4/12. From rounded precisions the second comes out larger.
    scores = np.repeat([0.9, 0.5], [4, 6])
    correct = np.isin(np.arange(10), [0, 4])
    assert metrics.best_f1(Matches(scores, correct, 2, 1)).min_score == 0.9


def test_no_threshold_is_chosen_without_detections() -> None:
    with pytest.raises(ValueError, match="none"):
        metrics.best_f1(Matches(np.zeros(0), np.zeros(0, bool), 3, 1))


def test_no_detections_and_no_airplanes_are_perfect() -> None:
    nothing = metrics.at_threshold(Matches.concatenate([]), 0.5)
    assert (nothing.precision, nothing.recall, nothing.f1) == (1, 1, 1)


@given(random_matches(), random_matches())
def test_counts_of_images_add_up(matches: Matches, other: Matches) -> None:
    both = Matches.concatenate([matches, other])
    assert both.num_images == 2
    first, second, total = (metrics.at_threshold(each, 0.4) for each in (matches, other, both))
    for name in ("true_positives", "false_positives", "false_negatives"):
        assert getattr(total, name) == getattr(first, name) + getattr(second, name)


@given(SEEDS)
def test_the_annotations_themselves_have_an_average_precision_of_one(seed: int) -> None:
    _, airplanes = random_image(np.random.default_rng(seed))
    # Overlapping boxes could take each other's detections.
    airplanes = airplanes[:1]
    exact = detections(airplanes, np.full(len(airplanes), 0.7))
    matches = metrics.match_detections(exact, airplanes, WIDTH, HEIGHT, 0.9)
    assert matches.correct.all()
    np.testing.assert_equal(metrics.average_precision(matches), 1.0 if len(airplanes) else math.nan)


@given(SEEDS, st.sampled_from(["left", "top", "right", "bottom"]), st.integers(0, 3))
def test_airplanes_cut_by_the_edge_are_void(seed: int, edge: str, hits: int) -> None:
    generator = np.random.default_rng(seed)
    detected, airplanes = random_image(generator)
    # A larger image has room for a cut airplane that overlaps nothing else.
    cut = {
        "left": [0, 300, 20, 330],
        "top": [240, 0, 270, 20],
        "right": [380.5, 300, 400, 330],
        "bottom": [300, 379, 330, 400],
    }
    box = np.array([cut[edge]], np.float64)
    on_it = np.repeat(box, hits, axis=0) + generator.normal(0, 1, (hits, 4))
    more = Detections.concatenate([detected, detections(on_it, generator.random(hits))])
    without = metrics.match_detections(detected, airplanes, 400, 400, 0.5)
    with_cut = metrics.match_detections(more, np.concatenate([airplanes, box]), 400, 400, 0.5)
    assert with_cut.num_airplanes == without.num_airplanes == len(airplanes)
    np.testing.assert_array_equal(with_cut.scores, without.scores)
    np.testing.assert_array_equal(with_cut.correct, without.correct)


def test_a_detection_at_the_edge_counts_only_if_it_is_correct() -> None:
    airplanes = np.array([[10.0, 10, 30, 30]])
    boxes = np.array([[11.0, 10, 30, 30], [0, 50, 20, 70], [60, 60, 80, 80]])
    matches = metrics.match_detections(detections(boxes, np.array([0.9, 0.8, 0.7])), airplanes, WIDTH, HEIGHT, 0.5)
    assert matches.scores.tolist() == [0.9, 0.7]
    assert matches.correct.tolist() == [True, False]


def test_an_airplane_is_matched_once_by_the_highest_score() -> None:
    airplanes = np.array([[10.0, 10, 30, 30]])
    boxes = np.array([[10.0, 10, 30, 30], [12, 10, 30, 30]])
    matches = metrics.match_detections(detections(boxes, np.array([0.6, 0.9])), airplanes, WIDTH, HEIGHT, 0.5)
    assert dict(zip(matches.scores.tolist(), matches.correct.tolist(), strict=True)) == {0.6: False, 0.9: True}


def slow_comparison(detected: Detections, airplanes: Array, ignored: Array, iou: float) -> list[tuple[float, bool]]:
    """Score and verdict of each detection that counts, one after the other, by the rules alone."""
    free, verdicts = list(range(len(airplanes) + len(ignored))), []
    everything = np.concatenate([airplanes, ignored])
    for i in score_order(detected.boxes, detected.scores):
        box = detected.boxes[i]
        overlaps = {k: iou_matrix(box[None], everything[k : k + 1])[0, 0] for k in free}
        best = max(overlaps, key=lambda k: overlaps[k], default=None)
        if best is not None and overlaps[best] >= iou:
            free.remove(best)
            if not void(everything[best], best >= len(airplanes)):
                verdicts.append((detected.scores[i], True))
        elif not cut(box) and not any(
            iom_matrix(box[None], other[None])[0, 0] >= iou
            for k, other in enumerate(everything)
            if void(other, k >= len(airplanes))
        ):
            verdicts.append((detected.scores[i], False))
    return verdicts


def cut(box: Array) -> bool:
    return bool(min(box[:2]) <= 1 or box[2] >= WIDTH - 1 or box[3] >= HEIGHT - 1)


def void(box: Array, ignored: bool) -> bool:
    return ignored or cut(box)


@given(SEEDS)
def test_comparison_at_all_ious_equals_a_slow_implementation(seed: int) -> None:
    generator = np.random.default_rng(seed)
    detected, airplanes = random_image(generator)
    airplanes = airplanes + generator.choice([0, -4, 30], (len(airplanes), 1))  # some reach the edge
    split = generator.integers(0, len(airplanes) + 1)
    airplanes, ignored = airplanes[:split], airplanes[split:]
    compared = metrics.compare(detected, airplanes, WIDTH, HEIGHT, metrics.IOUS, ignored)
    assert len(metrics.IOUS) == 10
    for iou, matches in compared.matches.items():
        verdicts = slow_comparison(detected, airplanes, ignored, iou)
        assert sorted(zip(matches.scores.tolist(), matches.correct.tolist(), strict=True)) == sorted(verdicts)
        assert matches.num_airplanes == sum(not cut(box) for box in airplanes)
    assert len(compared.detections) == len(compared.matches[0.5].scores)
    assert compared.airplanes.tolist() == [box.tolist() for box in airplanes if not cut(box)]
    right = compared.matches[0.5].scores[compared.matches[0.5].correct]
    assert sorted(compared.airplane_scores[~np.isnan(compared.airplane_scores)]) == sorted(right)


def test_means_over_ious() -> None:
    airplanes = np.array([[10.0, 10, 30, 30], [50, 50, 90, 90]])
    # 18/20 and 28/40 of the airplanes: right up to an overlap of 0.9 and of 0.7.
    boxes = np.array([[10.0, 10, 30, 28], [50, 50, 90, 78]])
    matches = metrics.compare(detections(boxes, np.array([0.9, 0.8])), airplanes, WIDTH, HEIGHT, metrics.IOUS).matches
    half = 51 / 101
    assert metrics.mean_average_precision(matches) == pytest.approx((5 * 1 + 4 * half + 0) / 10)
    assert metrics.mean_recall(matches, 0.5) == pytest.approx((5 * 1 + 4 * 0.5 + 0) / 10)
    assert metrics.mean_recall(matches, 0.85) == pytest.approx((9 * 0.5 + 0) / 10)
    assert math.isnan(metrics.mean_recall({0.5: Matches.concatenate([])}, 0.5))


@given(SEEDS)
def test_average_precision_agrees_with_pycocotools(seed: int) -> None:
    """On several images; without void boxes and equal scores, which COCO treats in another way."""
    generator = np.random.default_rng(seed)
    images = [random_image(generator) for _ in range(4)]
    scores = iter(generator.permutation(1000) / 1000)
    images = [
        (replace(detected, scores=np.array([next(scores) for _ in detected.scores])), boxes)
        for detected, boxes in images
    ]
    compared = [metrics.compare(detected, boxes, WIDTH, HEIGHT, metrics.IOUS).matches for detected, boxes in images]
    matches = {iou: Matches.concatenate([each[iou] for each in compared]) for iou in metrics.IOUS}
    if not matches[0.5].num_airplanes:
        return
    ours = [
        metrics.mean_average_precision(matches),
        metrics.average_precision(matches[0.5]),
        metrics.average_precision(matches[0.75]),
        metrics.mean_recall(matches, 0.0),
    ]
    assert ours == pytest.approx(coco_metrics(images), abs=1e-9)


def coco_metrics(images: list[tuple[Detections, Array]]) -> list[float]:
    """AP, AP50, AP75 and AR of pycocotools."""
    boxes = [(k, box) for k, (_, airplanes) in enumerate(images) for box in airplanes]
    scored = [
        (number, *each)
        for number, (detected, _) in enumerate(images)
        for each in zip(detected.boxes, detected.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        annotated, detected = COCO(), COCO()
        annotated.dataset = coco_dataset(len(images), [coco_box(k, box, iscrowd=0) for k, box in boxes])
        detected.dataset = coco_dataset(len(images), [coco_box(k, box, score=score) for k, box, score in scored])
        for each in (annotated, detected):
            each.createIndex()
        evaluation = COCOeval(annotated, detected, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75, *_ = evaluation.stats
    return [ap, ap50, ap75, evaluation.stats[8]]


def coco_dataset(count: int, boxes: list[dict[str, object]]) -> dict[str, object]:
    return {
        "images": [{"id": k} for k in range(count)],
        "annotations": [{"id": number, **box} for number, box in enumerate(boxes, 1)],
        "categories": [{"id": 1, "name": "airplane"}],
    }


def coco_box(image: int, box: Array, **more: object) -> dict[str, object]:
    left, top, width, height = *box[:2], *(box[2:] - box[:2])
    return {"image_id": image, "category_id": 1, "bbox": [left, top, width, height], "area": width * height, **more}


# Per-tile metrics

NONE = np.zeros((0, 4))
SIDE = 40
TILED_WIDTH, TILED_HEIGHT = 600, 400  # 3 x 2 tiles
AIRPLANE = np.array([[10.0, 10, 30, 20]])  # 20 long


def scored(boxes: Array, scores: list[float] | None = None) -> Detections:
    falling = np.linspace(0.9, 0.6, len(boxes))
    return Detections(boxes, falling if scores is None else np.array(scores), np.full(len(boxes), 0.5))


def random_boxes(generator: np.random.Generator, count: int) -> Array:
    corners = np.sort(generator.integers(0, SIDE + 1, (count, 2, 2)), axis=1)
    return corners.reshape(count, 4).astype(float)


def covered(boxes: Array) -> NDArray[np.bool_]:
    """The pixels covered by boxes of integer coordinates."""
    pixels = np.zeros((SIDE, SIDE), bool)
    for xmin, ymin, xmax, ymax in boxes.astype(int):
        pixels[ymin:ymax, xmin:xmax] = True
    return pixels


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_union_iou_equals_a_count_of_pixels(seed: int, detections: int, airplanes: int) -> None:
    generator = np.random.default_rng(seed)
    detected, annotated = random_boxes(generator, detections), random_boxes(generator, airplanes)
    a, b = covered(detected), covered(annotated)
    expected = (a & b).sum() / (a | b).sum() if (a | b).any() else math.nan
    np.testing.assert_allclose(metrics.union_iou(detected, annotated), expected, atol=1e-12)


def test_union_iou_counts_overlaps_once_and_fractions_of_pixels() -> None:
    boxes = np.array([[10.0, 10, 20, 20], [10, 10, 20, 20], [10, 10, 15, 20]])
    assert metrics.union_iou(boxes, AIRPLANE) == pytest.approx(0.5)
    assert metrics.union_iou(np.array([[10.25, 10, 30, 20]]), AIRPLANE) == pytest.approx(19.75 / 20)
    assert metrics.union_iou(AIRPLANE + 100, AIRPLANE) == 0


def counts(detected: Detections, airplanes: Array) -> tuple[int, int, int]:
    mistakes = metrics.find_mistakes(detected, airplanes)
    assert mistakes.false.shape == mistakes.imprecise.shape == (len(detected),)
    assert mistakes.missed.shape == (len(airplanes),)
    assert mistakes.count == mistakes.false.sum() + mistakes.imprecise.sum() + mistakes.missed.sum()
    return int(mistakes.false.sum()), int(mistakes.imprecise.sum()), int(mistakes.missed.sum())


def test_exact_detections_are_no_mistakes() -> None:
    assert counts(scored(AIRPLANE), AIRPLANE) == (0, 0, 0)
    assert counts(scored(NONE), NONE) == (0, 0, 0)


def test_false_and_missed_airplanes_are_mistakes() -> None:
    assert counts(scored(AIRPLANE), NONE) == (1, 0, 0)
    assert counts(scored(NONE), AIRPLANE) == (0, 0, 1)
    # Too far off for a match: two mistakes.
    assert counts(scored(AIRPLANE + 15), AIRPLANE) == (1, 0, 1)


def test_duplicates_of_a_lower_score_are_false() -> None:
    both = np.concatenate([AIRPLANE + 1, AIRPLANE])
    assert counts(scored(both), AIRPLANE) == (1, 0, 0)
    np.testing.assert_array_equal(metrics.find_mistakes(scored(both), AIRPLANE).false, [False, True])
    np.testing.assert_array_equal(metrics.find_mistakes(scored(both, [0.6, 0.9]), AIRPLANE).false, [True, False])


@pytest.mark.parametrize(
    ("moved", "imprecise"),
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
def test_position_and_size_have_a_tolerance_of_30_percent(moved: list[float], imprecise: int) -> None:
    assert counts(scored(AIRPLANE + np.array(moved)), AIRPLANE) == (0, imprecise, 0)


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_every_box_is_of_one_kind(seed: int, detections: int, airplanes: int) -> None:
    generator = np.random.default_rng(seed)
    grown = (random_boxes(generator, count) + np.array([0, 0, 3, 3]) for count in (detections, airplanes))
    detected, annotated = (np.unique(boxes, axis=0) for boxes in grown)
    mistakes = metrics.find_mistakes(scored(detected), annotated)
    assert not (mistakes.false & mistakes.imprecise).any()
    assert (~mistakes.false).sum() == (~mistakes.missed).sum()
    assert mistakes.count >= abs(len(detected) - len(annotated))


def test_tile_metrics_are_means_and_empty_tiles_have_no_iou() -> None:
    half = np.array([[10.0, 10, 20, 20]])
    tiles = [
        (scored(AIRPLANE), AIRPLANE),
        (scored(half), AIRPLANE),  # imprecise
        (scored(NONE), NONE),
        (scored(np.concatenate([AIRPLANE, half + 15])), NONE),
    ]
    over_tiles = metrics.tile_metrics(tiles)
    assert over_tiles.tiles == 4
    assert over_tiles.iou == pytest.approx((1 + 0.5 + 0) / 3)
    assert over_tiles.mistakes == pytest.approx((0 + 1 + 0 + 2) / 4)


def test_tile_metrics_without_tiles_are_nan() -> None:
    nothing, empty = metrics.tile_metrics([]), metrics.tile_metrics([(scored(NONE), NONE)])
    assert math.isnan(nothing.iou)
    assert math.isnan(nothing.mistakes)
    assert math.isnan(empty.iou)
    assert empty.mistakes == 0


def random_tiled_image(seed: int) -> tuple[Detections, Array]:
    """Detections and airplanes, some of these across a seam or beyond the image: detections near them and elsewhere."""
    generator = np.random.default_rng(seed)
    count = generator.integers(0, 9)
    x = generator.choice([-5, 0, 100, 250, 256, 262, 511, 512, 590, 599, 606], count)
    y = generator.choice([-5, 0, 100, 250, 256, 262, 390, 399, 406], count)
    centres = np.stack([x, y], axis=1)
    sizes = generator.integers(8, 60, (len(centres), 2))
    airplanes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    near = np.repeat(airplanes, generator.integers(0, 3, len(airplanes)), axis=0)
    near = near + generator.integers(-9, 10, near.shape) / 2
    elsewhere = generator.integers(0, (TILED_WIDTH, TILED_HEIGHT), (generator.integers(0, 6), 2)).astype(float)
    boxes = np.concatenate([near, np.concatenate([elsewhere, elsewhere + 12], axis=1)])
    return scored(boxes, list(generator.integers(0, 9, len(boxes)) / 9)), airplanes


def tile_of(box: Array) -> tuple[int, int]:
    """Row and column of the tile, by counting the seams before the centre."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return int(y >= 256), int(x >= 256) + int(x >= 512)


def rows(boxes: Array) -> list[list[float]]:
    return sorted(boxes.tolist())


@given(st.integers(0, 2**32 - 1))
def test_tiles_hold_the_boxes_centred_in_them_and_pairs_stay_together(seed: int) -> None:
    detected, airplanes = random_tiled_image(seed)
    pairs = match(detected.boxes, detected.scores, airplanes, 0.1)
    expected: dict[tuple[int, int], tuple[list[Array], list[Array]]] = {
        (row, column): ([], []) for row in range(2) for column in range(3)
    }
    for box, pair in zip(detected.boxes, pairs, strict=True):
        expected[tile_of(box if pair < 0 else airplanes[pair])][0].append(box)
    for box in airplanes:
        expected[tile_of(box)][1].append(box)
    tiles = metrics.split_into_tiles(detected, airplanes, TILED_WIDTH, TILED_HEIGHT)
    assert [(rows(kept.boxes), rows(boxes)) for kept, boxes in tiles] == [
        tuple(rows(np.array(boxes).reshape(-1, 4)) for boxes in each) for each in expected.values()
    ]


@given(st.integers(0, 2**32 - 1))
def test_mistakes_of_all_tiles_add_up_to_those_of_the_image(seed: int) -> None:
    detected, airplanes = random_tiled_image(seed)
    tiles = metrics.split_into_tiles(detected, airplanes, TILED_WIDTH, TILED_HEIGHT)
    total = metrics.find_mistakes(detected, airplanes)
    for name in ("false", "imprecise", "missed"):
        each = [getattr(metrics.find_mistakes(*tile), name).sum() for tile in tiles]
        assert sum(each) == getattr(total, name).sum()
    assert metrics.tile_metrics(tiles).mistakes == pytest.approx(total.count / 6)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 3))
def test_tiles_do_not_depend_on_their_position(seed: int, across: int, down: int) -> None:
    detected, airplanes = random_tiled_image(seed)
    # A box before the first tile would be in another tile.
    away = 256.0 * np.array([across, down] * 2)
    detected, airplanes = replace(detected, boxes=np.maximum(detected.boxes, 0)), np.maximum(airplanes, 0)
    shifted = replace(detected, boxes=detected.boxes + away)
    moved = metrics.split_into_tiles(shifted, airplanes + away, TILED_WIDTH + 768, TILED_HEIGHT + 768)
    at = [(row + down) * 6 + column + across for row in range(2) for column in range(3)]
    original_tiles = metrics.tile_metrics(metrics.split_into_tiles(detected, airplanes, TILED_WIDTH, TILED_HEIGHT))
    shifted_tiles = metrics.tile_metrics([moved[k] for k in at])
    assert (shifted_tiles.tiles, shifted_tiles.mistakes) == (original_tiles.tiles, original_tiles.mistakes)
    np.testing.assert_allclose(shifted_tiles.iou, original_tiles.iou, atol=1e-12)
    assert sum(len(kept) + len(boxes) for kept, boxes in moved) == len(detected) + len(airplanes)


def test_a_seam_between_two_centres_causes_no_mistake() -> None:
    airplanes = np.array([[246.0, 100, 266.2, 120]])  # centre at 256.1
    tiles = metrics.split_into_tiles(scored(airplanes - 0.4), airplanes, 512, 256)
    assert [(len(kept), len(boxes)) for kept, boxes in tiles] == [(0, 0), (1, 1)]
    assert metrics.tile_metrics(tiles).mistakes == 0


@pytest.mark.parametrize("shift", [-2.0, 0.0, 2.0])
def test_the_suggested_threshold_follows_scores_that_are_off(shift: float) -> None:
    generator = np.random.default_rng(3)
    right = generator.uniform(0.02, 0.98, 20_000)
    off = 1 / (1 + np.exp(-np.log(right / (1 - right)) - shift))
    matches = Matches(off, generator.random(len(off)) < right, len(off), 1)
    expected = 1 / (1 + np.exp(-shift))
    # Scores below 0.05 are left out.
    assert metrics.suggest_min_score(matches, 0.5) == pytest.approx(expected, abs=0.02)


@given(random_matches(), st.floats(0.01, 0.99))
def test_a_suggested_threshold_is_moved_by_what_was_seen(matches: Matches, min_score: float) -> None:
    suggested = metrics.suggest_min_score(matches, min_score)
    assert 0 < suggested < 1
    more_false = Matches.concatenate([matches, Matches(np.array([0.9]), np.array([False]), 0, 1)])
    more_true = Matches.concatenate([matches, Matches(np.array([0.9]), np.array([True]), 1, 1)])
    assert (
        metrics.suggest_min_score(more_true, min_score) < suggested < metrics.suggest_min_score(more_false, min_score)
    )


def test_without_detections_the_suggested_threshold_is_the_own_one() -> None:
    nothing = Matches(np.zeros(0), np.zeros(0, bool), 5, 1)
    assert metrics.suggest_min_score(nothing, 0.4) == pytest.approx(0.4)
    assert [metrics.suggest_min_score(nothing, edge) for edge in (0.0, 1.0)] == [0.0, 1.0]
