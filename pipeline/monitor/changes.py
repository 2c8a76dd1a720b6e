"""What arrived, left, stayed and moved between the visits of an airport. Pure functions.

Airplanes are followed from visit to visit. A visit says something only of the ground that it saw: an airplane elsewhere
is assumed to be still there, and a new one there has arrived since that ground was last seen.

Positions are metres east and north of the airport's centre, in the frame of the first visit: the shift of each later
visit is estimated from the airplanes that stayed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import shapely

from geo.aoi import Polygons
from geo.types import FloatArray
from pipeline.monitor import matching
from pipeline.monitor.airports import Airport
from pipeline.monitor.matching import Shift
from pipeline.monitor.settings import MonitorSettings
from pipeline.monitor.visits import Sighting, Visit

#: Airplanes nearer to the airport's border than this may be cut off by it, metres.
_BORDER_M = 5.0
#: Positions that the position of an airplane is the mean of, at most: it follows a slow drift.
_MEAN_OF = 8


@dataclasses.dataclass(slots=True)
class Track:
    """An airplane that is taken to be there.

    Attributes:
        track_id: id of its first detection.
        xy: (2,) mean of its positions, metres.
        size_m: mean of its sizes.
        positions: how many it is the mean of.
        visits: in how many visits it was seen.
        first_seen_at: time of the first.
        last_seen_at: time of the last.
        sighting: the last.
    """

    track_id: str
    xy: FloatArray
    size_m: float
    positions: int
    visits: int
    first_seen_at: str
    last_seen_at: str
    sighting: Sighting

    def follow(self, sighting: Sighting, xy: FloatArray, time: str) -> None:
        """Take a detection for the airplane, at a position with the shift taken out."""
        self.positions = min(self.positions + 1, _MEAN_OF)
        self.xy = self.xy + (xy - self.xy) / self.positions
        self.size_m += (sighting.size_m - self.size_m) / self.positions
        self.visits += 1
        self.last_seen_at, self.sighting = time, sighting


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """An airplane in a visit: a detection, and what became of it since the ground was last seen.

    Attributes:
        sighting: the detection.
        xy: (2,) its position, the shift taken out.
        change: `arrived`, `stayed`, `moved`, `first_seen`: its ground was never seen before, or `unconfirmed`: it may
            be no airplane.
        since: when that ground, or the airplane, was last seen; None if never.
        track_id: the airplane.
        first_seen_at: time of the first visit that saw it.
        visits: in how many visits it was seen, this one included.
        previous: its detection before, if it stayed or moved.
        moved_m: how far it moved, else None.
    """

    sighting: Sighting
    xy: FloatArray
    change: str
    since: str | None
    track_id: str
    first_seen_at: str
    visits: int
    previous: Sighting | None = None
    moved_m: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VisitChanges:
    """What a visit says of the airplanes of an airport.

    Attributes:
        visit: the visit.
        shift: its shift to the first visit; None if it cannot be told.
        unseen: the airport's ground that it did not see, metres, the shift taken out.
        present: the airplanes that it saw.
        gone: the airplanes that it did not see where it should have, as they were last.
        out_of_view: how many known airplanes are on ground that it did not see.
    """

    visit: Visit
    shift: Shift | None
    unseen: Polygons
    present: tuple[Present, ...]
    gone: tuple[Track, ...]
    out_of_view: int

    def count(self, change: str) -> int:
        """Return how many airplanes have a change."""
        return sum(airplane.change == change for airplane in self.present)


def follow(visits: Sequence[Visit], airport: Airport, settings: MonitorSettings) -> list[VisitChanges]:
    """Return the changes of each visit.

    Args:
        visits: of one airport, by time.
        airport: the airport.
        settings: when two detections are the same airplane.
    """
    area: shapely.Geometry = airport.area_m
    tracks: list[Track] = []
    changes: list[VisitChanges] = []
    for visit in visits:
        of_visit, tracks = _visit_changes(visit, tracks, changes, area, settings)
        changes.append(of_visit)
    return _without_doubtful(changes, settings)


def _without_doubtful(changes: Sequence[VisitChanges], settings: MonitorSettings) -> list[VisitChanges]:
    """Return the changes without those of airplanes that may be none.

    Each false detection would otherwise be an arrival, and a departure as soon as it is gone. So an airplane arrives
    or leaves only if one of its detections is certain, or if it counts in several visits: also later ones, by which an
    arrival is confirmed.
    """
    scores: dict[str, list[float]] = {}
    for of_visit in changes:
        for airplane in of_visit.present:
            if airplane.sighting.counts:
                scores.setdefault(airplane.track_id, []).append(airplane.sighting.airplane.score)
    certain = {
        track
        for track, seen in scores.items()
        if max(seen) >= settings.matching.certain_score or len(seen) >= settings.matching.certain_visits
    }

    def confirmed(airplane: Present) -> Present:
        # On ground that was not seen before nothing is said to have changed.
        if airplane.track_id in certain or airplane.change == "first_seen":
            return airplane
        return dataclasses.replace(airplane, change="unconfirmed")

    return [
        dataclasses.replace(
            of_visit,
            present=tuple(confirmed(airplane) for airplane in of_visit.present),
            gone=tuple(track for track in of_visit.gone if track.track_id in certain),
        )
        for of_visit in changes
    ]


def _visit_changes(
    visit: Visit,
    tracks: Sequence[Track],
    earlier: Sequence[VisitChanges],
    area: shapely.Geometry,
    settings: MonitorSettings,
) -> tuple[VisitChanges, list[Track]]:
    """Return the changes of a visit, and the airplanes that are there after it."""
    unseen = shapely.difference(area, visit.seen)
    interior = shapely.buffer(area, -_BORDER_M)
    zero = np.zeros(2)
    shift = _shift(visit, tracks, settings)
    vector = zero if shift is None else shift.vector
    # Without a shift, positions may be off by as much as one can be.
    slack_m = 0.0 if shift is not None or not earlier else settings.matching.max_shift_m
    counted = visit.counted
    weak = [sighting for sighting in visit.sightings if not sighting.counts or sighting.in_cloud]
    # Also airplanes of which the visit may have seen only a part: it can show that they stayed, not that they left.
    pairs = _pairs(tracks, counted, vector, slack_m, settings)
    matched = {index for index, _ in pairs}
    rest = [track for index, track in enumerate(tracks) if index not in matched]
    stayed = [(tracks[first], counted[second]) for first, second in pairs]
    stayed += [(rest[first], weak[second]) for first, second in _pairs(rest, weak, vector, slack_m, settings)]
    taken = {id(sighting) for _, sighting in stayed}
    kept = {id(track) for track, _ in stayed}
    new = [sighting for sighting in counted if id(sighting) not in taken]
    in_view = {id(track) for track in _in_view(tracks, vector, unseen, interior)}
    missing = [track for track in tracks if id(track) not in kept]
    gone = [track for track in missing if id(track) in in_view]
    moved = _moved(gone, new, vector, settings)
    present = [_followed(track, sighting, vector, "stayed", visit) for track, sighting in stayed]
    present += [_followed(track, sighting, vector, "moved", visit) for track, sighting in moved]
    moved_ids = {id(item) for pair in moved for item in pair}
    unseen_here = shapely.transform(unseen, lambda xy: xy - vector)
    arrived = [
        _arrived(sighting, vector, visit, earlier, interior) for sighting in new if id(sighting) not in moved_ids
    ]
    gone = [track for track in gone if id(track) not in moved_ids]
    present += arrived
    left = {id(track) for track in gone}
    after = [track for track in tracks if id(track) not in left]
    after += [
        Track(
            airplane.track_id, airplane.xy, airplane.sighting.size_m, 1, 1, visit.acquired_at, visit.acquired_at,
            airplane.sighting,
        )
        for airplane in arrived
    ]  # fmt: skip
    of_visit = VisitChanges(
        visit=visit,
        shift=shift,
        unseen=unseen_here,
        present=tuple(sorted(present, key=lambda airplane: airplane.sighting.airplane.detection_id)),
        gone=tuple(sorted(gone, key=lambda track: track.track_id)),
        out_of_view=sum(id(track) not in in_view for track in missing),
    )
    return of_visit, after


def _shift(visit: Visit, tracks: Sequence[Track], settings: MonitorSettings) -> Shift | None:
    return matching.estimate_shift(
        _positions(tracks), _sizes(tracks), _raw(visit.counted), _sizes(visit.counted), settings.matching
    )


def _in_view(
    tracks: Sequence[Track], vector: FloatArray, unseen: shapely.Geometry, interior: shapely.Geometry
) -> list[Track]:
    """Return the airplanes whose ground a visit saw: all of it, and off the airport's border."""
    shapely.prepare(unseen)
    return [track for track in tracks if _is_visible(track.xy + vector, track.size_m, unseen, interior)]


def _is_visible(xy: FloatArray, size_m: float, unseen: shapely.Geometry, interior: shapely.Geometry) -> bool:
    point = shapely.Point(*xy)
    return bool(shapely.covers(interior, point)) and not bool(shapely.dwithin(unseen, point, size_m / 2))


def _pairs(
    tracks: Sequence[Track],
    sightings: Sequence[Sighting],
    vector: FloatArray,
    slack_m: float,
    settings: MonitorSettings,
) -> list[tuple[int, int]]:
    sizes, seen_sizes = _sizes(tracks), _sizes(sightings)
    limits = matching.tolerances(
        sizes,
        _off_nadir([track.sighting for track in tracks]),
        seen_sizes,
        _off_nadir(sightings),
        settings.matching.tolerance_m + slack_m,
    )
    pairs = matching.match_positions(
        _positions(tracks), sizes, _raw(sightings) - vector, seen_sizes, limits, settings.matching.size_tolerance
    )
    return [(int(first), int(second)) for first, second in pairs]


def _moved(
    gone: Sequence[Track], new: Sequence[Sighting], vector: FloatArray, settings: MonitorSettings
) -> list[tuple[Track, Sighting]]:
    # On the stand beside it another one would be at least its own size away.
    limits = np.minimum(settings.matching.moved_max_m, _sizes(gone))
    pairs = matching.match_unambiguous(
        _positions(gone),
        _sizes(gone),
        _raw(new) - vector,
        _sizes(new),
        limits[:, None],
        settings.matching.moved_size_tolerance,
    )
    return [(gone[first], new[second]) for first, second in pairs]


def _followed(track: Track, sighting: Sighting, vector: FloatArray, change: str, visit: Visit) -> Present:
    """Return an airplane that was there before; its track follows it."""
    xy = np.array([sighting.x, sighting.y]) - vector
    since, previous = track.last_seen_at, track.sighting
    distance = float(np.hypot(*(xy - track.xy)))
    if change == "moved":
        track.xy, track.positions = xy, 0
    track.follow(sighting, xy, visit.acquired_at)
    return Present(
        sighting=sighting,
        xy=xy,
        change=change,
        since=since,
        track_id=track.track_id,
        first_seen_at=track.first_seen_at,
        visits=track.visits,
        previous=previous,
        moved_m=round(distance, 2) if change == "moved" else None,
    )


def _arrived(
    sighting: Sighting, vector: FloatArray, visit: Visit, earlier: Sequence[VisitChanges], interior: shapely.Geometry
) -> Present:
    """Return an airplane that was not there before, as far as its ground was seen."""
    xy = np.array([sighting.x, sighting.y]) - vector
    before = next((past for past in reversed(earlier) if _is_visible(xy, sighting.size_m, past.unseen, interior)), None)
    return Present(
        sighting=sighting,
        xy=xy,
        change="first_seen" if before is None else "arrived",
        since=None if before is None else before.visit.acquired_at,
        track_id=sighting.airplane.detection_id,
        first_seen_at=visit.acquired_at,
        visits=1,
    )


def _positions(tracks: Sequence[Track]) -> FloatArray:
    return np.array([track.xy for track in tracks]).reshape(-1, 2)


def _raw(sightings: Sequence[Sighting]) -> FloatArray:
    return np.array([(sighting.x, sighting.y) for sighting in sightings]).reshape(-1, 2)


def _sizes(items: Sequence[Track] | Sequence[Sighting]) -> FloatArray:
    return np.array([max(item.size_m, 0.1) for item in items])


def _off_nadir(sightings: Sequence[Sighting]) -> FloatArray:
    angles = [np.nan if sighting.off_nadir_deg is None else sighting.off_nadir_deg for sighting in sightings]
    return np.array(angles, dtype=np.float64)
