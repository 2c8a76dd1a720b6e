import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import metrics
from model.evaluation.images import compare_image
from model.evaluation.set_metrics import (
    SIZES_M,
    SIZES_PX,
    compute_curves,
    compute_metrics,
    concatenate_matches,
    format_tables,
    to_json,
)
from tests.model.evaluation.synthetic_images import SIZE, detections, evaluation_image, random_image, squares

SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4)


@given(SEEDS, st.floats(0, 1))
def test_metrics_are_those_of_all_matches_together(seeds: list[int], min_score: float) -> None:
    images = [random_image(seed) for seed in seeds]
    result, matches = compute_metrics(images, min_score), concatenate_matches(images)
    aps = [metrics.average_precision(each) for each in matches.values()]
    np.testing.assert_allclose([result.ap50, result.ap75, result.ap], [aps[0], aps[5], sum(aps) / 10])
    at = metrics.at_threshold(matches[0.5], min_score)
    assert (result.recall, result.false) == (at.recall, at.false_positives)
    assert result.false_per_picture == at.false_positives / len(images)
    np.testing.assert_equal(result.precision, at.precision if at.true_positives + at.false_positives else math.nan)
    assert result.best_f1 >= at.f1


@given(SEEDS, st.floats(0, 1))
def test_size_bins_add_up_to_the_recall(seeds: list[int], min_score: float) -> None:
    images = [random_image(seed) for seed in seeds]
    result = compute_metrics(images, min_score)
    for bins in (result.by_size_px, result.by_size_m):
        assert sum(each.airplanes for each in bins) == result.airplanes
        assert sum(each.detected for each in bins) == pytest.approx(result.recall * result.airplanes)
    assert [each.min_size for each in result.by_size_px] == list(SIZES_PX[:-1])
    assert [each.max_size for each in result.by_size_m] == list(SIZES_M[1:])


def test_an_airplane_on_the_edge_of_two_size_bins_is_in_the_larger() -> None:
    truth = squares(8, 15.5, 128)
    images = [compare_image(evaluation_image("a", truth), detections(truth[:2], np.array([0.9, 0.4])))]
    result = compute_metrics(images, 0.5)
    assert [(each.airplanes, each.detected) for each in result.by_size_px] == [
        *[(0, 0), (1, 1), (1, 0)],
        *[(0, 0)] * 4,
        (1, 0),
    ]
    assert [each.airplanes for each in result.by_size_m] == [2, 0, 0, 0, 0, 0, 1]


def test_false_detections_per_km2_leave_out_images_of_unknown_resolution() -> None:
    hits = detections(squares(20, 20, 20), np.array([0.9, 0.6, 0.3]))
    none = np.zeros((0, 4))
    known = compare_image(evaluation_image("a", none, 10), hits)
    unknown = compare_image(evaluation_image("b", none, 10, known=False), hits)
    assert known.background_km2 == SIZE * SIZE * 1e-4
    result = compute_metrics([known, unknown, known], 0.5)
    assert (result.false, result.false_elsewhere) == (6, 4)
    assert result.false_per_picture == 2
    assert result.background_km2 == pytest.approx(200)
    assert result.false_per_100km2 == pytest.approx(2)
    assert math.isnan(compute_metrics([unknown], 0.5).false_per_100km2)


def test_undefined_metrics_of_sets_without_airplanes_or_detections_are_nan() -> None:
    none = np.zeros((0, 4))
    empty = compute_metrics([compare_image(evaluation_image("a", none), detections(none, np.zeros(0)))], 0.5)
    for value in (empty.ap50, empty.ap, empty.best_f1, empty.precision, empty.recall, empty.mean_recall):
        assert math.isnan(value)
    assert (empty.false, empty.false_per_100km2) == (0, 0)
    missed = compute_metrics([compare_image(evaluation_image("a", squares(20)), detections(none, np.zeros(0)))], 0.5)
    assert (missed.ap50, missed.recall, missed.mean_recall) == (0, 0, 0)
    assert math.isnan(missed.calibration_error)


@given(SEEDS, st.floats(0, 1))
def test_mistakes_per_tile_are_those_of_all_images_at_the_threshold(seeds: list[int], min_score: float) -> None:
    images = [random_image(seed) for seed in seeds]
    result, mistakes = compute_metrics(images, min_score), 0
    for each in images:
        counted = each.comparison.detections
        kept = counted.take(counted.scores >= min_score)
        mistakes += metrics.find_mistakes(kept, each.comparison.airplanes).count
    assert result.tiles == 16 * len(images)
    assert result.mistakes_per_tile * result.tiles == pytest.approx(mistakes)


def test_void_boxes_do_not_change_the_metrics_of_tiles() -> None:
    uncut, cut, ignored = (
        np.array([box], float) for box in ([20, 20, 60, 60], [0, 500, 40, 540], [700, 700, 740, 740])
    )
    image = evaluation_image("a", np.concatenate([uncut, cut]))
    image = replace(image, image=replace(image.image, ignored=ignored))
    for boxes in (uncut, np.concatenate([uncut, cut + 1, ignored])):
        at = compute_metrics([compare_image(image, detections(boxes, np.full(len(boxes), 0.9)))], 0.5)
        assert (at.tile_iou, at.mistakes_per_tile) == (1, 0)
    # An airplane that is off by half of its size, and a false one: 2 mistakes in 16 tiles, of which one has both.
    wrong = detections(np.concatenate([uncut + np.array([20, 0, 20, 0]), squares(20) + 60]), np.array([0.9, 0.8]))
    at = compute_metrics([compare_image(image, wrong)], 0.5)
    assert at.mistakes_per_tile == 2 / 16
    assert at.tile_iou == pytest.approx(800 / (2400 + 400))
    assert compute_metrics([compare_image(image, wrong)], 0.85).tile_iou == pytest.approx(1 / 3)


@given(SEEDS)
def test_curves_agree_with_the_metrics(seeds: list[int]) -> None:
    images = [random_image(seed) for seed in seeds]
    result, some_curves = compute_metrics(images, 0.5), compute_curves(images)
    assert some_curves.precision[0.5].mean() == pytest.approx(result.ap50)
    assert some_curves.precision[0.75].mean() == pytest.approx(result.ap75)
    assert some_curves.right.sum() + some_curves.wrong.sum() == len(concatenate_matches(images)[0.5].scores)
    np.testing.assert_equal(some_curves.reliability.error, result.calibration_error)


def test_json_has_null_for_nan_and_the_keys_of_the_results_file() -> None:
    images = [random_image(3, known=False)]
    values = to_json({"metrics": compute_metrics(images, 0.5), "curves": compute_curves(images)})
    content = json.loads(json.dumps(values, allow_nan=False))
    assert list(content["metrics"]["by_size_px"][0]) == ["least", "below", "airplanes", "found", "recall"]
    assert content["metrics"]["by_size_px"][-1]["below"] is None
    assert content["metrics"]["by_size_m"][0]["recall"] is None
    assert len(content["curves"]["precision"]["0.75"]) == 101
    assert content["curves"]["reliability"]["counts"]


def test_every_set_has_a_row_and_rows_fit_a_terminal() -> None:
    row = compute_metrics([random_image(seed) for seed in range(5)], 0.3)
    long = replace(row, pictures=12345, airplanes=123456, false=12345, false_elsewhere=4567, background_km2=12345.6)
    text = format_tables({"a name that is longer than there is room": long, "the other": row, "together": row})
    parts = [part.splitlines() for part in text.split("\n\n")]
    assert [part[0].split()[0] for part in parts] == ["set", "256", "background", "recall", "recall"]
    for lines in parts:
        assert len(lines) == 4
        assert len({len(line) for line in lines}) == 1
        assert max(map(len, lines)) <= 120
        assert [line.split()[0] for line in lines[2:]] == ["the", "together"]


def test_values_are_below_the_titles_of_their_columns() -> None:
    airplanes = squares(20, 20, 40)
    detected = detections(np.concatenate([airplanes[:2], squares(9) + 75]), np.array([0.9, 0.8, 0.7]))
    metrics = compute_metrics([compare_image(evaluation_image("a", airplanes), detected)], 0.5)
    header, line = format_tables({"some": metrics}).splitlines()[:2]
    row = {
        name: line[: header.index(name) + len(name)].split()[-1]
        for name in ("planes", "AP50", "recall", "false", "ECE")
    }
    assert row == {"planes": "3", "AP50": "0.663", "recall": "0.667", "false": "1", "ECE": "0.333"}


def test_undefined_values_are_dashes_and_empty_tables_are_left_out() -> None:
    none = np.zeros((0, 4))
    image = compare_image(evaluation_image("a", none, known=False), detections(none, np.zeros(0)))
    empty = compute_metrics([image], 0.5)
    assert math.isnan(empty.ap50)
    text = format_tables({"empty": empty})
    main, tiles = text.split("\n\n")
    assert main.splitlines()[1].split() == ["empty", "1", "0", *"-" * 8, "0", "0.00", "-"]
    assert tiles.splitlines()[1].split() == ["empty", "16", "-", "0.000"]


def test_size_bins_are_named_by_their_sizes() -> None:
    text = format_tables({"some": compute_metrics([random_image(2)], 0.5)})
    for word in ("<8 px", "8-12 px", ">=128 px", "<10 m", "45-60 m", ">=60 m"):
        assert word in text
    assert len(SIZES_PX) == 9
