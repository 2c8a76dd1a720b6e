"""The summary of an ablation study in its folder: JSON, tables in Markdown, and a chart."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from model.ablation.config import AblationConfig
from model.ablation.results import ExperimentResult, Gain, experiment_results, gain
from model.common.atomic import write_atomically
from model.evaluation.tables import Rows, number

# In the folder of the study.
JSON, MARKDOWN, CHART = "ablation.json", "ablation.md", "ablation.png"
# The figures that are compared with the baseline's, their titles, and their colours in the chart.
GAINS = {"ap50": "AP50", "tile_iou": "IOU"}
_COLOURS = {"ap50": "#0b63b5", "tile_iou": "#c2571a"}
_NOT_YET = "not measured yet"
_HEAD = [
    *("experiment", "change", "IOU (spread)", "mistakes a tile", "AP50 (spread)", "AP50 on airbus", "best F1"),
    *("false a km2 on airbus", "weights", "GFLOP a Mpx", "training", "seeds"),
]


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
    """Draw AP50 and IOU of every experiment, the first on top: means as joined dots, seeds as rings."""
    figure = Figure(figsize=(9.6, 1.0 + 0.4 * len(results)), layout="constrained")
    axes = figure.subplots(1, len(GAINS), sharey=True)
    rows = range(len(results))
    for panel, (name, title) in zip(axes, GAINS.items(), strict=True):
        means, colour = [result.mean(name) for result in results], _COLOURS[name]
        panel.plot(means, rows, "o-", color=colour)  # a NaN breaks the line
        for row, result, mean in zip(rows, results, means, strict=True):
            if len(result.seeds) > 1:
                seeds = result.values(name)
                panel.plot(seeds, [row] * len(seeds), "o", color=colour, markerfacecolor="white", markersize=4)
            if result.seeds:
                side = {"xytext": (8, 6)} if mean < 0.75 else {"xytext": (-8, 6), "ha": "right"}
                panel.annotate(f"{mean:.3f}", (mean, row), textcoords="offset points", fontsize="small", **side)
        panel.set_title(title, color=colour, loc="left")
        panel.set(xlim=(-0.02, 1.02), ylim=(len(results) - 0.5, -0.5))
        panel.grid(axis="x")
    names = [result.experiment.name + ("" if result.seeds else f" ({_NOT_YET})") for result in results]
    axes[0].set_yticks(rows, names)
    figure.supxlabel("dots: means over seeds; rings: seeds; higher is better", fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


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
