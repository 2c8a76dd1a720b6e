"""The tables of the store: one dataclass for the rows of each, which defines its columns, their types and meaning.

Types are `str`, `float`, `int` or `bool`, or one of these with `None`; times are RFC 3339 UTC, as in all outputs of the
project. `geometry` is a shapely geometry in longitude and latitude (OGC:CRS84), or None.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import shapely

from pipeline import records
from pipeline.records import Airplane

if TYPE_CHECKING:
    import geopandas

Row = TypeVar("Row")

_PANDAS_TYPES = {"str": "str", "float": "float64", "int": "Int64", "bool": "boolean"}


@dataclasses.dataclass(frozen=True, slots=True)
class SceneRow:
    """A processed scene of one airport.

    Attributes:
        geometry: what it shows of the airport: inside of the scene, valid, read, and not under the cloud of its mask.
        airport: id of the airport.
        day: UTC date of its acquisition.
        scene_key: identifies the scene in its source: the same for a later version of it.
        version: digest of the scene's version, and of the airport's area.
        scene_id: the STAC Item's id, or else a fingerprint.
        scene_uri: where it was read.
        acquired_at: acquisition time.
        published_at: when this version was published, or None if the source does not say.
        status: `complete`, `incomplete` (some tile could not be read; it is processed again by the next run), `empty`
            (no valid pixel, or nothing of the airport) or `duplicate`.
        error: why it is incomplete, or None.
        share_inside: share of the airport inside of the scene, 0..1.
        share_seen: share of the airport that `geometry` covers, 0..1.
        cloud_known: whether a mask says where cloud is.
        share_cloud: share of the airport under the mask's cloud, 0..1, or None if it is not known.
        off_nadir_deg: how far off nadir the sensor looked, degrees, or None if the source does not say.
        resolution_m: ground resolution, metres per pixel.
        airplanes: detections at or above the threshold.
        threshold: score from which on a detection counts, 0..1.
        model: name@first 12 of the weights' sha256.
        settings_id: digest of the settings that shape the detections.
    """

    geometry: shapely.Geometry | None
    airport: str
    day: str
    scene_key: str
    version: str
    scene_id: str
    scene_uri: str
    acquired_at: str
    published_at: str | None
    status: str
    error: str | None
    share_inside: float
    share_seen: float
    cloud_known: bool
    share_cloud: float | None
    off_nadir_deg: float | None
    resolution_m: float
    airplanes: int
    threshold: float
    model: str
    settings_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class VisitRow:
    """One visit of a satellite or airplane: the scenes of an airport that were taken together.

    Attributes:
        geometry: what was seen of the airport, all scenes together.
        airport: id of the airport.
        day: UTC date.
        visit_id: the airport and the time.
        acquired_at: time of its first scene.
        scenes: how many scenes.
        share_seen: share of the airport that was seen, 0..1. Everything else in the row is about that share only.
        cloud_known: whether every scene has a cloud mask.
        share_cloud: share of the airport that was not seen because of cloud, or None if it is not known.
        enough_seen: whether `share_seen` is at least `min_share_seen`.
        detected: detections at or above the threshold where ground was seen.
        in_cloud: detections at or above the threshold where the mask says cloud; they are not counted.
        count: expected number of airplanes: the detections' scores, over the recall of their sizes.
        count_low: lower end of the 95 % interval of the number of airplanes.
        count_high: upper end.
        arrived: airplanes that arrived since their ground was last seen.
        left: airplanes that left since they were last seen.
        stayed: airplanes that were there before.
        moved: airplanes that are some metres from where they were.
        first_seen: airplanes on ground that was not seen before.
        out_of_view: airplanes known from before on ground that was not seen.
        shift_east_m: estimated shift of its georeference to the first visit, metres; None if it cannot be told.
        shift_north_m: the same to the north.
        unusual: `high` or `low` if the count is outside of what is usual, else `no`; None if there is too little to
            say it.
        usual: the usual count, or None.
        usual_low: lower end of the usual counts, or None.
        usual_high: upper end, or None.
        baseline_visits: earlier visits that the count was compared with.
        weekday_visits: those of the same weekday.
        season_visits: those of the same season.
    """

    geometry: shapely.Geometry | None
    airport: str
    day: str
    visit_id: str
    acquired_at: str
    scenes: int
    share_seen: float
    cloud_known: bool
    share_cloud: float | None
    enough_seen: bool
    detected: int
    in_cloud: int
    count: float
    count_low: int
    count_high: int
    arrived: int
    left: int
    stayed: int
    moved: int
    first_seen: int
    out_of_view: int
    shift_east_m: float | None
    shift_north_m: float | None
    unusual: str | None
    usual: float | None
    usual_low: float | None
    usual_high: float | None
    baseline_visits: int
    weekday_visits: int
    season_visits: int


@dataclasses.dataclass(frozen=True, slots=True)
class CountRow:
    """The number of airplanes of one size class in one visit.

    Attributes:
        airport: id of the airport.
        day: UTC date.
        visit_id: the visit.
        acquired_at: its time.
        size_class: such as `30-45 m`.
        min_size_m: its lower edge, metres.
        max_size_m: its upper edge, or None.
        detected: as in the visit.
        count: as in the visit.
        count_low: as in the visit.
        count_high: as in the visit.
    """

    airport: str
    day: str
    visit_id: str
    acquired_at: str
    size_class: str
    min_size_m: float
    max_size_m: float | None
    detected: int
    count: float
    count_low: int
    count_high: int


@dataclasses.dataclass(frozen=True, slots=True)
class AirplaneRow:
    """An airplane that a visit saw.

    Attributes:
        geometry: outline as detected, not shifted.
        airport: id of the airport.
        day: UTC date.
        visit_id: the visit.
        acquired_at: its time.
        detection_id: the detection, in `detections`.
        track_id: the same airplane in other visits, as far as its position and size can tell: the id of its first
            detection.
        scene_id: its scene.
        scene_uri: where that was read.
        score: 0..1.
        counted: whether it counts; else its score is below the threshold, or it lies where the mask says cloud, but it
            was there before.
        size_m: longer side of its box, metres.
        length_m: nose to tail, metres, or None if it was not measured.
        wingspan_m: tip to tip, metres, or None if it was not measured.
        size_class: as in `counts`, by `size_m`.
        east_m: its centre, metres east of the airport's centre, the visit's shift taken out.
        north_m: metres north.
        apron: the apron it stands on, or None.
        change: `arrived`, `stayed`, `moved`, `first_seen` on ground that was never seen before, or `unconfirmed`: no
            detection of it is certain, and it counts in few visits.
        since: when its ground, or the airplane, was last seen; None if never.
        first_seen_at: time of the first visit that saw it.
        visits: in how many visits it was seen until now.
    """

    geometry: shapely.Geometry | None
    airport: str
    day: str
    visit_id: str
    acquired_at: str
    detection_id: str
    track_id: str
    scene_id: str
    scene_uri: str
    score: float
    counted: bool
    size_m: float
    length_m: float | None
    wingspan_m: float | None
    size_class: str
    east_m: float
    north_m: float
    apron: str | None
    change: str
    since: str | None
    first_seen_at: str
    visits: int


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeRow:
    """An airplane that arrived, left or moved between two visits.

    Attributes:
        geometry: outline as last detected.
        airport: id of the airport.
        day: UTC date of the visit that shows the change.
        visit_id: that visit.
        acquired_at: its time: the latest that the change happened.
        change: `arrived`, `left` or `moved`.
        since: the earliest that it happened: when the ground, or the airplane, was last seen before.
        track_id: the airplane, as in `airplanes`.
        detection_id: its detection in the visit; None if it left.
        previous_detection_id: its last detection before the visit; None if it arrived.
        score: of its last detection.
        size_m: of its last detection.
        length_m: the same.
        wingspan_m: the same.
        size_class: as in `counts`, by `size_m`.
        east_m: as in `airplanes`; where it was last.
        north_m: the same.
        apron: the apron, or None.
        moved_m: how far it moved, else None.
    """

    geometry: shapely.Geometry | None
    airport: str
    day: str
    visit_id: str
    acquired_at: str
    change: str
    since: str | None
    track_id: str
    detection_id: str | None
    previous_detection_id: str | None
    score: float
    size_m: float
    length_m: float | None
    wingspan_m: float | None
    size_class: str
    east_m: float
    north_m: float
    apron: str | None
    moved_m: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class StandRow:
    """A stand in a visit.

    Attributes:
        geometry: the stand.
        airport: id of the airport.
        day: UTC date.
        visit_id: the visit.
        acquired_at: its time.
        stand: its name.
        state: `occupied`, `empty`, or `not_seen`: not all of it was seen, and no airplane on it.
        track_id: the airplane on it, as in `airplanes`, or None.
        detection_id: its detection, or None.
        size_m: its size, or None.
    """

    geometry: shapely.Geometry | None
    airport: str
    day: str
    visit_id: str
    acquired_at: str
    stand: str
    state: str
    track_id: str | None
    detection_id: str | None
    size_m: float | None


def columns(cls: type[Any]) -> Mapping[str, str]:
    """Return the type of each column of a table but the geometry: "str", "float", "int", "bool", or with " | None"."""
    return {field.name: str(field.type) for field in dataclasses.fields(cls) if field.name != "geometry"}


def has_geometry(cls: type[Any]) -> bool:
    """Return whether the rows of a table have a geometry."""
    return any(field.name == "geometry" for field in dataclasses.fields(cls))


def digest(rows: Sequence[Any]) -> str:
    """Return 16 hexadecimal digits that identify the content of rows."""
    text = hashlib.sha256()
    for row in rows:
        values = [getattr(row, field.name) for field in dataclasses.fields(row)]
        text.update(repr([value.wkb if hasattr(value, "wkb") else value for value in values]).encode())
    return text.hexdigest()[:16]


def to_frame(rows: Sequence[Any], cls: type[Any]) -> Any:
    """Return the rows as a DataFrame, a GeoDataFrame if they have a geometry; types do not depend on the rows."""
    import geopandas
    import pandas

    types = {name: _PANDAS_TYPES[kind.removesuffix(" | None")] for name, kind in columns(cls).items()}
    content = {name: [getattr(row, name) for row in rows] for name in types}
    frame = pandas.DataFrame(content, columns=list(types)).astype(types)
    if not has_geometry(cls):
        return frame
    geometry = geopandas.GeoSeries([row.geometry for row in rows], crs=records.CRS)
    return geopandas.GeoDataFrame(frame, geometry=geometry, crs=records.CRS)


def from_arrow(table: Any, cls: type[Row]) -> list[Row]:
    """Return the rows of an Arrow table with the columns of `to_frame`, among others.

    A column that may be null may be missing, too: it is of a later version than the table.
    """
    kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return [cls(*values) for values in zip(*(_values(table, *column) for column in kinds.items()), strict=True)]


def _values(table: Any, name: str, kind: str) -> list[Any]:
    if name not in table.column_names and kind.endswith("| None"):
        return [None] * len(table)
    values: list[Any] = table.column(name).to_pylist()
    return list(shapely.from_wkb(values)) if name == "geometry" and values else values


#: Columns of a detection in the store, before those of an airplane in every output.
DETECTION_KEYS = ("airport", "day", "scene_key", "version")


def detections_frame(airplanes: Sequence[Airplane], scene: SceneRow) -> geopandas.GeoDataFrame:
    """Return the detections of a scene: the scene's keys, and the fields of every output."""
    frame = records.to_frame(airplanes)
    for position, name in enumerate(DETECTION_KEYS):
        frame.insert(position, name, [getattr(scene, name)] * len(frame))
        frame[name] = frame[name].astype("str")
    return frame


def by_scene(table: Any) -> dict[str, list[Airplane]]:
    """Return the detections of an Arrow table with the columns of `detections_frame` by the key of their scene."""
    grouped: dict[str, list[Airplane]] = {}
    # Files of an earlier version lack it: their geometries are boxes.
    is_old = "outline" not in table.column_names
    outlines = [["upright"] * len(table)] if is_old else table.column("outline").fill_null("upright")
    table = (table if is_old else table.drop_columns("outline")).append_column("outline", outlines)
    for key, airplane in zip(table.column("scene_key").to_pylist(), from_arrow(table, Airplane), strict=True):
        grouped.setdefault(key, []).append(airplane)
    return grouped
