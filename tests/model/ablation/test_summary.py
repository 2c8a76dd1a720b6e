import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geo.types import ImageArray
from model.ablation import summary
from model.ablation.results import Gain
from tests.model.ablation.studies import made_result

RESULTS = [
    made_result("01-a", 0.5, 0.25),
    made_result("02-b", 0.75, seeds=2, baseline="01-a"),
    made_result("03-c", seeds=1, baseline="02-b"),
]
AP50_COLOUR = (11, 99, 181)


def test_a_row_has_means_and_spreads_and_names_what_is_missing() -> None:
    head, *lines = summary.result_rows(RESULTS)
    first, second, third = (dict(zip(head, line, strict=True)) for line in lines)
    assert first == {
        "experiment": "01-a",
        "change": "a change",
        "IOU (spread)": "0.188 (0.125)",
        "mistakes a tile": "2.00",
        "AP50 (spread)": "0.375 (0.250)",
        "AP50 on airbus": "0.500",
        "best F1": "0.250",
        "false a km2 on airbus": "1.50",
        "weights": "1,234,567",
        "GFLOP a Mpx": "3.2",
        "training": "10 min",
        "seeds": "2",
    }
    assert (second["AP50 (spread)"], second["seeds"]) == ("0.750", "1 of 2")
    assert (third["AP50 (spread)"], third["training"], third["seeds"]) == ("-", "-", "not measured yet")
    assert third["weights"] == "1,234,567"


def test_experiments_are_compared_with_their_baselines() -> None:
    assert summary.gain_rows(RESULTS) == [
        ["experiment", "baseline", "gain in AP50", "gain in IOU"],
        ["02-b", "01-a", "+0.375 (spread 0.250)", "+0.188 (spread 0.125)"],
        ["03-c", "02-b", "not measured yet", "not measured yet"],
    ]


@pytest.mark.parametrize(
    ("gain", "text"),
    [
        (Gain(0.25, 0.125), "+0.250 (spread 0.125)"),
        (Gain(-0.25, 0.125), "-0.250 (spread 0.125)"),
        (Gain(0.125, 0.25), "none: +0.125 (spread 0.250)"),
        (Gain(0.125, math.nan), "+0.125 (one seed)"),
        (Gain(math.nan, 0.125), "not measured yet"),
    ],
)
def test_a_gain_as_text(gain: Gain, text: str) -> None:
    assert summary.gain_text(gain) == text


@pytest.mark.parametrize(("seconds", "text"), [(600.0, "10 min"), (5399.0, "90 min"), (21600.0, "6.0 h")])
def test_long_durations_are_in_hours(seconds: float, text: str) -> None:
    result = made_result("01-a", 0.5)
    head, line = summary.result_rows([replace(result, seeds=(replace(result.seeds[0], train_seconds=seconds),))])
    assert line[head.index("training")] == text


def test_markdown_has_a_cell_for_every_column() -> None:
    lines = summary.markdown([["a", "b"], ["1|2", "3"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1\\|2 | 3 |"]


def test_json_has_no_nan() -> None:
    text = json.dumps(summary.to_json(RESULTS), allow_nan=False)
    assert [experiment["name"] for experiment in json.loads(text)["experiments"]] == ["01-a", "02-b", "03-c"]


def chart(*ap50: tuple[float, ...]) -> ImageArray:
    results = [made_result(f"0{n}", *values, seeds=2) for n, values in enumerate(ap50)]
    return np.asarray(Image.open(io.BytesIO(summary.chart_png(results))).convert("RGB"))


def ap50_pixels(image: ImageArray) -> tuple[list[int], list[int]]:
    """Return the rows and columns below the title that have the colour of AP50."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - AP50_COLOUR) < 20).all(axis=-1))
    below = rows > 26
    return sorted(set(rows[below].tolist())), sorted(set(columns[below].tolist()))


def test_in_the_chart_a_better_experiment_is_farther_right_and_a_later_one_lower() -> None:
    worse, better = ap50_pixels(chart((0.2,)))[1], ap50_pixels(chart((0.9,)))[1]
    assert max(worse) < min(better)
    rows, _ = ap50_pixels(chart((), (0.5,)))
    assert min(rows) > max(ap50_pixels(chart((0.5,), ()))[0])


def test_the_chart_joins_means_but_not_over_a_missing_one() -> None:
    joined, _ = ap50_pixels(chart((0.5,), (0.5,), (0.5,)))
    assert joined == list(range(joined[0], joined[-1] + 1))
    apart, _ = ap50_pixels(chart((0.5,), (), (0.5,)))
    assert len(apart) < len(joined) / 2


def test_the_chart_has_seeds_on_both_sides_of_their_mean() -> None:
    _, mean = ap50_pixels(chart((0.5,)))
    _, seeds = ap50_pixels(chart((0.25, 0.75)))
    assert seeds[0] < mean[0]
    assert seeds[-1] > mean[-1]


def test_the_chart_grows_with_the_number_of_experiments() -> None:
    single, double = chart((0.5,)), chart((0.5,), (0.5,))
    assert single.shape[1] == double.shape[1]
    assert single.shape[0] < double.shape[0]
