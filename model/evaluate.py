"""Measures a detector on annotated photos: `python -m model.evaluate --config configs/evaluate/default.yaml`.

Every photo is looked at whole, through the same levels, tiles and suppression as a scene in the pipeline.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geo.errors import ConfigError, FinderError
from geo.raster import read_header
from geo.types import FloatArray
from model import config as config_file
from model import metrics, quiet
from model.data import sources
from model.data.sources import Photo
from model.metrics import Outcomes
from model.predictor import Predictor, load_predictor
from model.scan import ScanConfig, scan

# Overlaps at which detections are compared with the truth.
_IOUS = (0.5, 0.75)
# Detections below this score are not looked at: they change no average precision that matters.
_LEAST_SCORE = 0.1


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """What is measured, and how.

    Attributes:
        data: folder of the data sets.
        sets: names of the sets.
        split: `val`, or `dev`, the part of train on which thresholds are chosen.
        scan: the pipeline's settings, of which levels, tiles and suppression are taken.
        model: name of a packaged model, or a model folder.
        min_score: threshold for precision and recall; the model's own where null.
        batch_size: tiles in one call of the model.
        output: a JSON file for the results.
    """

    data: Path
    sets: tuple[str, ...]
    split: str
    scan: Path
    model: str
    min_score: float | None
    batch_size: int
    output: Path

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("sets: expected one data set or more, got none")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: expected a number from 0 to 1, got {self.min_score}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected a whole number from 1 on, got {self.batch_size}")


def read_scan_config(path: Path) -> ScanConfig:
    """The part of the pipeline's settings that an evaluation shares.

    Raises:
        ConfigError: no such file, or its settings are damaged.
    """
    content = config_file.read(path)
    try:
        shared = {name: content[name] for name in ("tiling", "suppression")}
    except KeyError as error:
        raise ConfigError(f"{path}: expected settings of the pipeline, {error} is missing") from error
    return config_file.parse(ScanConfig, shared, str(path))


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What became of one set.

    Attributes:
        outcomes: over all photos, for each overlap asked of a detection: 0.5 and 0.75.
        sizes_m: the longer side of every airplane's box, metres, where the resolution is known.
    """

    outcomes: dict[float, Outcomes]
    sizes_m: FloatArray


def evaluate(photos: Iterable[Photo], predictor: Predictor, config: ScanConfig, batch: int) -> Findings:
    """Looks at photos and compares what is found with the truth."""
    parts: dict[float, list[Outcomes]] = {iou: [] for iou in _IOUS}
    sizes = [np.zeros(0)]
    for photo in photos:
        header = read_header(str(photo.path), photo.resolution_m)
        found = scan(header, config, predictor, batch)
        for iou, outcomes in parts.items():
            outcomes.append(metrics.outcomes(found, photo.boxes, header.width, header.height, iou))
        if photo.resolution_known:
            sizes.append((photo.boxes[:, 2:] - photo.boxes[:, :2]).max(axis=1, initial=0) * max(header.resolution_m))
    outcomes_by_iou = {iou: Outcomes.concatenate(outcomes) for iou, outcomes in parts.items()}
    return Findings(outcomes_by_iou, np.concatenate(sizes))


def histograms(of: Findings) -> dict[str, dict[str, int]]:
    """How many found airplanes score what, in tenths, and how many airplanes are how long, in tens of metres."""
    loose = of.outcomes[0.5]
    scores, _ = np.histogram(loose.scores[loose.correct], np.linspace(0, 1, 11))
    sizes, _ = np.histogram(of.sizes_m, [*range(0, 80, 10), np.inf])
    return {
        "score": {f"{low / 10:.1f}": int(count) for low, count in enumerate(scores)},
        "size_m": {f"{low * 10}": int(count) for low, count in enumerate(sizes)},
    }


def row(of: dict[float, Outcomes], min_score: float) -> dict[str, float | int | None]:
    """The figures of one set."""
    loose = of[0.5]
    at = metrics.at_threshold(loose, min_score)
    best = metrics.best_f1(loose) if loose.truths and len(loose.scores) else None
    return {
        "pictures": loose.pictures,
        "airplanes": loose.truths,
        "ap50": _number(metrics.average_precision(loose)),
        "ap75": _number(metrics.average_precision(of[0.75])),
        "precision": at.precision,
        "recall": at.recall if loose.truths else None,
        "false_per_picture": at.wrong / max(loose.pictures, 1),
        "best_f1": best.f1 if best else None,
        "best_f1_min_score": best.min_score if best else None,
    }


def table(rows: dict[str, dict[str, float | int | None]]) -> str:
    """The figures as text, a line a set."""
    columns = list(next(iter(rows.values())))
    lines = [["set", *(column.replace("_", " ") for column in columns)]]
    lines += [[name, *(_text(cells[column]) for column in columns)] for name, cells in rows.items()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Measures a model on every set, one by one and together.

    Raises:
        ConfigError: settings or data that are not there.
        WeightsError: a model that is not there, or damaged.
    """
    scan_config = read_scan_config(config.scan)
    photos = {name: sources.read_photos(config.data / name, config.split) for name in config.sets}
    predictor = load_predictor(config.model, config.batch_size, _LEAST_SCORE)
    min_score = predictor.default_min_score if config.min_score is None else config.min_score
    found = {
        name: evaluate(_shown(some, name), predictor, scan_config, config.batch_size) for name, some in photos.items()
    }
    outcomes = {name: of.outcomes for name, of in found.items()}
    outcomes["together"] = {iou: Outcomes.concatenate([of[iou] for of in outcomes.values()]) for iou in _IOUS}
    return {
        "model": predictor.name,
        "split": config.split,
        "min_score": min_score,
        "scan": asdict(scan_config),
        "sets": {name: row(of, min_score) for name, of in outcomes.items()},
        "histograms": {name: histograms(of) for name, of in found.items()},
    }


def record_min_score(model: str, min_score: float | None) -> None:
    """Writes a default threshold into a model's config.

    Raises:
        ConfigError: there is none (None), for want of airplanes or of detections.
        WeightsError: no such model, or a damaged one.
    """
    if min_score is None:
        raise ConfigError("expected airplanes and detections to choose a threshold from, found none in these sets")
    from model import weights_io  # brings Keras: only where it is used

    folder = weights_io.resolve(model)
    weights_io.write_config(folder, replace(weights_io.read_config(folder), min_score=min_score))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser("model.evaluate", description="Measures a detector on annotated photos.")
    parser.add_argument("--config", type=Path, default=Path("configs/evaluate/default.yaml"))
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", help="names of the sets")
    parser.add_argument("--split", help="val, or dev: the part of train on which thresholds are chosen")
    parser.add_argument("--scan", help="settings of the pipeline, for levels, tiles and suppression")
    parser.add_argument("--model", help="name of a packaged model, or a model folder")
    parser.add_argument("--min-score", type=float, help="threshold for precision and recall")
    parser.add_argument("--output", help="JSON file for the results")
    parser.add_argument(
        "--record", action="store_true", help="write the best threshold over all sets into the model's config"
    )
    options = vars(parser.parse_args(arguments))
    path, record = options.pop("config"), options.pop("record")
    quiet.silence()
    quiet.load("model.frozen")
    try:
        config = config_file.load(EvaluateConfig, path, options)
        _check(config, record)
        result = run(config)
        if record:
            record_min_score(config.model, result["sets"]["together"]["best_f1_min_score"])
    except FinderError as error:
        print(f"model.evaluate: {error}", file=sys.stderr)
        return 2
    config.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{result['model']}, {result['split']}, threshold {result['min_score']:.3f}\n{table(result['sets'])}")
    return 0


def _check(config: EvaluateConfig, record: bool) -> None:
    """Refuses before the work what could not be done after it.

    Raises:
        ConfigError: the results cannot be written, or the threshold would be chosen on what is only to be reported.
    """
    if record and config.split == "val":
        raise ConfigError("expected --split dev with --record, got val: a threshold is chosen on dev, val only reports")
    try:
        config.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output {config.output}: expected a file in a folder that can be made: {error}") from error
    if config.output.is_dir() or not os.access(config.output.parent, os.W_OK):
        raise ConfigError(f"output {config.output}: expected a file that can be written, got a folder or no permission")


def _shown(photos: list[Photo], name: str) -> Iterator[Photo]:
    """The photos, with the progress on a terminal."""
    for number, photo in enumerate(photos):
        if sys.stderr.isatty():
            print(f"\r{name} {number + 1}/{len(photos)} ", end="", file=sys.stderr)
        yield photo
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
