"""A made year at an airport: a script of which airplanes stand where, and the score of what the monitor tells of it.

The script knows, on each date, which slots are occupied by what. Each date is seen with a shift, perhaps under cloud,
and perhaps only in part. Expected is what can be told from what was seen: not an airplane that came and went unseen.
"""

import dataclasses
import datetime
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import shapely

from pipeline.monitor.alerts import Event
from pipeline.monitor.scenes import parse_time
from pipeline.monitor.series import Tables

#: A slot is told from its neighbours by this distance, metres.
SLOT_M = 14.0
#: An airplane pushed back stands this far behind its slot, metres.
PUSHED_M = 30.0


@dataclasses.dataclass(frozen=True)
class Slot:
    """A place for an airplane: metres east and north of the airport's centre, and its direction when it is pushed back.

    Args:
        x: metres east.
        y: metres north.
        back: unit vector, east and north, away from the nose.
        is_large: only for an airplane of more than 60 m, which comes once.
    """

    x: float
    y: float
    back: tuple[float, float]
    is_large: bool = False


@dataclasses.dataclass(frozen=True)
class Parked:
    """An airplane in a slot: which one, and whether it is pushed back."""

    number: int
    pushed: bool = False


@dataclasses.dataclass(frozen=True)
class Date:
    """One date of the script.

    Args:
        time: of the scene.
        parked: the airplane in each occupied slot.
        shift: of the georeference, metres east and north.
        haze: share of scattered light, 0..1.
        clouds: discs, metres east, north and radius; there is a mask of them.
        shown: the part of the airport that the scene shows, metres; None: all.
        planted: names of what was planted on this date.
    """

    time: datetime.datetime
    parked: Mapping[int, Parked]
    shift: tuple[float, float]
    haze: float
    clouds: tuple[tuple[float, float, float], ...]
    shown: shapely.Geometry | None
    planted: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"S{self.time:%Y%m%d}"

    def cloud(self) -> shapely.Geometry:
        return shapely.union_all([shapely.Point(x, y).buffer(radius) for x, y, radius in self.clouds])


@dataclasses.dataclass(frozen=True)
class Planted:
    """Dates, by number, on which something unusual happens.

    Args:
        full: nearly all slots are occupied.
        empty: nearly none is.
        large: an airplane of more than 60 m comes, and stays some dates.
        gap_before: before this date nothing was seen for `gap_days`.
        gap_days: days.
    """

    full: int
    empty: int
    large: int
    gap_before: int
    gap_days: int = 40


def write_script(
    slots: Sequence[Slot],
    dates: int,
    planted: Planted,
    *,
    seed: int = 7,
    extent_m: float = 800.0,
    cloudy: float = 0.25,
    days: float = 365.0,
) -> list[Date]:
    """Return the script of a year.

    Args:
        slots: of the airport.
        dates: how many.
        planted: what is unusual.
        seed: of all choices.
        extent_m: side of a scene, metres.
        cloudy: share of the dates with clouds; as many show only a part.
        days: from the first date to the last, about.
    """
    random = np.random.default_rng(seed)
    usual = [index for index, slot in enumerate(slots) if not slot.is_large]
    large = [index for index, slot in enumerate(slots) if slot.is_large]
    parked: dict[int, Parked] = {}
    numbers = iter(range(10**6))
    script: list[Date] = []
    time = datetime.datetime(2026, 1, 3, 10, 30, tzinfo=datetime.UTC)
    step = (days - planted.gap_days) / dates
    for number in range(dates):
        pause = planted.gap_days if number == planted.gap_before else step + random.uniform(-1.5, 1.5)
        time = time + datetime.timedelta(days=round(pause), minutes=float(random.uniform(-20, 20)))
        share = 0.58 + 0.05 * np.sin(2 * np.pi * time.timetuple().tm_yday / 365) - 0.04 * (time.weekday() >= 5)
        share = 0.97 if number == planted.full else 0.07 if number == planted.empty else share
        parked = _next(parked, usual, share, numbers, random)
        if large and planted.large <= number < planted.large + 3:
            parked[large[0]] = parked.get(large[0]) or Parked(next(numbers))
        else:
            parked.pop(large[0] if large else -1, None)
        is_planted = number in (planted.full, planted.empty, planted.large)
        near = any(abs(number - other) <= 1 for other in (planted.full, planted.empty, planted.large))
        kind = float(random.random())
        script.append(
            Date(
                time=time,
                parked=dict(parked),
                shift=tuple(random.uniform(-5.6, 5.6, 2).round(2).tolist()),  # up to 8 m
                haze=float(random.uniform(0.02, 0.14)),
                clouds=_clouds(random, extent_m) if kind < cloudy and not near else (),
                shown=_part(random, extent_m) if cloudy <= kind < 2 * cloudy and not near else None,
                planted=tuple(
                    name for name in ("full", "empty", "large") if getattr(planted, name) == number
                ) if is_planted else (),
            )
        )  # fmt: skip
    return script


def _next(
    parked: Mapping[int, Parked], usual: Sequence[int], share: float, numbers: "object", random: np.random.Generator
) -> dict[int, Parked]:
    """Return who is parked on the next date: about a sixth left, and others came to other slots."""
    target = round(share * len(usual) + float(random.normal(0, 0.6)))
    stays = {slot: airplane for slot, airplane in parked.items() if slot in usual and random.random() < 0.84}
    while len(stays) > target:
        del stays[list(stays)[int(random.integers(len(stays)))]]
    # A slot that was occupied stays empty for a date: whether another airplane took its place, nobody could see.
    free = [slot for slot in usual if slot not in parked]
    arrive = random.permutation(free)[: max(0, target - len(stays))].tolist()
    moved = {
        slot: dataclasses.replace(airplane, pushed=not airplane.pushed) if random.random() < 0.02 else airplane
        for slot, airplane in stays.items()
    }
    return moved | {int(slot): Parked(next(numbers)) for slot in arrive}  # type: ignore[call-overload]


def _clouds(random: np.random.Generator, extent_m: float) -> tuple[tuple[float, float, float], ...]:
    half = extent_m / 2
    return tuple(
        (
            float(random.uniform(-half, half)),
            float(random.uniform(-half, half)),
            float(random.uniform(0.08, 0.2) * extent_m),
        )
        for _ in range(int(random.integers(1, 4)))
    )


def _part(random: np.random.Generator, extent_m: float) -> shapely.Geometry:
    """Return a scene's cut: it shows 45 to 85 % of the airport, from one side."""
    half, cut = extent_m / 2, float(random.uniform(0.45, 0.85)) * extent_m
    return [
        shapely.box(-half, -half, -half + cut, half),
        shapely.box(half - cut, -half, half, half),
        shapely.box(-half, -half, half, -half + cut),
        shapely.box(-half, half - cut, half, half),
    ][int(random.integers(4))]


def position(slot: Slot, airplane: Parked) -> tuple[float, float]:
    """Return where an airplane stands, metres."""
    away = PUSHED_M if airplane.pushed else 0.0
    return slot.x + away * slot.back[0], slot.y + away * slot.back[1]


# What can be told.


def visibility(slots: Sequence[Slot], date: Date, area: shapely.Geometry, margin_m: float) -> list[bool | None]:
    """Return whether a date shows each slot: all of it and its surroundings, nothing (False), or a part (None)."""
    shown = area if date.shown is None else shapely.intersection(area, date.shown)
    seen = shapely.difference(shown, date.cloud())
    result: list[bool | None] = []
    for slot in slots:
        # With what is behind it, where an airplane is pushed back to.
        place = shapely.LineString([(slot.x, slot.y), position(slot, Parked(0, pushed=True))]).buffer(margin_m)
        result.append(True if shapely.covers(seen, place) else None if shapely.intersects(seen, place) else False)
    return result


@dataclasses.dataclass(frozen=True)
class Expected:
    """A change in a slot: it is to be told by one of the dates after `since`, up to `at`."""

    change: str
    slot: int
    since: int
    at: int


def expected_changes(
    slots: Sequence[Slot], script: Sequence[Date], visible: Sequence[Sequence[bool | None]]
) -> list[Expected]:
    """Return the changes between consecutive dates that show a slot."""
    expected = []
    for index in range(len(slots)):
        shows = [number for number in range(len(script)) if visible[number][index]]
        for since, at in itertools.pairwise(shows):
            before, after = script[since].parked.get(index), script[at].parked.get(index)
            change = None
            if before is None and after is not None:
                change = "arrived"
            elif before is not None and after is None:
                change = "left"
            elif before is not None and after is not None and before.number == after.number and before != after:
                change = "moved"
            elif before != after:
                change = "replaced"  # by one of another or of the same size: both may be told, or neither
            if change is not None:
                expected.append(Expected(change, index, since, at))
    return expected


@dataclasses.dataclass
class Score:
    """How well changes of one kind are told.

    Args:
        told: those that are right.
        wrong: those that are not.
        missed: those that were not told.
    """

    told: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def f1(self) -> float:
        total = 2 * self.told + self.wrong + self.missed
        return 1.0 if total == 0 else 2 * self.told / total


def score_changes(
    tables: Tables, slots: Sequence[Slot], script: Sequence[Date], area: shapely.Geometry, margin_m: float
) -> dict[str, Score]:
    """Return the score of each kind of change.

    What is told of ground that a date shows only in part counts neither for nor against, unless it is expected.
    """
    visible = [visibility(slots, date, area, margin_m) for date in script]
    expected = expected_changes(slots, script, visible)
    by_day = {f"{date.time:%Y-%m-%d}": number for number, date in enumerate(script)}
    frame = np.array([script[0].shift])  # positions are in the frame of the first visit
    centres = np.array([(slot.x, slot.y) for slot in slots]) + frame
    behind = np.array([position(slot, Parked(0, pushed=True)) for slot in slots]) + frame
    scores = {change: Score() for change in ("arrived", "left", "moved")}
    open_items = list(expected)
    for row in tables.changes:
        number = by_day[row.day]
        xy = np.array([row.east_m, row.north_m])
        distance = np.minimum(np.hypot(*(centres - xy).T), np.hypot(*(behind - xy).T))
        slot = int(distance.argmin())
        right = next(
            (
                item
                for item in open_items
                if item.slot == slot and item.since < number <= item.at and item.change in (row.change, "replaced")
            ),
            None,
        )
        if right is not None and distance[slot] <= SLOT_M + 5:
            if right.change != "replaced":
                open_items.remove(right)
                scores[row.change].told += 1
        elif distance[slot] > SLOT_M + 5 or visible[number][slot]:
            scores[row.change].wrong += 1
    for item in open_items:
        if item.change != "replaced":
            scores[item.change].missed += 1
    return scores


def true_count(slots: Sequence[Slot], date: Date, area: shapely.Geometry) -> int:
    """Return how many airplanes stand where the date shows ground."""
    shown = area if date.shown is None else shapely.intersection(area, date.shown)
    seen = shapely.difference(shown, date.cloud())
    return sum(
        bool(shapely.intersects_xy(seen, *position(slots[index], airplane))) for index, airplane in date.parked.items()
    )


def count_error(tables: Tables, slots: Sequence[Slot], script: Sequence[Date], area: shapely.Geometry) -> float:
    """Return by which share the counts of the year are too high (or too low: below 0)."""
    truth = sum(true_count(slots, date, area) for date in script)
    return sum(visit.count for visit in tables.visits) / truth - 1


def score_alerts(events: Sequence[Event], script: Sequence[Date], planted: Planted) -> tuple[list[str], list[Event]]:
    """Return what was planted and not told, and what was told and not planted.

    An event belongs to what was planted if it falls on its date, or the one after: what came must go again.
    """
    dates = [f"{date.time:%Y-%m-%d}" for date in script]

    def near(number: int) -> tuple[str, ...]:
        return tuple(dates[number : number + 2])

    def told(kind: str, days: Sequence[str], word: str = "") -> list[Event]:
        return [event for event in events if event.kind == kind and event.at[:10] in days and word in event.message]

    gap = [event for event in events if event.kind == "not_seen" and _in_gap(event, script, planted)]
    found = {
        "full": told("unusual", near(planted.full), "more than usual"),
        "empty": told("unusual", near(planted.empty), "fewer than usual"),
        "large": told("new_airplane", near(planted.large)),
        "gap": gap,
    }
    right = {event.id for kinds in found.values() for event in kinds}
    right |= {event.id for event in told("change_above", [*near(planted.full), *near(planted.empty)])}
    return [name for name, of_kind in found.items() if not of_kind], [each for each in events if each.id not in right]


def _in_gap(event: Event, script: Sequence[Date], planted: Planted) -> bool:
    start, end = script[planted.gap_before - 1].time, script[planted.gap_before].time
    return start <= parse_time(event.at) <= end
