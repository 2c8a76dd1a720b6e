"""The settings of the main job: one YAML file, strict."""

# No postponed annotations here: the loader looks at the fields' types to tell which keys are known where.
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from geo.boxes import Suppression
from geo.errors import ConfigError
from geo.grid import Tiling
from geo.raster.acquisition_time import check_rule
from model.common.config import load_yaml
from model.inference.precision import Precision
from model.inference.scan import check_tiling

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "pipeline" / "default.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Screen:
    """A cheap look first: the finer levels look only near what the coarsest one takes for an airplane, however unsure.

    Attributes:
        min_score: how sure it must be, 0..1; far below the threshold of airplanes.
        margin_m: how far around, metres.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_score: float
    margin_m: float

    def __post_init__(self) -> None:
        _check_share("screen.min_score", self.min_score)
        if not 0 <= self.margin_m < math.inf:
            raise ConfigError(f"screen.margin_m: expected a number of metres from 0 on, got {self.margin_m}")


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Everything that the airplanes found depend on, beside the scenes.

    Attributes:
        model: name of a packaged model, or folder of another.
        min_score: airplanes below this score are left out, 0..1; None: the model's own default.
        precision: what the model computes in: `float32`, `bfloat16`, or the faster of them on this machine (`auto`).
        batch_size: tiles in one call of the model.
        block_tiles: tiles that one worker reads one after the other; a multiple of `batch_size` wastes no place in a
            batch.
        tiling: levels, tiles and their overlap.
        suppression: when two boxes are one airplane.
        bands: which bands of a scene are red, green and blue, or which one is grey, counted from 1; None: as its STAC
            item says, else as the file does, else the first.
        asset: which asset of a STAC item to look at, by its key; None: `visual` or `data`, by key or role, else the
            only raster.
        force: look at scenes that are too coarse to see an airplane, too.
        rpc_height_m: height of the ground in scenes that lie by RPCs, metres above the WGS84 ellipsoid; None: they are
            refused, unless ground control points tell too where they lie.
        acquired_in_name: a regular expression that finds in a file's name when the picture was taken, UTC: named groups
            year, month, day, and then hour, minute, second as far as names tell them; None: names do not tell.
        screen: where the finer levels look; None: everywhere.
    """

    model: str
    min_score: float | None
    precision: Precision
    batch_size: int
    block_tiles: int
    tiling: Tiling
    suppression: Suppression
    bands: tuple[int, ...] | None = None
    asset: str | None = None
    force: bool = False
    rpc_height_m: float | None = None
    acquired_in_name: str | None = None
    screen: Screen | None = None

    def __post_init__(self) -> None:
        if self.min_score is not None:
            _check_share("min_score", self.min_score)
        _check_positive("batch_size", self.batch_size)
        _check_positive("block_tiles", self.block_tiles)
        check_tiling(self.tiling)
        if self.bands is not None and (len(self.bands) not in (1, 3) or min(self.bands) < 1):
            raise ConfigError(f"bands: expected 1 or 3 numbers from 1 on, got {list(self.bands)}")
        if self.rpc_height_m is not None and not math.isfinite(self.rpc_height_m):
            raise ConfigError(f"rpc_height_m: expected a number of metres, got {self.rpc_height_m}")
        if self.acquired_in_name is not None:
            _check_rule("acquired_in_name", self.acquired_in_name)


def load_config(path: Path = DEFAULT_CONFIG, overrides: Mapping[str, object] | None = None) -> PipelineConfig:
    """Reads the settings from a YAML file.

    Args:
        path: the file.
        overrides: values that go before the file's, by dotted name; None values are left out.

    Raises:
        ConfigError: no such file, an unknown key, a value of the wrong type or out of range.
    """
    return load_yaml(PipelineConfig, path, overrides)


def settings_id(config: PipelineConfig) -> str:
    """Returns a fingerprint of the settings that shape the result, the model's name aside (airplanes carry that).

    `min_score` and `precision` must be filled in. How tiles are batched and blocked shapes nothing, and is left out. So
    are `asset`, which chooses the scene, and `acquired_in_name`: an airplane keeps its id, found in the asset of an
    item or in the file itself, whoever tells of its time.
    """
    shaping = {
        "min_score": config.min_score,
        "precision": config.precision,
        "tiling": dataclasses.asdict(config.tiling),
        "suppression": dataclasses.asdict(config.suppression),
        "bands": config.bands,
        "rpc_height_m": config.rpc_height_m,
        "screen": config.screen and dataclasses.asdict(config.screen),
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name}: expected a number from 0 to 1, got {value}")


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name}: expected a whole number from 1 on, got {value}")


def _check_rule(name: str, rule: str) -> None:
    try:
        check_rule(rule)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
