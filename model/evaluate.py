"""Measure a detector on annotated images: `python -m model.evaluate --config configs/evaluate/default.yaml`.

Every image is processed through the same levels, tiles and suppression as a scene in the pipeline.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import ConfigError
from model.common import logs
from model.common.atomic import check_writable, write_atomically
from model.common.command import Parser, command

if TYPE_CHECKING:
    from model.evaluation.measure import EvaluateConfig, EvaluationResult


@command("model.evaluate")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 2 if the command is wrong."""
    options = vars(_parser().parse_args(arguments))
    path, record, trusted = (options.pop(name) for name in ("config", "record", "trust_model"))
    logs.silence()
    # Imported when the options are known to be right: they load scipy, matplotlib and rasterio.
    from model.common.config import load_yaml
    from model.evaluation.measure import EvaluateConfig, measure, measure_and_record
    from model.evaluation.outlines import outline_tables
    from model.evaluation.set_metrics import align, compute_metrics, format_tables

    config = load_yaml(EvaluateConfig, path, options)
    _check(config, record)
    result = measure_and_record(config) if record else measure(config, trusted)
    _write(config, result)
    print(f"{result.model}, {config.split}, threshold {result.min_score:.3f}")
    sets = {name: compute_metrics(images, result.min_score) for name, images in result.sets.items()}
    print(format_tables(sets))
    for rows in outline_tables(result.outlines, result.min_score):
        print(f"\n{align(rows)}")
    suggested = (f"{row.suggested_min_score:.3f} for {name}" for name, row in sets.items() if row.airplanes)
    print(f"\nsuggested threshold: {', '.join(suggested) or 'none, without airplanes'}")
    return 0


def _parser() -> Parser:
    parser = Parser("model.evaluate", description="Measure a detector on annotated images.")
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
        OutputError: the results cannot be written.
        ConfigError: the threshold and calibration cannot be recorded.
    """
    from model.inference.predictor import is_saved_model

    if record and config.split == "test":
        raise ConfigError(
            "expected --split val with --record, got test: a threshold is chosen on val, test only reports"
        )
    if record and (config.detections is not None or is_saved_model(config.model)):
        raise ConfigError(
            "expected a model folder with --record, got detections or a SavedModel, which cannot be changed"
        )
    for file in filter(None, (config.output, config.page)):
        check_writable(file)


def _write(config: EvaluateConfig, result: EvaluationResult) -> None:
    from model.evaluation.measure import results_json

    write_atomically(config.output, json.dumps(results_json(config, result), indent=2, allow_nan=False) + "\n")
    if config.page is not None:
        from model.evaluation import page

        write_atomically(config.page, page.render(result, config.split))


if __name__ == "__main__":
    sys.exit(main())
