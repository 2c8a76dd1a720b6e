"""Counts and their intervals, against brute force and against the truth of drawn airports."""

import itertools

import numpy as np
import pytest

from pipeline.monitor import counts
from pipeline.monitor.settings import Recall, load_settings

TABLE = (Recall(0, 0.5, 10), Recall(12, 0.8, 30), Recall(24, 1.0, 60))


def test_recall_of_sizes() -> None:
    sizes = np.array([-1.0, 0.0, 11.9, 12.0, 23.9, 24.0, 500.0])
    assert counts.recall_of(sizes, TABLE).tolist() == [0.5, 0.5, 0.5, 0.8, 0.8, 1.0, 1.0]
    assert counts.mean_recall(TABLE) == pytest.approx((5 + 24 + 60) / 100)


def test_the_distribution_is_that_of_brute_force() -> None:
    scores, recalls = np.array([0.9, 0.5, 0.7]), np.array([1.0, 0.6, 0.8])
    expected = np.zeros(40)
    for real in itertools.product((0, 1), repeat=3):
        chance = np.prod(np.where(real, scores, 1 - scores))
        missed = np.array([1.0])
        for recall in [*recalls[np.array(real) == 1], recalls.mean()]:
            missed = np.convolve(missed, recall * (1 - recall) ** np.arange(60))
        expected += chance * np.concatenate([np.zeros(sum(real)), missed])[:40]
    assert counts.distribution(scores, recalls, 0.9)[:40] == pytest.approx(expected, abs=1e-9)


def test_sure_detections_are_counted_exactly() -> None:
    assert counts.estimate(np.ones(7), np.ones(7), 0.9) == counts.Estimate(7, 7.0, 7, 7)


def test_nothing_detected_is_not_surely_nothing() -> None:
    none = np.zeros(0)
    assert counts.estimate(none, none, 0.9) == counts.Estimate(0, 0.0, 0, 1)
    assert counts.estimate(none, none, 0.99) == counts.Estimate(0, 0.0, 0, 0)


def test_many_airplanes_do_not_overflow() -> None:
    result = counts.estimate(np.full(3000, 0.9), np.full(3000, 0.8), 0.9)
    assert result.count == pytest.approx(3375)
    assert 3375 - 100 < result.low < 3375 < result.high < 3375 + 100


def test_the_interval_holds_the_true_number_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    inside, expected, true_total = 0, 0.0, 0
    for _ in range(400):
        # False detections of every score, such that scores are calibrated; and airplanes of two sizes.
        scores = random.uniform(0.5, 1, 40)
        recalls = random.choice([0.7, 0.98], 40)
        detected = random.random(40) < scores
        missed = sum(random.geometric(recall) - 1 for recall in recalls[detected])
        true = int(detected.sum() + missed)
        result = counts.estimate(scores, recalls, 0.9)
        inside += result.low <= true <= result.high
        expected += result.count
        true_total += true
    assert 0.93 <= inside / 400 <= 0.99
    assert expected / true_total == pytest.approx(1, abs=0.02)


def test_size_classes_partition() -> None:
    classes = counts.size_classes(load_settings().size_classes_m)
    assert [each.name for each in classes] == ["0-15 m", "15-30 m", "30-45 m", "45-60 m", "60 m and more"]
    sizes = np.array([0.0, 14.99, 15, 30, 59.9, 60, 90])
    assert np.sum([each.contains(sizes) for each in classes], axis=0).tolist() == [1] * 7
