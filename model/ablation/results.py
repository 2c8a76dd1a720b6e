"""The results of an ablation study: figures of every experiment, spread over seeds, gains; JSON, Markdown, a chart."""

import csv
import functools
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geo.errors import FinderError
from model.ablation.config import AblationConfig, ExperimentConfig, experiment_folder, training_configs
from model.common.atomic import write_atomically
from model.detectors import registry
from model.detectors.config import DetectorConfig, GridConfig
from model.evaluation.measure import ALL_SETS
from model.evaluation.set_metrics import Rows, number
from model.inference import model_folder
from model.inference.scan_config import read_scan_config
from model.training.loop import LOG

# In the folder of a training: the model, and what `model.evaluate` writes.
MODEL, VAL_FIGURES, TEST_FIGURES = "model", "figures-val.json", "figures-test.json"
# The set of a sensor that no experiment is trained on, and whose resolution is known.
_UNSEEN = "airbus"
# In the folder of the study.
JSON, MARKDOWN, CHART = "ablation.json", "ablation.md", "ablation.png"
# The figures that are compared with the baseline's, and their titles.
GAINS = {"ap50": "AP50", "tile_iou": "IOU"}
# The panels of the chart: the figure, its title, its colour, and whether its scale is logarithmic.
_PANELS = (
    ("ap50", "AP50", "#0b63b5", False),
    ("tile_iou", "IOU", "#c2571a", False),
    ("false_per_km2", "false a km2 on airbus", "#a03060", True),
    ("gflop_per_mpx", "GFLOP a Mpx", "#4a6b1f", True),
)
_NOT_YET = "not measured yet"
_HEAD = [
    *("experiment", "change", "IOU (spread)", "mistakes a tile", "AP50 (spread)", "AP50 on airbus", "best F1"),
    *("false a km2 on airbus", "weights", "GFLOP a Mpx", "training", "seeds"),
]


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The figures of one seed's model; NaN where a figure is not defined.

    Attributes:
        seed: seed of its training.
        tile_iou, mistakes_per_tile: the talk's, over all test sets, see `model.evaluation.tile_metrics`.
        ap50, best_f1: over all test sets.
        unseen_ap50: on airbus.
        false_per_km2: false detections on the background of airbus.
        train_seconds: duration of its training.
    """

    seed: int
    tile_iou: float
    mistakes_per_tile: float
    ap50: float
    unseen_ap50: float
    best_f1: float
    false_per_km2: float
    train_seconds: float


@dataclass(frozen=True, slots=True)
class DetectorCost:
    """Size and computational cost of a detector.

    Attributes:
        weights: number of weights at inference.
        gflop_per_mpx: floating-point operations per pixel of input, in thousands, in the pipeline's tiles.
    """

    weights: int
    gflop_per_mpx: float


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """An experiment, the cost of its detector, and the results so far, in the order of its seeds."""

    experiment: ExperimentConfig
    cost: DetectorCost
    seeds: tuple[SeedResult, ...]

    def values(self, figure: str) -> list[float]:
        """Return the figure of every seed."""
        return [getattr(seed, figure) for seed in self.seeds]

    def mean(self, figure: str) -> float:
        """Return the mean over seeds; NaN without any."""
        return float(np.mean(self.values(figure))) if self.seeds else math.nan

    def spread(self, figure: str) -> float:
        """Return the largest value less the smallest; NaN with fewer than two seeds."""
        return float(np.ptp(self.values(figure))) if len(self.seeds) > 1 else math.nan


@dataclass(frozen=True, slots=True)
class Gain:
    """The difference between an experiment and its baseline in one figure.

    Attributes:
        value: the experiment's mean less the baseline's; NaN where one of them is missing.
        spread: the larger of the two spreads, or the one that is known; NaN where none is.
    """

    value: float
    spread: float

    @property
    def within_spread(self) -> bool:
        """Whether the difference, gain or loss, is no larger than that between two seeds."""
        return abs(self.value) <= self.spread


def gain(result: ExperimentResult, baseline: ExperimentResult, figure: str) -> Gain:
    """Compute what an experiment gains over its baseline in one figure."""
    spreads = [spread for spread in (result.spread(figure), baseline.spread(figure)) if not math.isnan(spread)]
    return Gain(result.mean(figure) - baseline.mean(figure), max(spreads, default=math.nan))


def experiment_results(config: AblationConfig) -> list[ExperimentResult]:
    """Collect the results of all experiments, also of those that have none yet.

    Raises:
        ConfigError: settings that no training of a detector takes.
    """
    results = []
    for experiment, training in zip(config.experiments, training_configs(config).values(), strict=True):
        cost = detector_cost(training.detector, read_scan_config(training.scan).tiling.tile_px)
        seeds = [_read_seed(experiment_folder(config, experiment, seed), seed) for seed in experiment.seeds]
        results.append(ExperimentResult(experiment, cost, tuple(seed for seed in seeds if seed)))
    return results


@functools.cache
def detector_cost(detector: DetectorConfig | GridConfig, tile_px: int) -> DetectorCost:
    """Compute the cost of a detector on tiles of this side."""
    model = registry.get(detector).build_folded()
    return DetectorCost(model.count_params(), count_flops(model, tile_px, tile_px) / tile_px**2 / 1e3)


def count_flops(model: keras.Model, height: int, width: int) -> int:
    """Return the FLOPs of a model's convolutions on one image; a multiplication and an addition are two.

    Operations between the convolutions (additions, rectifiers) are not counted, as is the custom: a few per cent.

    Args:
        model: a network of convolutions, see `model.detectors.anchor_free.network.build`.
        height: height of the image, a multiple of the model's coarsest stride.
        width: width of the image, likewise.
    """
    if len(model.inputs) != 1:
        raise ValueError(f"expected a model of one input, got {len(model.inputs)}")
    positions = _kernel_positions(model, height, width)
    convolutions = filter(_is_convolution, model.layers)
    return sum(2 * positions[layer.name] * int(np.prod(layer.kernel.shape)) for layer in convolutions)


def _is_convolution(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Conv2DTranspose)


def _kernel_positions(model: keras.Model, height: int, width: int) -> dict[str, int]:
    """Return how often each layer applies its kernel: once per output pixel, or input pixel if it is transposed."""
    tensors = {
        layer.name: layer.input if isinstance(layer, layers.Conv2DTranspose) else layer.output
        for layer in filter(_is_convolution, model.layers)
    }
    probe = keras.Model(model.inputs, list(tensors.values()))
    outputs = probe.compute_output_spec(keras.KerasTensor((1, height, width, model.input.shape[-1])))
    return {name: int(np.prod(output.shape[1:3])) for name, output in zip(tensors, outputs, strict=True)}


def read_figures(file: Path, model: Path) -> dict[str, Any] | None:
    """Read what `model.evaluate` wrote; None without the file, or if the model has been trained further since.

    Args:
        file: its output.
        model: the model's folder.
    """
    try:
        version = model_folder.read_config(model).version
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, FinderError):
        return None
    return content if content["model"] == version else None


def _read_seed(folder: Path, seed: int) -> SeedResult | None:
    content = read_figures(folder / TEST_FIGURES, folder / MODEL)
    return seed_result(seed, content["sets"], _train_seconds(folder / LOG)) if content else None


def seed_result(seed: int, sets: dict[str, dict[str, Any]], train_seconds: float) -> SeedResult:
    """Pick the figures of a model from those of all sets, as `model.evaluate` writes them."""
    together, unseen = sets[ALL_SETS], sets.get(_UNSEEN, {})
    return SeedResult(
        seed=seed,
        tile_iou=_or_nan(together["tile_iou"]),
        mistakes_per_tile=_or_nan(together["mistakes_per_tile"]),
        ap50=_or_nan(together["ap50"]),
        unseen_ap50=_or_nan(unseen.get("ap50")),
        best_f1=_or_nan(together["best_f1"]),
        false_per_km2=_or_nan(unseen.get("false_per_100km2")) / 100,
        train_seconds=train_seconds,
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _train_seconds(log: Path) -> float:
    """Sum the seconds of all epochs in a training's log."""
    lines: Sequence[dict[str, str]] = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
    return sum(float(line["seconds"]) for line in lines)


def write(config: AblationConfig) -> None:
    """Write the results so far in all three forms."""
    results = experiment_results(config)
    write_atomically(config.run / JSON, json.dumps(to_json(results), indent=2, allow_nan=False) + "\n")
    write_atomically(config.run / MARKDOWN, f"{markdown(result_rows(results))}\n\n{markdown(gain_rows(results))}\n")
    write_atomically(config.run / CHART, chart_png(results))


def result_rows(results: Sequence[ExperimentResult]) -> Rows:
    """Build the table of all figures; the first row is the header."""
    return [_HEAD, *(_result_row(result) for result in results)]


def _result_row(result: ExperimentResult) -> list[str]:
    return [
        result.experiment.name,
        result.experiment.summary,
        _with_spread(result, "tile_iou"),
        number(result.mean("mistakes_per_tile"), 2),
        _with_spread(result, "ap50"),
        number(result.mean("unseen_ap50")),
        number(result.mean("best_f1")),
        number(result.mean("false_per_km2"), 2),
        f"{result.cost.weights:,}",
        number(result.cost.gflop_per_mpx, 1),
        _duration(result.mean("train_seconds")),
        _seed_count(result),
    ]


def gain_rows(results: Sequence[ExperimentResult]) -> Rows:
    """Build the table of gains over the baselines; the first row is the header."""
    lines = [
        [name, baseline, *(gain_text(value) for value in gains.values())] for name, baseline, gains in _gains(results)
    ]
    return [["experiment", "baseline", *(f"gain in {title}" for title in GAINS.values())], *lines]


def _gains(results: Sequence[ExperimentResult]) -> list[tuple[str, str, dict[str, Gain]]]:
    """List experiment, baseline and gains by figure of every experiment that has a baseline."""
    by_name = {result.experiment.name: result for result in results}
    return [
        (name, baseline, {figure: gain(result, by_name[baseline], figure) for figure in GAINS})
        for name, result in by_name.items()
        if (baseline := result.experiment.baseline) is not None
    ]


def gain_text(gained: Gain) -> str:
    """Format a gain for a table."""
    if math.isnan(gained.value):
        return _NOT_YET
    if math.isnan(gained.spread):
        return f"{gained.value:+.3f} (one seed)"
    return f"{'none: ' if gained.within_spread else ''}{gained.value:+.3f} (spread {gained.spread:.3f})"


def markdown(rows: Rows) -> str:
    """Format a table in Markdown."""
    head, *lines = [[cell.replace("|", "\\|") for cell in line] for line in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def to_json(results: Sequence[ExperimentResult]) -> dict[str, Any]:
    """Build the content of the JSON file; NaN becomes None."""
    gains = {name: values for name, _, values in _gains(results)}
    return {
        "experiments": [
            _without_nan(
                asdict(result.experiment)
                | asdict(result.cost)
                | {
                    "results": [asdict(seed) for seed in result.seeds],
                    "mean": {figure: result.mean(figure) for figure in GAINS},
                    "spread": {figure: result.spread(figure) for figure in GAINS},
                    "gain": {
                        figure: asdict(value) | {"within_spread": value.within_spread}
                        for figure, value in gains.get(result.experiment.name, {}).items()
                    },
                }
            )
            for result in results
        ]
    }


def chart_png(results: Sequence[ExperimentResult]) -> bytes:
    """Draw AP50, IOU, false airplanes and cost of every experiment, the first on top: means as dots, seeds as rings."""
    figure = Figure(figsize=(12.8, 1.0 + 0.4 * len(results)), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for panel, (name, title, colour, logarithmic) in zip(panels, _PANELS, strict=True):
        _plot_figure(panel, results, name, colour, logarithmic)
        panel.set_title(title, color=colour, loc="left")
        panel.set_ylim(len(results) - 0.5, -0.5)
        panel.grid(axis="x")
    names = [result.experiment.name + ("" if result.seeds else f" ({_NOT_YET})") for result in results]
    panels[0].set_yticks(range(len(results)), names)
    figure.supxlabel(
        "dots: means over seeds; rings: seeds; AP50 and IOU: higher is better, the others: lower is better",
        fontsize="small",
    )
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


def _plot_figure(panel: Axes, results: Sequence[ExperimentResult], name: str, colour: str, logarithmic: bool) -> None:
    """Plot one figure of all experiments; the scale ends at 0 and 1, or fits the values if it is logarithmic."""
    if name == "gflop_per_mpx":
        means = [result.cost.gflop_per_mpx for result in results]
    else:
        means = [result.mean(name) for result in results]
        for row, result in enumerate(results):
            if len(result.seeds) > 1:
                seeds = result.values(name)
                panel.plot(seeds, [row] * len(seeds), "o", color=colour, markerfacecolor="white", markersize=4)
    panel.plot(means, range(len(results)), "o-", color=colour)  # a NaN breaks the line
    if logarithmic:
        panel.set_xscale("symlog" if 0 in means else "log")
        panel.margins(x=0.25)
    else:
        panel.set_xlim(-0.02, 1.02)
    for row, mean in enumerate(means):
        if not math.isnan(mean):
            side = {"xytext": (8, 6)} if logarithmic or mean < 0.75 else {"xytext": (-8, 6), "ha": "right"}
            text = f"{mean:.3g}" if logarithmic else f"{mean:.3f}"
            panel.annotate(text, (mean, row), textcoords="offset points", fontsize="small", **side)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_spread(result: ExperimentResult, figure: str) -> str:
    spread = result.spread(figure)
    return number(result.mean(figure)) + ("" if math.isnan(spread) else f" ({spread:.3f})")


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seed_count(result: ExperimentResult) -> str:
    done, planned = len(result.seeds), len(result.experiment.seeds)
    if not done:
        return _NOT_YET
    return str(planned) if done == planned else f"{done} of {planned}"
