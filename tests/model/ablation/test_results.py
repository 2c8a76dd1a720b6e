import io
import json
import math
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from geo.types import ImageArray
from model.ablation import results
from model.ablation.results import ExperimentResult, Gain, count_flops, detector_cost, gain, seed_result
from model.detectors.config import GridConfig
from tests.model.ablation.studies import made_result

NAN = math.nan
RESULTS = [
    made_result("01-a", 0.5, 0.25),
    made_result("02-b", 0.75, seeds=2, baseline="01-a"),
    made_result("03-c", seeds=1, baseline="02-b"),
]
AP50_COLOUR = (11, 99, 181)


def test_mean_and_spread_over_seeds() -> None:
    result = made_result("a", 0.5, 0.8, 0.6)
    assert result.mean("ap50") == pytest.approx(1.9 / 3)
    assert result.spread("ap50") == pytest.approx(0.3)
    assert result.spread("tile_iou") == pytest.approx(0.15)
    single, empty = made_result("a", 0.5), made_result("a", seeds=2)
    assert (single.mean("ap50"), empty.seeds) == (0.5, ())
    assert all(map(math.isnan, [single.spread("ap50"), empty.mean("ap50"), empty.spread("ap50")]))


@pytest.mark.parametrize(
    ("ap50", "baseline", "value", "spread", "within_spread"),
    [
        ((0.5, 0.6), (0.25, 0.25), 0.3, 0.1, False),
        ((0.5, 0.5), (0.25, 0.5), 0.125, 0.25, True),  # the larger spread, of whichever experiment
        ((0.25, 0.5), (0.5, 0.5), -0.125, 0.25, True),
        ((0.5, 0.75), (0.25, 0.5), 0.25, 0.25, True),  # not above it
        ((0.25, 0.25), (0.75, 0.5), -0.375, 0.25, False),  # a loss beyond the spread
        ((0.5,), (0.25, 0.5), 0.125, 0.25, True),  # where there is one seed, the other's counts
        ((0.25, 0.5), (0.75,), -0.375, 0.25, False),
        ((0.5,), (0.25,), 0.25, NAN, False),
        ((), (0.25, 0.5), NAN, 0.25, False),
        ((0.5, 0.5), (), NAN, 0.0, False),
    ],
)
def test_a_gain_is_compared_with_the_larger_spread(
    ap50: tuple[float, ...], baseline: tuple[float, ...], value: float, spread: float, within_spread: bool
) -> None:
    difference = gain(_result(ap50), _result(baseline), "ap50")
    assert difference.value == pytest.approx(value, nan_ok=True)
    assert difference.spread == pytest.approx(spread, nan_ok=True)
    assert difference.within_spread is within_spread


def _result(ap50: tuple[float, ...]) -> ExperimentResult:
    return made_result("a", *ap50, seeds=2)


def test_figures_are_picked_from_the_output_of_evaluation() -> None:
    figures = {"ap50": 0.5, "tile_iou": 0.25, "mistakes_per_tile": 1.5, "best_f1": 0.75, "false_per_100km2": None}
    sets = {"airbus": figures | {"ap50": 0.125, "false_per_100km2": 250.0}, "together": figures}
    result = seed_result(3, sets, 60.0)
    assert (result.seed, result.tile_iou, result.mistakes_per_tile, result.ap50) == (3, 0.25, 1.5, 0.5)
    assert (result.unseen_ap50, result.best_f1, result.false_per_km2, result.train_seconds) == (0.125, 0.75, 2.5, 60.0)
    result = seed_result(3, {"together": figures | {"best_f1": None}}, 60.0)
    assert all(map(math.isnan, [result.best_f1, result.unseen_ap50, result.false_per_km2]))


def test_the_cost_of_a_detector_is_per_pixel() -> None:
    small, large = (detector_cost(GridConfig(boxes=1), side) for side in (256, 1024))
    assert small == large
    kernels = 6 * 6 * 3 * 32 / 4  # of the first convolution alone, one output for each 4 pixels
    assert small.gflop_per_mpx > 2 * kernels / 1e3
    assert small.weights < detector_cost(GridConfig(boxes=4), 256).weights


def test_flops_are_the_multiplications_and_additions_of_convolutions() -> None:
    pixels = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(pixels)  # 16 x 24 positions, 3 x 3 x 3 x 8 numbers
    x = layers.ReLU()(layers.DepthwiseConv2D(5, padding="same")(x))  # 16 x 24, 5 x 5 x 8
    x = layers.Conv2D(4, 1)(x)  # 16 x 24, 8 x 4
    x = layers.Conv2DTranspose(5, 2, strides=2)(x)  # 16 x 24 of its input, 2 x 2 x 5 x 4
    expected = 2 * 16 * 24 * (3 * 3 * 3 * 8 + 5 * 5 * 8 + 8 * 4 + 2 * 2 * 5 * 4)
    assert count_flops(keras.Model(pixels, x), 32, 48) == expected


def test_a_model_of_two_inputs_is_refused() -> None:
    pixels = [keras.Input((None, None, 3)), keras.Input((None, None, 3))]
    with pytest.raises(ValueError, match="one input, got 2"):
        count_flops(keras.Model(pixels, layers.Add()(pixels)), 32, 32)


def test_a_row_has_means_and_spreads_and_names_what_is_missing() -> None:
    head, *lines = results.result_rows(RESULTS)
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
    assert results.gain_rows(RESULTS) == [
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
    assert results.gain_text(gain) == text


@pytest.mark.parametrize(("seconds", "text"), [(600.0, "10 min"), (5399.0, "90 min"), (21600.0, "6.0 h")])
def test_long_durations_are_in_hours(seconds: float, text: str) -> None:
    result = made_result("01-a", 0.5)
    head, line = results.result_rows([replace(result, seeds=(replace(result.seeds[0], train_seconds=seconds),))])
    assert line[head.index("training")] == text


def test_markdown_has_a_cell_for_every_column() -> None:
    lines = results.markdown([["a", "b"], ["1|2", "3"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1\\|2 | 3 |"]


def test_json_has_no_nan() -> None:
    text = json.dumps(results.to_json(RESULTS), allow_nan=False)
    assert [experiment["name"] for experiment in json.loads(text)["experiments"]] == ["01-a", "02-b", "03-c"]


def chart(*ap50: tuple[float, ...]) -> ImageArray:
    experiments = [made_result(f"0{n}", *values, seeds=2) for n, values in enumerate(ap50)]
    return np.asarray(Image.open(io.BytesIO(results.chart_png(experiments))).convert("RGB"))


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
