"""All tables of an airport from its stored scenes. A pure function over tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.monitor import baseline
from pipeline.monitor.airports import Airport
from pipeline.monitor.baseline import Judgement, Observation
from pipeline.monitor.changes import VisitChanges, airplane_rows, change_rows, follow
from pipeline.monitor.counts import Estimate
from pipeline.monitor.settings import MonitorSettings
from pipeline.monitor.stands import stand_rows
from pipeline.monitor.tables import AirplaneRow, ChangeRow, CountRow, SceneRow, StandRow, VisitRow
from pipeline.monitor.visits import count_rows, estimate, group_visits, share_cloud, share_seen
from pipeline.records import Airplane

#: Width of a 95 % interval in standard deviations.
_INTERVAL_SD = 3.92


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
