"""Measure a detector on annotated images, through the levels, tiles and suppression of the pipeline."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from geo.errors import ConfigError
from model.data import rendered, sources
from model.data.rendered import RenderedSet
from model.data.sources import FORMER_SPLITS, Photo, Split
from model.evaluation import figures
from model.evaluation import predictions as look
from model.evaluation.detections import read_detections
from model.evaluation.figures import CALIBRATION_BINS, CALIBRATION_LEAST
from model.evaluation.images import Picture
from model.evaluation.predictions import TOGETHER, Looked, Measured
from model.inference.precision import Precision
from model.inference.predictor import Predictor, is_saved_model, load_predictor
from model.inference.scan import read_scan_config

# Detections below this score are not asked for: they change no figure in its third digit. Raw scores, from which
# calibrations are fitted, are those of every cell where they are much lower than this one.
_LEAST_SCORE = 0.002
_LEAST_RAW_SCORE = 0.1
# The score from which detections of a file count as airplanes, where the command does not say.
_FILE_MIN_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """What is measured, and how.

    Attributes:
        data: folder of the data sets.
        sets: names of the sets in that folder, or paths of others.
        split: `test`; `val`, on which thresholds are chosen; `train`, or `all`.
        scan: the pipeline's settings, of which levels, tiles and suppression are taken.
        model: name of a packaged model, a model folder, or a SavedModel.
        min_score: threshold for precision and recall; the model's own where null.
        batch_size: tiles in one call of the model.
        output: a JSON file for the results.
        precision: what the model computes in, as in the pipeline's settings.
        page: an HTML file for the results with curves, misses and false hits; none where null.
        detections: a file of detections to measure, in place of the model's.
        rendered: scenes of the renderer to measure on besides, with split `test`.
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
    page: Path | None = None
    detections: Path | None = None
    rendered: tuple[RenderedSet, ...] = ()

    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"split": FORMER_SPLITS}

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("sets: expected one data set or more, got none")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: expected a number from 0 to 1, got {self.min_score}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected a whole number from 1 on, got {self.batch_size}")


def measure(config: EvaluateConfig, trusted: bool = False) -> Measured:
    """Measures a model, or a file of detections, on every set, one by one and together.

    Args:
        config: what and how.
        trusted: a SavedModel may be loaded, although it can run code.

    Raises:
        ConfigError: settings or data that are not there.
        WeightsError: a model that is not there, or damaged.
        RasterError: a picture that cannot be read.
    """
    if config.detections is not None:
        file = read_detections(config.detections)
        name, min_score, looked = file.model, _FILE_MIN_SCORE, look.given(_photos(config), file)
    else:
        predictor = load_predictor(
            config.model, config.batch_size, _least_score(config.model), precision=config.precision, trusted=trusted
        )
        name, min_score = predictor.name, predictor.default_min_score
        looked = _looked(config, predictor)
    return Measured(name, min_score if config.min_score is None else config.min_score, _compared(looked, config))


def measure_and_record(config: EvaluateConfig) -> Measured:
    """Calibrates a model on these sets, measures it, and writes calibration and best threshold into its config.

    The sets are looked at twice: to fit the calibration, and with it, as everyone who uses the model will.

    Raises:
        ConfigError: settings or data that are not there, or nothing to learn from.
        WeightsError: a model that is not there, or damaged.
        RasterError: a picture that cannot be read.
    """
    raw = load_predictor(
        config.model, config.batch_size, _LEAST_RAW_SCORE, precision=config.precision, calibrated=False
    )
    calibration = look.fit_calibration(_looked(config, raw))
    _record(config.model, calibration=calibration)
    measured = measure(config)
    min_score = look.best_min_score(measured.sets[TOGETHER])
    _record(config.model, min_score=min_score)
    return replace(measured, min_score=min_score, calibration=calibration)


def results(config: EvaluateConfig, of: Measured) -> dict[str, Any]:
    """All figures, as JSON has them."""
    return {
        "model": of.model,
        "split": config.split,
        "min_score": of.min_score,
        "calibration": None if of.calibration is None else asdict(of.calibration),
        "calibration_error": {"bins": CALIBRATION_BINS, "least_score": CALIBRATION_LEAST},
        "scan": asdict(read_scan_config(config.scan)),
        "sets": {name: figures.plain(figures.figures(some, of.min_score)) for name, some in of.sets.items()},
        "curves": {name: figures.plain(figures.curves(some)) for name, some in of.sets.items()},
    }


def _least_score(model: str) -> float:
    """From which score detections are asked for."""
    if is_saved_model(model):
        return _LEAST_SCORE
    from model.inference import weights_io  # brings Keras: only where it is used

    calibrated = weights_io.read_config(weights_io.resolve(model)).calibration is not None
    return _LEAST_SCORE if calibrated else _LEAST_RAW_SCORE


def _looked(config: EvaluateConfig, predictor: Predictor) -> dict[str, Looked]:
    """What a predictor finds on every set."""
    scan = read_scan_config(config.scan)
    return {
        name: look.look(photos, name, predictor, scan, config.batch_size) for name, photos in _photos(config).items()
    }


def _photos(config: EvaluateConfig) -> dict[str, list[Photo]]:
    """The photos of every set, and the drawn scenes."""
    photos: dict[str, list[Photo]] = {}
    for name in config.sets:
        own = Path(name).is_dir() and not (config.data / name).exists()
        photos[_unused(name, photos)] = sources.read_photos(Path(name) if own else config.data / name, config.split)
    for scenes in config.rendered if config.split == "test" else ():
        photos[_unused(scenes.name, photos)] = rendered.draw(scenes, config.output.parent / "rendered")
    return photos


def _unused(name: str, among: dict[str, list[Photo]]) -> str:
    """A set's short name.

    Raises:
        ConfigError: another set has it.
    """
    short = Path(name).name
    if short in among or short == TOGETHER:
        raise ConfigError(f"sets: expected sets of different names, got {short} twice: rename a folder")
    return short


def _compared(looked: dict[str, Looked], config: EvaluateConfig) -> dict[str, list[Picture]]:
    """Every set held against its truth; the data sets together, without the rendered ones, after them."""
    sets = {name: each.compared() for name, each in looked.items()}
    names = [Path(name).name for name in config.sets]
    real = {name: sets.pop(name) for name in names}
    return {**real, TOGETHER: [picture for some in real.values() for picture in some], **sets}


def _record(model: str, **found: Any) -> None:
    """Writes what was found into the config of a model."""
    from model.inference import weights_io  # brings Keras: only where it is used

    folder = weights_io.resolve(model)
    weights_io.write_config(folder, replace(weights_io.read_config(folder), **found))
