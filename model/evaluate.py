"""Measure a detector on annotated images: `python -m model.evaluate --config configs/evaluate/default.yaml`.

Every image is processed through the same levels, tiles and suppression as a scene in the pipeline.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from geo.errors import ConfigError, FinderError
from model.common import config as config_file
from model.common import logs as quiet
from model.common.atomic import write_whole
from model.evaluation import page
from model.evaluation.measure import EvaluateConfig, EvaluationResult, measure, measure_and_record, results_json
from model.evaluation.set_metrics import compute_metrics
from model.evaluation.tables import format_tables
from model.inference.predictor import is_saved_model


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = vars(_parser().parse_args(arguments))
    path, record, trusted = (options.pop(name) for name in ("config", "record", "trust_model"))
    quiet.silence()
    try:
        config = config_file.load(EvaluateConfig, path, options)
        _check(config, record)
        if config.detections is None:
            quiet.load("model.inference.frozen_graph")
        result = measure_and_record(config) if record else measure(config, trusted)
        _write(config, result)
    except FinderError as error:
        print(f"model.evaluate: {error}", file=sys.stderr)
        return 2
    print(f"{result.model}, {config.split}, threshold {result.min_score:.3f}")
    print(format_tables({name: compute_metrics(images, result.min_score) for name, images in result.sets.items()}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("model.evaluate", description="Measure a detector on annotated images.")
    parser.add_argument("--config", type=Path, default=Path("configs/evaluate/default.yaml"))
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", help="names of sets in that folder, or paths")
    parser.add_argument("--split", help="test, val (on which thresholds are chosen), train or all")
    parser.add_argument("--scan", help="config of the pipeline, for levels, tiles and suppression")
    parser.add_argument("--model", help="name of a packaged model, a model folder, or a SavedModel")
    parser.add_argument("--trust-model", action="store_true", help="load a SavedModel, although it can run code")
    parser.add_argument("--detections", help="measure these instead: GeoJSON of pipeline.run, or COCO results")
    parser.add_argument("--min-score", type=float, help="score threshold for precision and recall")
    parser.add_argument("--output", help="JSON file for the results")
    parser.add_argument("--page", help="HTML file for charts, missed airplanes and false detections")
    parser.add_argument(
        "--record", action="store_true", help="write calibration and best threshold over all sets into the model"
    )
    return parser


def _check(config: EvaluateConfig, record: bool) -> None:
    """Check, before the work starts, that its results can be written and recorded.

    Raises:
        ConfigError: they cannot.
    """
    if record and config.split == "test":
        raise ConfigError(
            "expected --split val with --record, got test: a threshold is chosen on val, test only reports"
        )
    if record and (config.detections is not None or is_saved_model(config.model)):
        raise ConfigError(
            "expected a model folder with --record, got detections or a SavedModel, which cannot be changed"
        )
    for name, file in (("output", config.output), ("page", config.page)):
        if file is not None:
            _check_writable(name, file)


def _check_writable(name: str, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{name} {file}: expected a file in a folder that can be made: {error}") from error
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise ConfigError(f"{name} {file}: expected a file that can be written, got a folder or no permission")


def _write(config: EvaluateConfig, result: EvaluationResult) -> None:
    write_whole(config.output, json.dumps(results_json(config, result), indent=2, allow_nan=False) + "\n")
    if config.page is not None:
        write_whole(config.page, page.render(result, config.split))


if __name__ == "__main__":
    sys.exit(main())
