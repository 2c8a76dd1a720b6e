"""How the rungs stand: what was measured of each, and what its idea is worth."""

import csv
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.ablation.config import LadderConfig, RungConfig
from model.ablation.steps import figures_on_test, folder
from model.detectors import registry
from model.detectors.anchor_free.network import DetectorConfig
from model.detectors.flops import count_flops
from model.detectors.grid.network import GridConfig
from model.evaluation.predictions import TOGETHER
from model.inference.scan import read_scan_config
from model.training.callbacks import LOG
from model.training.config import TrainConfig

# The set of a sensor that no rung is trained on, and whose resolution is known.
_UNSEEN = "airbus"


@dataclass(frozen=True, slots=True)
class Measured:
    """One seed's model; what makes no sense is NaN.

    Attributes:
        seed: of its training.
        iou, mistakes: the talk's, by tiles of 256 px, over all test sets, see `model.evaluation.tile_metrics`.
        ap50, best_f1: over all test sets.
        unseen_ap50: on airbus.
        false_per_km2: false airplanes on the background of airbus.
        seconds: that its training took.
    """

    seed: int
    iou: float
    mistakes: float
    ap50: float
    unseen_ap50: float
    best_f1: float
    false_per_km2: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a detector costs, whatever it has learned.

    Attributes:
        weights: how many numbers it has as it is used.
        gflop_per_mpx: of pixels that it looks at, in the pipeline's tiles.
    """

    weights: int
    gflop_per_mpx: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A rung, what it costs, and what was measured of it so far, in the order of its seeds."""

    rung: RungConfig
    cost: Cost
    measured: tuple[Measured, ...]

    def mean(self, name: str) -> float:
        """Mean of a figure over seeds; NaN where there are none."""
        return float(np.mean(self._values(name))) if self.measured else math.nan

    def spread(self, name: str) -> float:
        """The largest value of a figure less the smallest; NaN where there are fewer than two."""
        return float(np.ptp(self._values(name))) if len(self.measured) > 1 else math.nan

    def _values(self, name: str) -> list[float]:
        return [getattr(of, name) for of in self.measured]


@dataclass(frozen=True, slots=True)
class Gain:
    """What an idea is worth.

    Attributes:
        value: the rung's mean less that of the one that it is compared with; NaN where one of them is missing.
        spread: the larger one of the two rungs', or that which is known; NaN where none is.
    """

    value: float
    spread: float

    @property
    def is_none(self) -> bool:
        """Whether it is not larger than what another seed makes of it; a loss that is larger is not none either."""
        return abs(self.value) <= self.spread


def gain(of: Standing, against: Standing, name: str) -> Gain:
    """What a rung has gained over another in one figure."""
    spreads = [spread for spread in (of.spread(name), against.spread(name)) if not math.isnan(spread)]
    return Gain(of.mean(name) - against.mean(name), max(spreads, default=math.nan))


def standings(config: LadderConfig, trainings: dict[str, TrainConfig]) -> list[Standing]:
    """How all rungs stand, those too of which nothing was measured yet."""
    return [_standing(config, rung, trainings[rung.name]) for rung in config.rungs]


def _standing(config: LadderConfig, rung: RungConfig, training: TrainConfig) -> Standing:
    side_px = read_scan_config(training.scan).tiling.tile_px
    found = [_measured(folder(config, rung, seed), seed) for seed in rung.seeds]
    return Standing(rung, detector_cost(training.detector, side_px), tuple(of for of in found if of))


@functools.cache
def detector_cost(detector: DetectorConfig | GridConfig, side_px: int) -> Cost:
    """What a detector costs on tiles of this side."""
    model = registry.get(detector).build_folded()
    return Cost(model.count_params(), count_flops(model, side_px, side_px) / side_px**2 / 1e3)


def _measured(own: Path, seed: int) -> Measured | None:
    content = figures_on_test(own)
    return measured(seed, content["sets"], _seconds(own / LOG)) if content else None


def measured(seed: int, sets: dict[str, dict[str, Any]], seconds: float) -> Measured:
    """What is shown of a model, of the figures of all sets as `model.evaluate` writes them."""
    all_sets, unseen = sets[TOGETHER], sets.get(_UNSEEN, {})
    return Measured(
        seed=seed,
        iou=_number(all_sets["tile_iou"]),
        mistakes=_number(all_sets["mistakes_per_tile"]),
        ap50=_number(all_sets["ap50"]),
        unseen_ap50=_number(unseen.get("ap50")),
        best_f1=_number(all_sets["best_f1"]),
        false_per_km2=_number(unseen.get("false_per_100km2")) / 100,
        seconds=seconds,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _seconds(log: Path) -> float:
    """How long a training took, by its log."""
    lines: Sequence[dict[str, str]] = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
    return sum(float(line["seconds"]) for line in lines)
