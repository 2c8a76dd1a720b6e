"""Measures a detector on annotated pictures: `python -m model.evaluate --config configs/evaluate/default.yaml`.

Every picture is looked at whole, through the same levels, tiles and suppression as a scene in the pipeline.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from geo.errors import ConfigError, FinderError
from model import config as config_file
from model import quiet
from model.data import rendered, sources
from model.data.rendered import RenderedSet
from model.data.sources import Photo
from model.evaluation import figures, look, page, tables
from model.evaluation.detections import read_detections
from model.evaluation.figures import CALIBRATION_BINS, CALIBRATION_LEAST
from model.evaluation.look import TOGETHER, Looked, Measured
from model.evaluation.pictures import Picture
from model.precision import Precision
from model.predictor import Predictor, is_saved_model, load_predictor
from model.scan import ScanConfig
from model.whole import write_whole

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
        split: `val`, or `dev`, the part of train on which thresholds are chosen.
        scan: the pipeline's settings, of which levels, tiles and suppression are taken.
        model: name of a packaged model, a model folder, or a SavedModel.
        min_score: threshold for precision and recall; the model's own where null.
        batch_size: tiles in one call of the model.
        output: a JSON file for the results.
        precision: what the model computes in, as in the pipeline's settings.
        page: an HTML file for the results with curves, misses and false hits; none where null.
        detections: a file of detections to measure, in place of the model's.
        rendered: scenes of the renderer to measure on besides, with split `val`.
    """

    data: Path
    sets: tuple[str, ...]
    split: str
    scan: Path
    model: str
    min_score: float | None
    batch_size: int
    output: Path
    precision: Precision = "auto"
    page: Path | None = None
    detections: Path | None = None
    rendered: tuple[RenderedSet, ...] = ()

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


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = vars(_parser().parse_args(arguments))
    path, record, trusted = (options.pop(name) for name in ("config", "record", "trust_model"))
    quiet.silence()
    try:
        config = config_file.load(EvaluateConfig, path, options)
        _check(config, record)
        if config.detections is None:
            quiet.load("model.frozen")
        measured = measure_and_record(config) if record else measure(config, trusted)
        _write(config, measured)
    except FinderError as error:
        print(f"model.evaluate: {error}", file=sys.stderr)
        return 2
    print(f"{measured.model}, {config.split}, threshold {measured.min_score:.3f}")
    print(tables.tables({name: figures.figures(some, measured.min_score) for name, some in measured.sets.items()}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("model.evaluate", description="Measures a detector on annotated pictures.")
    parser.add_argument("--config", type=Path, default=Path("configs/evaluate/default.yaml"))
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", help="names of sets in that folder, or paths")
    parser.add_argument("--split", help="val, or dev: the part of train on which thresholds are chosen")
    parser.add_argument("--scan", help="settings of the pipeline, for levels, tiles and suppression")
    parser.add_argument("--model", help="name of a packaged model, a model folder, or a SavedModel")
    parser.add_argument("--trust-model", action="store_true", help="load a SavedModel, although it can run code")
    parser.add_argument("--detections", help="measure these: GeoJSON of pipeline.run, or results in COCO's form")
    parser.add_argument("--min-score", type=float, help="threshold for precision and recall")
    parser.add_argument("--output", help="JSON file for the results")
    parser.add_argument("--page", help="HTML file for curves, misses and false hits")
    parser.add_argument(
        "--record", action="store_true", help="write calibration and best threshold over all sets into the model"
    )
    return parser


def _least_score(model: str) -> float:
    """From which score detections are asked for."""
    if is_saved_model(model):
        return _LEAST_SCORE
    from model import weights_io  # brings Keras: only where it is used

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
    for scenes in config.rendered if config.split == "val" else ():
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
    from model import weights_io  # brings Keras: only where it is used

    folder = weights_io.resolve(model)
    weights_io.write_config(folder, replace(weights_io.read_config(folder), **found))


def _check(config: EvaluateConfig, record: bool) -> None:
    """Refuses before the work what could not be done after it.

    Raises:
        ConfigError: the results cannot be written, or nothing can or should be recorded.
    """
    if record and config.split == "val":
        raise ConfigError("expected --split dev with --record, got val: a threshold is chosen on dev, val only reports")
    if record and (config.detections is not None or is_saved_model(config.model)):
        raise ConfigError(
            "expected a model folder with --record, got detections or a SavedModel: they stay as they are"
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


def _write(config: EvaluateConfig, of: Measured) -> None:
    write_whole(config.output, json.dumps(results(config, of), indent=2, allow_nan=False) + "\n")
    if config.page is not None:
        write_whole(config.page, page.render(of, config.split))


if __name__ == "__main__":
    sys.exit(main())
