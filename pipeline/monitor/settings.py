"""The settings of monitoring: one YAML file, strict."""

# No postponed annotations here: the loader resolves the fields' types to know which keys are allowed where.
import dataclasses
import itertools
import math
from pathlib import Path

from geo.errors import ConfigError
from model.common.config import load_yaml

DEFAULT_SETTINGS = Path(__file__).resolve().parents[2] / "configs" / "monitor" / "default.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Recall:
    """Measured recall of airplanes of a range of sizes.

    Attributes:
        min_px: the smallest size, pixels of the scene; the range ends where the next one begins.
        recall: share that is detected at the model's threshold, above 0, up to 1.
        airplanes: of how many it was measured.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_px: float
    recall: float
    airplanes: int

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise ConfigError(f"recall.recall: expected a share above 0, up to 1, got {self.recall}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """Every setting of monitoring; those of detection are in the settings of the main job.

    Attributes:
        weak_score: detections from this score on are kept, 0..1; below the model's threshold they do not count, but
            are evidence that an airplane stayed.
        visit_gap_minutes: scenes of an airport that follow each other within this are one visit.
        min_share_seen: share of the airport, 0..1, that a visit must see to be evidence of the usual count.
        size_classes_m: edges of the size classes, metres, rising.
        recall: measured recall by size, rising, the first from 0 px on.

    Raises:
        ConfigError: a value is out of its range.
    """

    weak_score: float
    visit_gap_minutes: float
    min_share_seen: float
    size_classes_m: tuple[float, ...]
    recall: tuple[Recall, ...]

    def __post_init__(self) -> None:
        _check_share("weak_score", self.weak_score)
        _check_share("min_share_seen", self.min_share_seen)
        if not 0 <= self.visit_gap_minutes < math.inf:
            raise ConfigError(f"visit_gap_minutes: expected minutes from 0 on, got {self.visit_gap_minutes}")
        _check_rising("size_classes_m", self.size_classes_m)
        _check_rising("recall.min_px", tuple(item.min_px for item in self.recall))
        if not self.recall or self.recall[0].min_px != 0:
            raise ConfigError("recall: expected a first row with min_px: 0, got none: add it")


def load_settings(path: Path = DEFAULT_SETTINGS) -> MonitorSettings:
    """Read the settings from a YAML file.

    Raises:
        ConfigError: no such file, an unknown key, a value of the wrong type or out of range.
    """
    return load_yaml(MonitorSettings, path)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}: expected a number from 0 to 1, got {value}")


def _check_rising(name: str, values: tuple[float, ...]) -> None:
    if any(second <= first for first, second in itertools.pairwise(values)) or any(
        not (math.isfinite(value) and value >= 0) for value in values
    ):
        raise ConfigError(f"{name}: expected rising numbers from 0 on, got {list(values)}")
