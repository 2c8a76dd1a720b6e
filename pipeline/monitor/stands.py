"""Which stands of an airport are occupied in each visit. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import shapely
from scipy.optimize import linear_sum_assignment

from pipeline.monitor.airports import Airport
from pipeline.monitor.changes import Present, VisitChanges
from pipeline.monitor.tables import StandRow

_IMPOSSIBLE = 1e6


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
