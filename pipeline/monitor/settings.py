"""The settings of monitoring: one YAML file, strict."""

# No postponed annotations here: the loader resolves the fields' types to know which keys are allowed where.
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Annotated, Literal

from geo.errors import ConfigError
from model.common.config import ByKind, load_yaml

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


@dataclasses.dataclass(frozen=True, slots=True)
class MatchSettings:
    """When two detections of different visits are the same airplane.

    Attributes:
        max_shift_m: the largest shift between the georeferences of two visits, metres.
        tolerance_m: how far centres may differ once the shift is taken out, metres; more where the sensor looked from
            the side.
        size_tolerance: how much sizes may differ, as a share of the smaller one.
        moved_max_m: an airplane that is gone and one of its size this near to it that is new are one that moved.
        moved_size_tolerance: how much the sizes of these two may differ.
        certain_score: an airplane with a detection of this score has arrived, or has left, 0..1.
        certain_visits: so has one that counts in this many visits, whatever its scores.

    Raises:
        ConfigError: a value is out of its range.
    """

    max_shift_m: float
    tolerance_m: float
    size_tolerance: float
    moved_max_m: float
    moved_size_tolerance: float
    certain_score: float
    certain_visits: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_positive(f"matching.{field.name}", getattr(self, field.name))
        _check_share("matching.certain_score", self.certain_score)


@dataclasses.dataclass(frozen=True, slots=True)
class BaselineSettings:
    """What is usual at an airport, and when a count is not.

    Attributes:
        min_visits: visits that an effect (a weekday, a season) needs before it is used, and the baseline as a whole.
        history_days: visits this long ago or longer are left out.
        false_alarm: share of usual visits that may be called unusual, above 0, below 1.
        min_spread: the least standard deviation of counts that is assumed, airplanes.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_visits: int
    history_days: float
    false_alarm: float
    min_spread: float

    def __post_init__(self) -> None:
        if self.min_visits < 3:
            raise ConfigError(f"baseline.min_visits: expected 3 or more, got {self.min_visits}")
        check_positive("baseline.history_days", self.history_days)
        check_positive("baseline.min_spread", self.min_spread)
        if not 0 < self.false_alarm < 1:
            raise ConfigError(f"baseline.false_alarm: expected a share above 0, below 1, got {self.false_alarm}")


@dataclasses.dataclass(frozen=True, slots=True)
class CountAbove:
    """More airplanes than `value`, for certain: the lower end of the interval is above it."""

    kind: Literal["count_above"]
    value: float
    airports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class CountBelow:
    """Fewer airplanes than `value`, for certain: enough was seen, and the upper end of the interval is below it."""

    kind: Literal["count_below"]
    value: float
    airports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeAbove:
    """More than `value` airplanes arrived or left between two visits."""

    kind: Literal["change_above"]
    value: float
    airports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class NewAirplane:
    """An airplane arrived that is longer or wider than `min_size_m` metres; by its box where it was not measured."""

    kind: Literal["new_airplane"]
    min_size_m: float
    airports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class NotSeen:
    """No visit saw enough of the airport for `days` days."""

    kind: Literal["not_seen"]
    days: float
    airports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Unusual:
    """The count is outside of what is usual."""

    kind: Literal["unusual"]
    airports: tuple[str, ...] = ()


#: The rules of alerts; `airports` names the airports by id, none means all.
Rule = CountAbove | CountBelow | ChangeAbove | NewAirplane | NotSeen | Unusual


@dataclasses.dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts are posted as JSON.

    Attributes:
        url: address of https:// or http://; or
        url_env: the environment variable that holds it, since such an address is often a secret.
        attempts: how often an alert is posted before it is left to the next run, 1 or more.
        delay_s: seconds before the second attempt; doubled each time.
        timeout_s: seconds to wait for an answer.

    Raises:
        ConfigError: a value is out of its range.
    """

    url: str | None = None
    url_env: str | None = None
    attempts: int = 4
    delay_s: float = 2.0
    timeout_s: float = 20.0

    def __post_init__(self) -> None:
        if (self.url is None) == (self.url_env is None):
            raise ConfigError("webhook: expected url or url_env, got both or none: write one of them")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise ConfigError("webhook.url: expected an address of https:// or http://, got another: correct it")
        if self.attempts < 1:
            raise ConfigError(f"webhook.attempts: expected 1 or more, got {self.attempts}")
        check_positive("webhook.timeout_s", self.timeout_s)


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
        matching: when two detections are the same airplane.
        baseline: what is usual.
        alerts: the rules of alerts.
        max_alert_age_days: what happened this long before the run or longer is recorded, but not sent.
        webhook: where alerts are posted; None: nowhere.

    Raises:
        ConfigError: a value is out of its range.
    """

    weak_score: float
    visit_gap_minutes: float
    min_share_seen: float
    size_classes_m: tuple[float, ...]
    recall: tuple[Recall, ...]
    matching: MatchSettings
    baseline: BaselineSettings
    alerts: tuple[Annotated[Rule, ByKind()], ...] = ()
    max_alert_age_days: float = 30.0
    webhook: Webhook | None = None

    def __post_init__(self) -> None:
        _check_share("weak_score", self.weak_score)
        _check_share("min_share_seen", self.min_share_seen)
        if not 0 <= self.visit_gap_minutes < math.inf:
            raise ConfigError(f"visit_gap_minutes: expected minutes from 0 on, got {self.visit_gap_minutes}")
        check_positive("max_alert_age_days", self.max_alert_age_days)
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


def check_positive(name: str, value: float) -> None:
    """Refuse a value that is not a number above 0.

    Raises:
        ConfigError: it is not.
    """
    if not 0 < value < math.inf:
        raise ConfigError(f"{name}: expected a number above 0, got {value}")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}: expected a number from 0 to 1, got {value}")


def _check_rising(name: str, values: tuple[float, ...]) -> None:
    if any(second <= first for first, second in itertools.pairwise(values)) or any(
        not (math.isfinite(value) and value >= 0) for value in values
    ):
        raise ConfigError(f"{name}: expected rising numbers from 0 on, got {list(values)}")
