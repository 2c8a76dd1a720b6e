import math

import pytest

from model.ablation.results import Standing, detector_cost, gain, measured
from model.detectors.grid.network import GridConfig
from tests.model.ablation.ladders import standing

NOTHING = math.nan


def test_mean_and_spread_over_seeds() -> None:
    of = standing("a", 0.5, 0.8, 0.6)
    assert of.mean("ap50") == pytest.approx(1.9 / 3)
    assert of.spread("ap50") == pytest.approx(0.3)
    assert of.spread("iou") == pytest.approx(0.15)
    one, none = standing("a", 0.5), standing("a", seeds=2)
    assert (one.mean("ap50"), none.measured) == (0.5, ())
    assert all(map(math.isnan, [one.spread("ap50"), none.mean("ap50"), none.spread("ap50")]))


@pytest.mark.parametrize(
    ("of", "against", "value", "spread", "is_none"),
    [
        ((0.5, 0.6), (0.25, 0.25), 0.3, 0.1, False),
        ((0.5, 0.5), (0.25, 0.5), 0.125, 0.25, True),  # the larger spread of the two, whosever it is
        ((0.25, 0.5), (0.5, 0.5), -0.125, 0.25, True),
        ((0.5, 0.75), (0.25, 0.5), 0.25, 0.25, True),  # not above it
        ((0.25, 0.25), (0.75, 0.5), -0.375, 0.25, False),  # a loss is no gain, and not none
        ((0.5,), (0.25, 0.5), 0.125, 0.25, True),  # where there is one seed, the other's counts
        ((0.25, 0.5), (0.75,), -0.375, 0.25, False),
        ((0.5,), (0.25,), 0.25, NOTHING, False),
        ((), (0.25, 0.5), NOTHING, 0.25, False),
        ((0.5, 0.5), (), NOTHING, 0.0, False),
    ],
)
def test_a_gain_is_held_against_the_larger_spread(
    of: tuple[float, ...], against: tuple[float, ...], value: float, spread: float, is_none: bool
) -> None:
    found = gain(_some(of), _some(against), "ap50")
    assert found.value == pytest.approx(value, nan_ok=True)
    assert found.spread == pytest.approx(spread, nan_ok=True)
    assert found.is_none is is_none


def _some(values: tuple[float, ...]) -> Standing:
    return standing("a", *values, seeds=2)


def test_what_evaluation_writes_is_read() -> None:
    figures = {"ap50": 0.5, "tile_iou": 0.25, "mistakes_per_tile": 1.5, "best_f1": 0.75, "false_per_100km2": None}
    sets = {"airbus": figures | {"ap50": 0.125, "false_per_100km2": 250.0}, "together": figures}
    of = measured(3, sets, 60.0)
    assert (of.seed, of.iou, of.mistakes, of.ap50) == (3, 0.25, 1.5, 0.5)
    assert (of.unseen_ap50, of.best_f1, of.false_per_km2, of.seconds) == (0.125, 0.75, 2.5, 60.0)
    of = measured(3, {"together": figures | {"best_f1": None}}, 60.0)
    assert all(map(math.isnan, [of.best_f1, of.unseen_ap50, of.false_per_km2]))


def test_a_detector_costs_by_the_pixel_it_looks_at() -> None:
    small, large = (detector_cost(GridConfig(boxes=1), side) for side in (256, 1024))
    assert small == large
    kernels = 6 * 6 * 3 * 32 / 4  # of the first convolution alone, a place for each 4 pixels
    assert small.gflop_per_mpx > 2 * kernels / 1e3
    assert small.weights < detector_cost(GridConfig(boxes=4), 256).weights
