"""Scenes to visits: what was taken together, what of it was seen, and each airplane once. Pure functions."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

import numpy as np
import shapely

from geo.aoi import Polygons, polygons_of
from geo.types import FloatArray
from pipeline.monitor import counts
from pipeline.monitor.airports import Airport
from pipeline.monitor.scenes import parse_time
from pipeline.monitor.settings import MonitorSettings
from pipeline.monitor.tables import CountRow, SceneRow
from pipeline.records import Airplane

#: An airplane this near the border of what another scene shows may be cut there, metres.
BORDER_M = 40.0
#: What is seen is outlined in cells of some metres; an airplane's centre may lie this far outside, metres.
_OUTLINE_M = 8.0
# Two detections of one visit whose centres are nearer than this share of the smaller one's size are one airplane.
_SAME_SHARE = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting:
    """A detection in a visit.

    Attributes:
        airplane: as the main pipeline wrote it.
        x: metres east of the airport's centre.
        y: metres north.
        counts: its score is at least the threshold; else it is a weak detection.
        in_cloud: it lies where the mask says cloud.
        off_nadir_deg: of its scene, or None.
    """

    airplane: Airplane
    x: float
    y: float
    counts: bool
    in_cloud: bool
    off_nadir_deg: float | None

    @property
    def size_m(self) -> float:
        """Longer side of its box, metres."""
        return self.airplane.size_m

    @property
    def size_px(self) -> float:
        """Longer side of its box, pixels of the scene."""
        return max(self.airplane.xmax_px - self.airplane.xmin_px, self.airplane.ymax_px - self.airplane.ymin_px)


@dataclasses.dataclass(frozen=True, slots=True)
class Visit:
    """The scenes of an airport that were taken together.

    Attributes:
        airport: id of the airport.
        scenes: the scenes, by time.
        seen: what they show of the airport, metres.
        sightings: their detections, each airplane once, by id.
    """

    airport: str
    scenes: tuple[SceneRow, ...]
    seen: Polygons
    sightings: tuple[Sighting, ...]

    @property
    def acquired_at(self) -> str:
        """Time of its first scene."""
        return self.scenes[0].acquired_at

    @property
    def day(self) -> str:
        """UTC date."""
        return self.acquired_at[:10]

    @property
    def visit_id(self) -> str:
        """The airport and the time."""
        return f"{self.airport}-{self.acquired_at}"

    @property
    def time(self) -> datetime.datetime:
        """Time of its first scene."""
        return parse_time(self.acquired_at)

    @property
    def counted(self) -> tuple[Sighting, ...]:
        """The detections that count: at or above the threshold, and not under cloud."""
        return tuple(sighting for sighting in self.sightings if sighting.counts and not sighting.in_cloud)


def group_visits(
    scenes: Sequence[SceneRow],
    detections: Mapping[str, Sequence[Airplane]],
    airport: Airport,
    settings: MonitorSettings,
) -> list[Visit]:
    """Return the visits of an airport, by time.

    Args:
        scenes: its stored scenes, in any order; duplicates among them are left out.
        detections: the detections of each scene by its key.
        airport: the airport.
        settings: how far apart the scenes of one visit may be.
    """
    ordered = sorted(
        (scene for scene in scenes if scene.status != "duplicate"),
        key=lambda scene: (parse_time(scene.acquired_at), scene.scene_key),
    )
    gap = datetime.timedelta(minutes=settings.visit_gap_minutes)
    groups: list[list[SceneRow]] = []
    for scene in ordered:
        if groups and parse_time(scene.acquired_at) - parse_time(groups[-1][-1].acquired_at) <= gap:
            groups[-1].append(scene)
        else:
            groups.append([scene])
    return [_visit(group, detections, airport) for group in groups]


def _visit(scenes: Sequence[SceneRow], detections: Mapping[str, Sequence[Airplane]], airport: Airport) -> Visit:
    """Return a visit. Where scenes overlap, the one that was published last decides, but for its border."""
    areas = {scene.scene_key: _seen_m(scene, airport) for scene in scenes}
    decided: shapely.Geometry = shapely.MultiPolygon()
    sightings: list[Sighting] = []
    for scene in sorted(scenes, key=lambda scene: (scene.published_at or "", scene.scene_key), reverse=True):
        area = areas[scene.scene_key]
        interior = shapely.difference(decided, shapely.boundary(decided).buffer(BORDER_M))
        candidates = _sightings(scene, detections.get(scene.scene_key, ()), area, airport)
        for sighting in candidates:
            if not shapely.intersects_xy(interior, sighting.x, sighting.y) and not _is_known(sighting, sightings):
                sightings.append(sighting)
        decided = shapely.union(decided, area)
    in_order = sorted(sightings, key=lambda sighting: sighting.airplane.detection_id)
    return Visit(airport.id, tuple(scenes), polygons_of(decided), tuple(in_order))


def _seen_m(scene: SceneRow, airport: Airport) -> Polygons:
    if scene.geometry is None:
        return shapely.MultiPolygon()
    return polygons_of(shapely.make_valid(airport.plane.shape_to_metres(scene.geometry)))


def _sightings(scene: SceneRow, airplanes: Sequence[Airplane], seen: Polygons, airport: Airport) -> list[Sighting]:
    """Return the detections of a scene, the highest score first, but for those in areas to ignore."""
    ordered = sorted(airplanes, key=lambda airplane: (-airplane.score, airplane.detection_id))
    xy = centres(ordered, airport)
    ignored = shapely.intersects_xy(shapely.union_all([spot.polygon for spot in airport.ignored]), *xy.T)
    ordered = [airplane for airplane, is_ignored in zip(ordered, ignored, strict=True) if not is_ignored]
    xy = xy[~ignored]
    near = shapely.buffer(seen, _OUTLINE_M)
    shapely.prepare(near)
    is_seen = shapely.intersects_xy(near, *xy.T)
    return [
        Sighting(
            airplane=airplane,
            x=x,
            y=y,
            counts=airplane.score >= scene.threshold,
            in_cloud=scene.cloud_known and not bool(visible),
            off_nadir_deg=scene.off_nadir_deg,
        )
        for airplane, (x, y), visible in zip(ordered, xy.tolist(), is_seen, strict=True)
    ]


def centres(airplanes: Sequence[Airplane], airport: Airport) -> FloatArray:
    """Return the centres of airplanes, (N, 2) metres east and north of the airport's centre."""
    if not airplanes:
        return np.zeros((0, 2))
    # In metres, where an outline cut at the antimeridian is in one piece again.
    outlines = [airport.plane.shape_to_metres(airplane.geometry) for airplane in airplanes]
    return np.array(
        [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (outline.bounds for outline in outlines)]
    )


def _is_known(sighting: Sighting, others: Sequence[Sighting]) -> bool:
    """Return whether another scene of the visit shows the same airplane."""
    return any(
        np.hypot(sighting.x - other.x, sighting.y - other.y) < _SAME_SHARE * min(sighting.size_m, other.size_m)
        for other in others
    )


def share_seen(visit: Visit, airport: Airport) -> float:
    """Return the share of the airport that a visit saw, 0..1."""
    return round(float(min(1.0, visit.seen.area / airport.area_m.area)), 4)


def share_cloud(visit: Visit, share: float) -> float | None:
    """Return the share of the airport that was not seen because of cloud; None if not every scene has a mask.

    Args:
        visit: the visit.
        share: share that it saw.
    """
    clouds = [scene.share_cloud for scene in visit.scenes if scene.share_cloud is not None]
    return round(min(sum(clouds), 1 - share), 4) if len(clouds) == len(visit.scenes) else None


def count_rows(visit: Visit, settings: MonitorSettings) -> list[CountRow]:
    """Return the rows of a visit in the table `counts`: one for each size class, also where nothing was detected."""
    rows = []
    sizes = np.array([sighting.size_m for sighting in visit.counted])
    for size_class in counts.size_classes(settings.size_classes_m):
        members = [visit.counted[index] for index in np.flatnonzero(size_class.contains(sizes))]
        in_class = estimate(members, settings)
        rows.append(
            CountRow(
                airport=visit.airport,
                day=visit.day,
                visit_id=visit.visit_id,
                acquired_at=visit.acquired_at,
                size_class=size_class.name,
                min_size_m=size_class.min_m,
                max_size_m=size_class.max_m,
                detected=in_class.detected,
                count=in_class.count,
                count_low=in_class.low,
                count_high=in_class.high,
            )
        )
    return rows


def estimate(sightings: Sequence[Sighting], settings: MonitorSettings) -> counts.Estimate:
    """Return the number of airplanes behind detections."""
    sizes = np.array([sighting.size_px for sighting in sightings])
    scores = np.array([sighting.airplane.score for sighting in sightings])
    recalls = counts.recall_of(sizes, settings.recall)
    return counts.estimate(scores, recalls, counts.mean_recall(settings.recall))
