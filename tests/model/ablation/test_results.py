import math

import keras
import pytest
from keras import layers

from model.ablation.results import ExperimentResult, count_flops, detector_cost, gain, seed_result
from model.detectors.config import GridConfig
from tests.model.ablation.studies import made_result

NAN = math.nan


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
