import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import metrics, tile_metrics
from model.evaluation.figures import SIZES_M, SIZES_PX, curves, figures, plain, together
from model.evaluation.images import compare
from tests.model.evaluation.made_up import SIZE, detections, drawn, squares, subject

SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4)


@given(SEEDS, st.floats(0, 1))
def test_figures_are_those_of_all_outcomes_together(seeds: list[int], min_score: float) -> None:
    pictures = [drawn(seed) for seed in seeds]
    of, outcomes = figures(pictures, min_score), together(pictures)
    aps = [metrics.average_precision(each) for each in outcomes.values()]
    np.testing.assert_allclose([of.ap50, of.ap75, of.ap], [aps[0], aps[5], sum(aps) / 10])
    at = metrics.at_threshold(outcomes[0.5], min_score)
    assert (of.recall, of.false) == (at.recall, at.wrong)
    assert of.false_per_picture == at.wrong / len(pictures)
    assert math.isnan(of.precision) if at.right + at.wrong == 0 else of.precision == at.precision
    assert of.best_f1 >= at.f1


@given(SEEDS, st.floats(0, 1))
def test_bins_of_size_add_up_to_the_recall(seeds: list[int], min_score: float) -> None:
    pictures = [drawn(seed) for seed in seeds]
    of = figures(pictures, min_score)
    for bins in (of.by_size_px, of.by_size_m):
        assert sum(each.airplanes for each in bins) == of.airplanes
        assert sum(each.found for each in bins) == pytest.approx(of.recall * of.airplanes)
    assert [each.least for each in of.by_size_px] == list(SIZES_PX[:-1])
    assert [each.below for each in of.by_size_m] == list(SIZES_M[1:])


def test_an_airplane_of_the_size_of_an_edge_belongs_to_the_larger() -> None:
    truth = squares(8, 15.5, 128)
    pictures = [compare(subject("a", truth), detections(truth[:2], np.array([0.9, 0.4])))]
    of = figures(pictures, 0.5)
    assert [(each.airplanes, each.found) for each in of.by_size_px] == [
        *[(0, 0), (1, 1), (1, 0)],
        *[(0, 0)] * 4,
        (1, 0),
    ]
    assert [each.airplanes for each in of.by_size_m] == [2, 0, 0, 0, 0, 0, 1]


def test_false_hits_are_counted_for_the_background_whose_area_is_known() -> None:
    hits = detections(squares(20, 20, 20), np.array([0.9, 0.6, 0.3]))
    none = np.zeros((0, 4))
    known, unknown = compare(subject("a", none, 10), hits), compare(subject("b", none, 10, known=False), hits)
    assert known.background_km2 == SIZE * SIZE * 1e-4
    of = figures([known, unknown, known], 0.5)
    assert (of.false, of.false_elsewhere) == (6, 4)
    assert of.false_per_picture == 2
    assert of.background_km2 == pytest.approx(200)
    assert of.false_per_100km2 == pytest.approx(2)
    assert math.isnan(figures([unknown], 0.5).false_per_100km2)


def test_a_set_without_airplanes_or_without_detections_has_what_makes_sense() -> None:
    none = np.zeros((0, 4))
    empty = figures([compare(subject("a", none), detections(none, np.zeros(0)))], 0.5)
    for value in (empty.ap50, empty.ap, empty.best_f1, empty.precision, empty.recall, empty.mean_recall):
        assert math.isnan(value)
    assert (empty.false, empty.false_per_100km2) == (0, 0)
    missed = figures([compare(subject("a", squares(20)), detections(none, np.zeros(0)))], 0.5)
    assert (missed.ap50, missed.recall, missed.mean_recall) == (0, 0, 0)
    assert math.isnan(missed.calibration_error)


@given(SEEDS, st.floats(0, 1))
def test_tiles_are_those_of_all_pictures_at_the_threshold(seeds: list[int], min_score: float) -> None:
    pictures = [drawn(seed) for seed in seeds]
    of, mistakes = figures(pictures, min_score), 0
    for each in pictures:
        counted = each.compared.counted
        found = counted.take(counted.scores >= min_score)
        mistakes += tile_metrics.mistakes(found, each.compared.airplanes).count
    assert of.tiles == 16 * len(pictures)
    assert of.mistakes_per_tile * of.tiles == pytest.approx(mistakes)


def test_tiles_do_not_ask_for_what_neither_counts_nor_harms() -> None:
    whole, cut, ignored = (
        np.array([box], float) for box in ([20, 20, 60, 60], [0, 500, 40, 540], [700, 700, 740, 740])
    )
    of = subject("a", np.concatenate([whole, cut]))
    of = replace(of, photo=replace(of.photo, ignored=ignored))
    for found in (whole, np.concatenate([whole, cut + 1, ignored])):
        at = figures([compare(of, detections(found, np.full(len(found), 0.9)))], 0.5)
        assert (at.tile_iou, at.mistakes_per_tile) == (1, 0)
    # An airplane that is off by half of its size, and a false one: 2 mistakes in 16 tiles, of which one has both.
    wrong = detections(np.concatenate([whole + np.array([20, 0, 20, 0]), squares(20) + 60]), np.array([0.9, 0.8]))
    at = figures([compare(of, wrong)], 0.5)
    assert at.mistakes_per_tile == 2 / 16
    assert at.tile_iou == pytest.approx(800 / (2400 + 400))
    assert figures([compare(of, wrong)], 0.85).tile_iou == pytest.approx(1 / 3)


@given(SEEDS)
def test_curves_tell_what_figures_tell(seeds: list[int]) -> None:
    pictures = [drawn(seed) for seed in seeds]
    of, drawn_of = figures(pictures, 0.5), curves(pictures)
    assert drawn_of.precision[0.5].mean() == pytest.approx(of.ap50)
    assert drawn_of.precision[0.75].mean() == pytest.approx(of.ap75)
    assert drawn_of.right.sum() + drawn_of.wrong.sum() == len(together(pictures)[0.5].scores)
    np.testing.assert_equal(drawn_of.reliability.error, of.calibration_error)


def test_json_has_no_numbers_that_are_none() -> None:
    pictures = [drawn(3, known=False)]
    text = json.dumps(plain({"figures": figures(pictures, 0.5), "curves": curves(pictures)}), allow_nan=False)
    of = json.loads(text)
    assert of["figures"]["by_size_px"][-1]["below"] is None
    assert of["figures"]["by_size_m"][0]["recall"] is None
    assert len(of["curves"]["precision"]["0.75"]) == 101
    assert of["curves"]["reliability"]["counts"]
