"""The tables of the store: one dataclass for the rows of each, which defines its columns, their types and meaning.

Types are `str`, `float`, `int` or `bool`, or one of these with `None`; times are RFC 3339 UTC, as in all outputs of the
project. `geometry` is a shapely geometry in longitude and latitude (OGC:CRS84), or None.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import records
from pipeline.records import Airplane

if TYPE_CHECKING:
    import geopandas
    import shapely

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


def columns(cls: type[Any]) -> Mapping[str, str]:
    """Return the type of each column of a table but the geometry: "str", "float", "int", "bool", or with " | None"."""
    return {field.name: str(field.type) for field in dataclasses.fields(cls) if field.name != "geometry"}


def has_geometry(cls: type[Any]) -> bool:
    """Return whether the rows of a table have a geometry."""
    return any(field.name == "geometry" for field in dataclasses.fields(cls))


def digest(rows: Sequence[Any]) -> str:
    """Return 16 hexadecimal digits that tell the content of rows."""
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


def from_frame(frame: Any, cls: type[Row]) -> list[Row]:
    """Return the rows of a frame of `to_frame`."""
    values: dict[str, list[Any]] = {}
    for name in columns(cls):
        missing = frame[name].isna()
        values[name] = frame[name].astype(object).where(~missing, None).tolist()
    if has_geometry(cls):
        values["geometry"] = list(frame.geometry)
    return [cls(**dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]


#: Columns of a detection in the store, before those of an airplane in every output.
DETECTION_KEYS = ("airport", "day", "scene_key", "version")


def detections_frame(airplanes: Sequence[Airplane], scene: SceneRow) -> geopandas.GeoDataFrame:
    """Return the detections of a scene: the scene's keys, and the fields of every output."""
    frame = records.to_frame(airplanes)
    for position, name in enumerate(DETECTION_KEYS):
        frame.insert(position, name, [getattr(scene, name)] * len(frame))
        frame[name] = frame[name].astype("str")
    return frame


def by_scene(frames: Iterable[geopandas.GeoDataFrame]) -> dict[str, list[Airplane]]:
    """Return the detections of frames of `detections_frame` by the key of their scene."""
    grouped: dict[str, list[Airplane]] = {}
    for frame in frames:
        for key, airplane in zip(frame["scene_key"], records.from_frame(frame), strict=True):
            grouped.setdefault(key, []).append(airplane)
    return grouped
