"""The settings of the main job: one YAML file, strict."""

# No postponed annotations here: the loader resolves the fields' types to know which keys are allowed where.
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from geo.errors import ConfigError
from geo.raster.acquisition_time import check_rule
from model.common.config import load_yaml
from model.inference.engine import Engine, Precision
from model.inference.scan_config import ScanConfig

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "pipeline" / "default.yaml"


#: Tiles per call of the model, and per block: more would not fit in memory, or leave workers without work.
MAX_BATCH, MAX_BLOCK = 1024, 65_536


@dataclasses.dataclass(frozen=True, slots=True)
class Screen:
    """Screening: infer the coarsest level first, and the finer levels only near its candidates.

    Attributes:
        min_score: the score of a candidate, 0..1; far below the threshold of airplanes.
        margin_m: how far around a candidate the finer levels are inferred, metres.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_score: float
    margin_m: float

    def __post_init__(self) -> None:
        _check_score("screen.min_score", self.min_score)
        if not 0 <= self.margin_m < math.inf:
            raise ConfigError(f"screen.margin_m: expected a number of metres from 0 on, got {self.margin_m}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig(ScanConfig):
    """Every setting that the detections depend on, and how the work is cut; with tiling and suppression of the scan.

    Attributes:
        model: name of a packaged model, or folder of another.
        min_score: detections below this score are dropped, 0..1; None: the model's own default.
        precision: number format of the model: `float32`, `bfloat16`, or the faster of them on this machine (`auto`).
        engine: runtime of the model: `tensorflow`, `litert`, or the faster of them on this machine (`auto`).
        batch_size: tiles per call of the model.
        block_tiles: tiles that one worker reads in order; a multiple of `batch_size` leaves no batch half full.
        bands: which bands of a scene are red, green and blue, or which one is grey, counted from 1; None: those that
            its STAC item names, else those that the file names, else the first.
        asset: key of the asset of a STAC item to process; None: `visual` or `data`, by key or role, else the only
            raster.
        force: process scenes that are too coarse to show an airplane, too.
        rpc_height_m: ground height in scenes georeferenced by RPCs, metres above the WGS84 ellipsoid; None: such scenes
            are refused, unless they have ground control points, too.
        acquired_in_name: a regular expression that finds the acquisition time, UTC, in a file's name: named groups
            year, month, day, and then hour, minute, second as far as names hold them; None: names hold no time.
        screen: where the finer levels are inferred; None: everywhere.
        keypoints: name of a packaged keypoint model, or folder of another, which measures length, wingspan and heading;
            None: they are not measured.

    Raises:
        ConfigError: a value is out of its range.
    """

    model: str
    min_score: float | None
    precision: Precision
    batch_size: int
    block_tiles: int
    bands: tuple[int, ...] | None = None
    asset: str | None = None
    force: bool = False
    rpc_height_m: float | None = None
    acquired_in_name: str | None = None
    screen: Screen | None = None
    engine: Engine = "auto"
    keypoints: str | None = None

    def __post_init__(self) -> None:
        ScanConfig.__post_init__(self)  # super() does not work in a dataclass with slots
        if self.min_score is not None:
            _check_score("min_score", self.min_score)
        _check_count("batch_size", self.batch_size, MAX_BATCH)
        _check_count("block_tiles", self.block_tiles, MAX_BLOCK)
        if self.bands is not None and (len(self.bands) not in (1, 3) or min(self.bands) < 1):
            raise ConfigError(f"bands: expected 1 or 3 numbers from 1 on, got {list(self.bands)}")
        if self.rpc_height_m is not None and not math.isfinite(self.rpc_height_m):
            raise ConfigError(f"rpc_height_m: expected a number of metres, got {self.rpc_height_m}")
        if self.acquired_in_name is not None:
            try:
                check_rule(self.acquired_in_name)
            except ConfigError as error:
                raise ConfigError(f"acquired_in_name: {error}") from error


def load_config(path: Path = DEFAULT_CONFIG, overrides: Mapping[str, object] | None = None) -> PipelineConfig:
    """Read the settings from a YAML file.

    Args:
        path: the file.
        overrides: values that replace the file's, by dotted name; None values are ignored.

    Raises:
        ConfigError: no such file, an unknown key, a value of the wrong type or out of range.
    """
    return load_yaml(PipelineConfig, path, overrides)


def settings_id(config: PipelineConfig) -> str:
    """Return a hash of the settings that shape the result, without the model, which detections name themselves.

    `min_score`, `precision` and `engine` must be filled in. How tiles are batched and blocked does not shape the
    result. Nor do `asset`, which chooses the scene, `acquired_in_name` and `keypoints`: a detection has the same id in
    the asset of an item and in the file itself, and whether it is measured or not.
    """
    shaping = {
        "min_score": config.min_score,
        "precision": config.precision,
        "engine": config.engine,
        "tiling": dataclasses.asdict(config.tiling),
        "suppression": dataclasses.asdict(config.suppression),
        "bands": config.bands,
        "rpc_height_m": config.rpc_height_m,
        "screen": config.screen and dataclasses.asdict(config.screen),
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


def _check_score(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name}: expected a number from 0 to 1, got {value}")


def _check_count(name: str, value: int, maximum: int) -> None:
    if not 1 <= value <= maximum:
        raise ConfigError(f"{name}: expected a whole number from 1 to {maximum}, got {value}")
