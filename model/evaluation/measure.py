"""Measure a detector on annotated images, through the levels, tiles and suppression of the pipeline."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from geo.errors import ConfigError
from model.data import sources
from model.data.labels import AnnotatedImage
from model.data.sources import FORMER_SPLITS, RenderedSet, Split
from model.evaluation.images import ComparedImage
from model.evaluation.outlines import ComparedOutlines, compare_outlines, compute_outline_metrics
from model.evaluation.predictions import (
    Predictions,
    best_min_score,
    fit_calibration,
    load_predictions,
    predict,
    read_detection_file,
)
from model.evaluation.set_metrics import (
    CALIBRATION_BINS,
    CALIBRATION_MIN_SCORE,
    compute_curves,
    compute_metrics,
    to_json,
)
from model.inference import model_folder
from model.inference.calibration import Calibration
from model.inference.engine import Engine, Precision
from model.inference.predictor import Predictor, is_saved_model, load_predictor
from model.inference.scan_config import read_scan_config

# The name of all data sets together, in the results.
ALL_SETS = "together"
# Detections below this score are not asked for: they change no metric in its third digit. Raw scores, to which
# calibrations are fitted, need a higher one: below it, every cell has some score.
_MIN_SCORE = 0.002
_MIN_RAW_SCORE = 0.1
# Default score threshold for the detections of a file.
_FILE_MIN_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """Settings of an evaluation.

    Attributes:
        data: folder of the data sets.
        sets: names of the sets in that folder, or paths of others.
        split: `test`; `val`, on which thresholds are chosen; `train`, or `all`.
        scan: config of the pipeline, for levels, tiles and suppression.
        model: name of a packaged model, a model folder, or a SavedModel.
        min_score: score threshold for precision and recall; the model's own where null.
        batch_size: tiles per call of the model.
        output: a JSON file for the results.
        precision: numeric precision of the model, as in the pipeline's config.
        engine: runtime of the model, likewise.
        page: an HTML file for the results with charts, missed airplanes and false detections; none where null.
        detections: a file of detections to measure instead of a model.
        rendered: rendered scenes to measure on as well, with split `test`.
        keypoints: name or folder of the keypoint model, to measure outlines where the labels have points; not where
            null, and not with `detections`.
    """

    data: Path
    sets: tuple[str, ...]
    split: Split
    scan: Path
    model: str
    min_score: float | None
    batch_size: int
    output: Path
    precision: Precision = "auto"
    engine: Engine = "auto"
    page: Path | None = None
    detections: Path | None = None
    rendered: tuple[RenderedSet, ...] = ()
    keypoints: str | None = None

    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"split": FORMER_SPLITS}

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("sets: expected one data set or more, got none")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: expected a number from 0 to 1, got {self.min_score}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected a whole number from 1 on, got {self.batch_size}")


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        model: name and digest of the model, or the name of what made the detections.
        min_score: score threshold of the metrics that need one.
        sets: the images of each set, and of all data sets as `ALL_SETS`.
        calibration: fitted to these sets; None unless it was to be recorded.
        outlines: the images of each set whose labels have points, if outlines were measured.
    """

    model: str
    min_score: float
    sets: dict[str, list[ComparedImage]]
    calibration: Calibration | None = None
    outlines: dict[str, list[ComparedOutlines]] = field(default_factory=dict)


def measure(config: EvaluateConfig, trusted: bool = False) -> EvaluationResult:
    """Measure a model, or a file of detections, on each set and on all together.

    Args:
        config: the settings.
        trusted: a SavedModel may be loaded, although it can run code.

    Raises:
        ConfigError: settings or data that do not exist.
        WeightsError: a model that does not exist, or is damaged.
        RasterError: an image that cannot be read.
    """
    outlines: dict[str, list[ComparedOutlines]] = {}
    if config.detections is not None:
        file = read_detection_file(config.detections)
        name, min_score, predictions = file.model, _FILE_MIN_SCORE, load_predictions(_read_sets(config), file)
    else:
        predictor = load_predictor(
            config.model,
            config.batch_size,
            _min_score(config.model),
            precision=config.precision,
            engine=config.engine,
            trusted=trusted,
        )
        name, min_score = predictor.name, predictor.default_min_score
        predictions = _predict_sets(config, predictor)
        if config.keypoints is not None:
            compared = {name: compare_outlines(each, config.keypoints) for name, each in predictions.items()}
            outlines = {name: images for name, images in compared.items() if images}
    min_score = min_score if config.min_score is None else config.min_score
    return EvaluationResult(name, min_score, _compare_sets(predictions, config), outlines=outlines)


def measure_and_record(config: EvaluateConfig) -> EvaluationResult:
    """Calibrate a model on these sets, measure it, and write the calibration and the best threshold into its config.

    Predicts twice: raw scores, to fit the calibration, and calibrated ones, as users of the model get them.

    Raises:
        ConfigError: settings or data that do not exist, or nothing to fit.
        WeightsError: a model that does not exist, or is damaged.
        RasterError: an image that cannot be read.
    """
    raw = load_predictor(
        config.model,
        config.batch_size,
        _MIN_RAW_SCORE,
        precision=config.precision,
        engine=config.engine,
        calibrated=False,
    )
    calibration = fit_calibration(_predict_sets(config, raw))
    _record(config.model, calibration=calibration)
    result = measure(config)
    min_score = best_min_score(result.sets[ALL_SETS])
    _record(config.model, min_score=min_score)
    return replace(result, min_score=min_score, calibration=calibration)


def results_json(config: EvaluateConfig, result: EvaluationResult) -> dict[str, Any]:
    """Return all metrics and curves as JSON values."""
    return {
        "model": result.model,
        "split": config.split,
        "min_score": result.min_score,
        "calibration": None if result.calibration is None else asdict(result.calibration),
        "calibration_error": {"bins": CALIBRATION_BINS, "least_score": CALIBRATION_MIN_SCORE},
        "scan": asdict(read_scan_config(config.scan)),
        "sets": {name: to_json(compute_metrics(images, result.min_score)) for name, images in result.sets.items()},
        "outlines": {
            name: to_json(compute_outline_metrics(images, result.min_score)) for name, images in result.outlines.items()
        },
        "curves": {name: to_json(compute_curves(images)) for name, images in result.sets.items()},
    }


def _min_score(model: str) -> float:
    """Return the score below which the detections of a model are not asked for."""
    if is_saved_model(model):
        return _MIN_SCORE
    calibrated = model_folder.read_config(model_folder.resolve(model)).calibration is not None
    return _MIN_SCORE if calibrated else _MIN_RAW_SCORE


def _predict_sets(config: EvaluateConfig, predictor: Predictor) -> dict[str, Predictions]:
    scan = read_scan_config(config.scan)
    return {
        name: predict(images, predictor, scan, config.batch_size, name) for name, images in _read_sets(config).items()
    }


def _read_sets(config: EvaluateConfig) -> dict[str, list[AnnotatedImage]]:
    """Read the images of every data set, and of the rendered sets."""
    sets: dict[str, list[AnnotatedImage]] = {}
    for name in config.sets:
        is_path = Path(name).is_dir() and not (config.data / name).exists()
        folder = Path(name) if is_path else config.data / name
        sets[_unique_name(name, sets)] = sources.read_annotated_images(folder, config.split)
    for scenes in config.rendered if config.split == "test" else ():
        sets[_unique_name(scenes.name, sets)] = sources.render_scenes(scenes, config.output.parent / "rendered")
    return sets


def _unique_name(name: str, sets: dict[str, list[AnnotatedImage]]) -> str:
    """Return the short name of a set.

    Raises:
        ConfigError: another set has it.
    """
    short = Path(name).name
    if short in sets or short == ALL_SETS:
        raise ConfigError(f"sets: expected sets of different names, got {short} twice: rename a folder")
    return short


def _compare_sets(predictions: dict[str, Predictions], config: EvaluateConfig) -> dict[str, list[ComparedImage]]:
    """Return the compared images: of each data set, of all data sets together, and then of each rendered set."""
    compared = {name: each.compare() for name, each in predictions.items()}
    data_sets = {name: compared.pop(name) for name in (Path(name).name for name in config.sets)}
    return {**data_sets, ALL_SETS: [image for images in data_sets.values() for image in images], **compared}


def _record(model: str, **values: Any) -> None:
    """Write values into the config of a model."""
    folder = model_folder.resolve(model)
    model_folder.write_config(folder, replace(model_folder.read_config(folder), **values))
