"""All tables of an airport from its stored scenes, and the use of its stands. Pure functions over tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from scipy.optimize import linear_sum_assignment

from geo.types import FloatArray
from pipeline.monitor import baseline
from pipeline.monitor.airports import Airport
from pipeline.monitor.baseline import Judgement, Observation
from pipeline.monitor.changes import Present, VisitChanges, follow
from pipeline.monitor.counts import Estimate, size_class_name
from pipeline.monitor.settings import MonitorSettings
from pipeline.monitor.tables import AirplaneRow, ChangeRow, CountRow, SceneRow, StandRow, VisitRow
from pipeline.monitor.visits import Sighting, count_rows, estimate, group_visits, share_cloud, share_seen
from pipeline.records import Airplane

#: Width of a 95 % interval in standard deviations.
_INTERVAL_SD = 3.92
# Cost of an airplane on a stand in which its centre does not lie.
_IMPOSSIBLE = 1e6


@dataclasses.dataclass(frozen=True, slots=True)
class Tables:
    """The computed tables of an airport, each by time."""

    visits: tuple[VisitRow, ...]
    counts: tuple[CountRow, ...]
    airplanes: tuple[AirplaneRow, ...]
    changes: tuple[ChangeRow, ...]
    stands: tuple[StandRow, ...]

    def by_name(self) -> dict[str, tuple[type[Any], Sequence[Any]]]:
        """Return the class of the rows and the rows of each table."""
        return {name: (cls, getattr(self, name)) for name, cls in TABLES.items()}


#: The class of the rows of each computed table.
TABLES: Mapping[str, type[Any]] = {
    "visits": VisitRow,
    "counts": CountRow,
    "airplanes": AirplaneRow,
    "changes": ChangeRow,
    "stands": StandRow,
}


def compute(
    scenes: Sequence[SceneRow],
    detections: Mapping[str, Sequence[Airplane]],
    airport: Airport,
    settings: MonitorSettings,
) -> Tables:
    """Return all tables of an airport.

    Args:
        scenes: its stored scenes, in any order.
        detections: the detections of each scene by its key.
        airport: the airport.
        settings: the settings.
    """
    followed = follow(group_visits(scenes, detections, airport, settings), airport, settings)
    observed: list[Observation] = []
    visits = []
    for changes in followed:
        total = estimate(changes.visit.counted, settings)
        share = share_seen(changes.visit, airport)
        enough = share >= settings.min_share_seen
        observation = Observation(
            time=changes.visit.time,
            weekday=baseline.local_weekday(changes.visit.time, airport.plane.lon),
            count=total.count,
            spread=(total.high - total.low) / _INTERVAL_SD,
        )
        judgement = baseline.judge(observation, observed, settings.baseline)
        if judgement.unusual == "low" and total.count + changes.out_of_view >= (judgement.low or 0.0):
            # Airplanes on ground that this visit did not see may still be there.
            judgement = dataclasses.replace(judgement, unusual="no")
        if enough:
            observed.append(observation)
        else:
            # Of a part of the airport it cannot be said what is usual.
            judgement = dataclasses.replace(judgement, unusual=None)
        visits.append(_visit_row(changes, total, share, enough, judgement, airport))
    return Tables(
        visits=tuple(visits),
        counts=tuple(row for changes in followed for row in count_rows(changes.visit, settings)),
        airplanes=tuple(row for changes in followed for row in airplane_rows(changes, airport, settings)),
        changes=tuple(row for changes in followed for row in change_rows(changes, airport, settings)),
        stands=tuple(row for changes in followed for row in stand_rows(changes, airport)),
    )


def _visit_row(
    changes: VisitChanges, total: Estimate, share: float, enough: bool, judgement: Judgement, airport: Airport
) -> VisitRow:
    visit = changes.visit
    cloud = share_cloud(visit, share)
    return VisitRow(
        geometry=None if visit.seen.is_empty else airport.plane.shape_to_lonlat(visit.seen),
        airport=visit.airport,
        day=visit.day,
        visit_id=visit.visit_id,
        acquired_at=visit.acquired_at,
        scenes=len(visit.scenes),
        share_seen=share,
        cloud_known=cloud is not None,
        share_cloud=cloud,
        enough_seen=enough,
        detected=total.detected,
        in_cloud=sum(sighting.counts and sighting.in_cloud for sighting in visit.sightings),
        count=total.count,
        count_low=total.low,
        count_high=total.high,
        arrived=changes.count("arrived"),
        left=len(changes.gone),
        stayed=changes.count("stayed"),
        moved=changes.count("moved"),
        first_seen=changes.count("first_seen"),
        out_of_view=changes.out_of_view,
        shift_east_m=None if changes.shift is None else changes.shift.east,
        shift_north_m=None if changes.shift is None else changes.shift.north,
        unusual=judgement.unusual,
        usual=judgement.usual,
        usual_low=judgement.low,
        usual_high=judgement.high,
        baseline_visits=judgement.visits,
        weekday_visits=judgement.weekday_visits,
        season_visits=judgement.season_visits,
    )


def airplane_rows(changes: VisitChanges, airport: Airport, settings: MonitorSettings) -> list[AirplaneRow]:
    """Return the rows of a visit in the table `airplanes`."""
    return [
        AirplaneRow(
            geometry=airplane.sighting.airplane.geometry,
            airport=changes.visit.airport,
            day=changes.visit.day,
            visit_id=changes.visit.visit_id,
            acquired_at=changes.visit.acquired_at,
            detection_id=airplane.sighting.airplane.detection_id,
            track_id=airplane.track_id,
            scene_id=airplane.sighting.airplane.scene_id,
            scene_uri=airplane.sighting.airplane.scene_uri,
            score=airplane.sighting.airplane.score,
            counted=airplane.sighting.counts and not airplane.sighting.in_cloud,
            size_m=airplane.sighting.size_m,
            length_m=airplane.sighting.airplane.length_m,
            wingspan_m=airplane.sighting.airplane.wingspan_m,
            size_class=size_class_name(airplane.sighting.size_m, settings.size_classes_m),
            east_m=round(float(airplane.xy[0]), 2),
            north_m=round(float(airplane.xy[1]), 2),
            apron=_apron(airplane.xy, airport),
            change=airplane.change,
            since=airplane.since,
            first_seen_at=airplane.first_seen_at,
            visits=airplane.visits,
        )
        for airplane in changes.present
    ]


def change_rows(changes: VisitChanges, airport: Airport, settings: MonitorSettings) -> list[ChangeRow]:
    """Return the rows of a visit in the table `changes`: what arrived, moved and left."""

    def row(
        change: str, since: str | None, track_id: str, xy: FloatArray, sighting: Sighting, moved_m: float | None,
        detection_id: str | None, previous: Sighting | None,
    ) -> ChangeRow:  # fmt: skip
        return ChangeRow(
            geometry=sighting.airplane.geometry,
            airport=changes.visit.airport,
            day=changes.visit.day,
            visit_id=changes.visit.visit_id,
            acquired_at=changes.visit.acquired_at,
            change=change,
            since=since,
            track_id=track_id,
            detection_id=detection_id,
            previous_detection_id=None if previous is None else previous.airplane.detection_id,
            score=sighting.airplane.score,
            size_m=sighting.size_m,
            length_m=sighting.airplane.length_m,
            wingspan_m=sighting.airplane.wingspan_m,
            size_class=size_class_name(sighting.size_m, settings.size_classes_m),
            east_m=round(float(xy[0]), 2),
            north_m=round(float(xy[1]), 2),
            apron=_apron(xy, airport),
            moved_m=moved_m,
        )

    rows = [
        row(
            airplane.change, airplane.since, airplane.track_id, airplane.xy, airplane.sighting, airplane.moved_m,
            airplane.sighting.airplane.detection_id, airplane.previous,
        )
        for airplane in changes.present
        if airplane.change in ("arrived", "moved")
    ]  # fmt: skip
    rows += [
        row("left", track.last_seen_at, track.track_id, track.xy, track.sighting, None, None, track.sighting)
        for track in changes.gone
    ]
    return rows


def _apron(xy: FloatArray, airport: Airport) -> str | None:
    return next((apron.name for apron in airport.aprons if shapely.intersects_xy(apron.polygon, *xy)), None)


def stand_rows(changes: VisitChanges, airport: Airport) -> list[StandRow]:
    """Return the rows of a visit in the table `stands`: one for each stand.

    An airplane occupies the stand in which its centre lies; where stands overlap, each airplane has one and each stand
    one airplane. An empty stand of which not all was seen is `not_seen`.
    """
    parked = _parked(changes.present, airport)
    rows = []
    for stand in airport.stands:
        airplane = parked.get(stand.name)
        hidden = shapely.intersects(changes.unseen, stand.polygon)
        rows.append(
            StandRow(
                geometry=airport.plane.shape_to_lonlat(stand.polygon),
                airport=airport.id,
                day=changes.visit.day,
                visit_id=changes.visit.visit_id,
                acquired_at=changes.visit.acquired_at,
                stand=stand.name,
                state="occupied" if airplane else "not_seen" if hidden else "empty",
                track_id=airplane.track_id if airplane else None,
                detection_id=airplane.sighting.airplane.detection_id if airplane else None,
                size_m=airplane.sighting.size_m if airplane else None,
            )
        )
    return rows


def _parked(present: Sequence[Present], airport: Airport) -> dict[str, Present]:
    """Return the airplane of each occupied stand by its name: the nearest to its centre, one-to-one."""
    if not present or not airport.stands:
        return {}
    xy = np.array([airplane.xy for airplane in present])
    inside = np.array([shapely.intersects_xy(stand.polygon, *xy.T) for stand in airport.stands])
    distance = np.array([np.hypot(*(xy - stand.centre).T) for stand in airport.stands])
    rows, columns = linear_sum_assignment(np.where(inside, distance, _IMPOSSIBLE))
    return {
        airport.stands[row].name: present[column]
        for row, column in zip(rows, columns, strict=True)
        if inside[row, column]
    }


@dataclasses.dataclass(frozen=True, slots=True)
class Occupancy:
    """How a stand was used over some visits.

    Attributes:
        stand: its name.
        seen: visits that saw it.
        occupied: visits that saw an airplane on it.
        airplanes: different airplanes seen on it, as far as they can be told apart.
    """

    stand: str
    seen: int
    occupied: int
    airplanes: int


def occupancy(rows: Sequence[StandRow]) -> list[Occupancy]:
    """Return the use of each stand over the rows of any visits of one airport, by name."""
    by_stand: dict[str, list[StandRow]] = {}
    for row in rows:
        by_stand.setdefault(row.stand, []).append(row)
    return [
        Occupancy(
            stand=stand,
            seen=sum(row.state != "not_seen" for row in of_stand),
            occupied=sum(row.state == "occupied" for row in of_stand),
            airplanes=len({row.track_id for row in of_stand if row.track_id}),
        )
        for stand, of_stand in sorted(by_stand.items())
    ]
