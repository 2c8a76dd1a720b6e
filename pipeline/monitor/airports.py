"""Airports: what a user writes of them, as YAML or GeoJSON, and their areas on the ground."""

# No postponed annotations here: the loader resolves the fields' types to know which keys are allowed where.
import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS

from geo.aoi import AreaOfInterest, build_aoi
from geo.errors import ConfigError, FinderError
from geo.polygons import LocalPlane
from geo.types import FloatArray
from model.common.config import from_mapping, load_yaml

#: The largest distance between two points of an airport, metres: beyond it a local plane is no longer exact enough.
MAX_EXTENT_M = 50_000.0
STAND_RADIUS_M = 20.0
#: Georeferences of scenes are off by some metres.
IGNORE_RADIUS_M = 20.0

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_ICAO, _IATA = re.compile(r"[A-Z0-9]{4}"), re.compile(r"[A-Z0-9]{3}")
_ROUNDING_M = 0.5  # straight edges are not quite straight in another plane
_CIRCLE_SEGMENTS = 16  # per quarter
GEOJSON_SUFFIXES = (".geojson", ".json")

#: Kinds of features of an airport, and the list of `AirportEntry` that each belongs to.
_KINDS = {"stand": "stands", "apron": "aprons", "ignore": "ignore"}

LonLat = tuple[float, float]
Ring = tuple[LonLat, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class StandEntry:
    """A stand as it is written: `centre` with `radius_m`, or `polygon`.

    Attributes:
        id: its name at the airport, unique there.
        centre: longitude and latitude, degrees.
        radius_m: how far the centre of a parked airplane may lie from it, metres.
        polygon: corners, longitude and latitude: the airplane's centre lies inside.
    """

    id: str
    centre: LonLat | None = None
    radius_m: float | None = None
    polygon: Ring | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ApronEntry:
    """An apron as it is written: its name and its corners, longitude and latitude."""

    name: str
    polygon: Ring


@dataclasses.dataclass(frozen=True, slots=True)
class IgnoreEntry:
    """Where detections are no airplanes, as it is written: `centre` with `radius_m`, or `polygon`.

    Attributes:
        centre: longitude and latitude, degrees.
        radius_m: metres; None: `IGNORE_RADIUS_M`.
        polygon: corners, longitude and latitude.
    """

    centre: LonLat | None = None
    radius_m: float | None = None
    polygon: Ring | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class AirportEntry:
    """An airport as it is written: `centre` with `radius_m`, or `polygon`.

    Attributes:
        name: for people.
        icao: code of four letters.
        iata: code of three letters.
        id: identifies it in the store: letters, digits, - and _; None: the IATA code, else the ICAO code.
        centre: longitude and latitude, degrees.
        radius_m: metres.
        polygon: corners, longitude and latitude.
        stands: where airplanes park.
        aprons: named areas.
        ignore: where detections are left out, such as on the painted cross of a closed runway.
    """

    name: str
    icao: str | None = None
    iata: str | None = None
    id: str | None = None
    centre: LonLat | None = None
    radius_m: float | None = None
    polygon: Ring | None = None
    stands: tuple[StandEntry, ...] = ()
    aprons: tuple[ApronEntry, ...] = ()
    ignore: tuple[IgnoreEntry, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class AirportsFile:
    """The content of a YAML file of airports."""

    airports: tuple[AirportEntry, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """A stand or an apron: its name, and its polygon in metres of the airport's plane."""

    name: str
    polygon: shapely.Polygon

    @property
    def centre(self) -> FloatArray:
        """Its centroid, (2,) metres."""
        return np.array([self.polygon.centroid.x, self.polygon.centroid.y])


@dataclasses.dataclass(frozen=True, slots=True)
class Airport:
    """An airport on the ground.

    Attributes:
        id: identifies it in the store.
        name: for people.
        icao: code, or None.
        iata: code, or None.
        area: its polygons, longitude and latitude.
        plane: metres east and north of its centre.
        stands: where airplanes park.
        aprons: named areas.
        ignored: where detections are left out.
    """

    id: str
    name: str
    icao: str | None
    iata: str | None
    area: AreaOfInterest
    plane: LocalPlane
    stands: tuple[Spot, ...] = ()
    aprons: tuple[Spot, ...] = ()
    ignored: tuple[Spot, ...] = ()

    @property
    def area_m(self) -> shapely.Geometry:
        """Its polygons in metres of its plane."""
        return self.plane.shape_to_metres(self.area.polygons)

    @property
    def km2(self) -> float:
        """Its area, square kilometres."""
        return float(self.area_m.area) / 1e6


def load_airports(path: Path) -> tuple[Airport, ...]:
    """Read the airports of a file, in its order.

    Args:
        path: YAML with a list `airports`, or GeoJSON (`.geojson`, `.json`): Polygons, MultiPolygons, and Points with
            the property `radius_m`. Features with the property `kind` of `stand`, `apron` or `ignore` belong to the
            airport that the property `airport` names by its id.

    Raises:
        ConfigError: the file cannot be read, an airport is not valid, or two have one id.
    """
    try:
        if path.suffix.lower() in GEOJSON_SUFFIXES:
            entries, areas = _read_geojson(path)
        else:
            entries, areas = load_yaml(AirportsFile, path).airports, {}
        airports = tuple(_airport(entry, areas.get(index)) for index, entry in enumerate(entries))
    except FinderError as error:
        raise ConfigError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    if not airports:
        raise ConfigError(f"{path}: expected at least one airport, got none: add one with `airports add`")
    _check_unique([airport.id for airport in airports], f"{path}: expected one airport of each id")
    return airports


def overlaps(airports: Sequence[Airport]) -> list[tuple[Airport, Airport]]:
    """Return the pairs of airports whose areas overlap: airplanes there count for both."""
    return [
        (first, second)
        for first, second in itertools.combinations(airports, 2)
        if shapely.intersects(first.area.polygons, second.area.polygons)
    ]


def stray_spots(airport: Airport) -> list[str]:
    """Return the names of the stands and aprons of an airport that do not lie inside its area."""
    area = airport.area_m.buffer(_ROUNDING_M)
    return [spot.name for spot in (*airport.stands, *airport.aprons) if not shapely.covers(area, spot.polygon)]


def circle(centre: LonLat, radius_m: float) -> shapely.Polygon:
    """Return a circle on the ground as a polygon of longitude and latitude."""
    plane = LocalPlane(*centre)
    return plane.shape_to_lonlat(shapely.Point(0, 0).buffer(radius_m, quad_segs=_CIRCLE_SEGMENTS))


def _airport(entry: AirportEntry, area: shapely.Geometry | None) -> Airport:
    """Return the airport of an entry; `area` is its polygon where that came as GeoJSON."""
    try:
        identity = _identity(entry)
        shape = area if area is not None else _shape(entry.centre, entry.radius_m, entry.polygon)
        outline = build_aoi([shape], CRS.from_user_input("OGC:CRS84"))
        middle = shapely.centroid(outline.polygons)
        plane = LocalPlane(round((middle.x + 180) % 360 - 180, 6), round(middle.y, 6))
        xmin, ymin, xmax, ymax = plane.shape_to_metres(outline.polygons).bounds
        if math.hypot(xmax - xmin, ymax - ymin) > MAX_EXTENT_M:
            raise ConfigError(
                f"expected an airport of at most {MAX_EXTENT_M / 1000:g} km across, got "
                f"{math.hypot(xmax - xmin, ymax - ymin) / 1000:.0f} km: write longitude before latitude, and metres"
            )
        stands = tuple(_spot(stand.id, _circle_or_polygon(stand, STAND_RADIUS_M), plane) for stand in entry.stands)
        aprons = tuple(_spot(apron.name, _shape(None, None, apron.polygon), plane) for apron in entry.aprons)
        ignored = tuple(
            _spot(f"ignore {number}", _circle_or_polygon(item, IGNORE_RADIUS_M), plane)
            for number, item in enumerate(entry.ignore, start=1)
        )
        _check_unique([stand.name for stand in stands], "stands: expected one of each id")
        _check_unique([apron.name for apron in aprons], "aprons: expected one of each name")
    except FinderError as error:
        raise ConfigError(f"airport {entry.name!r}: {error}") from error
    return Airport(identity, entry.name, entry.icao, entry.iata, outline, plane, stands, aprons, ignored)


def _identity(entry: AirportEntry) -> str:
    for code, form, name in ((entry.icao, _ICAO, "icao"), (entry.iata, _IATA, "iata")):
        if code is not None and not form.fullmatch(code):
            length = "four" if name == "icao" else "three"
            raise ConfigError(f"{name}: expected {length} capital letters or digits, got {code!r}: correct it")
    identity = entry.id or entry.iata or entry.icao
    if identity is None:
        raise ConfigError("expected an iata or icao code, or an id, got none: add one")
    if not _ID.fullmatch(identity):
        raise ConfigError(f"id: expected letters, digits, - and _, got {identity!r}: rename it")
    return identity


def _circle_or_polygon(entry: StandEntry | IgnoreEntry, default_m: float) -> shapely.Polygon:
    """Return the polygon of an entry, longitude and latitude; a centre without a radius has the default."""
    radius_m = default_m if entry.radius_m is None and entry.centre is not None else entry.radius_m
    return _shape(entry.centre, radius_m, entry.polygon)


def _spot(name: str, shape: shapely.Polygon, plane: LocalPlane) -> Spot:
    return Spot(name, plane.shape_to_metres(shape))


def _shape(centre: LonLat | None, radius_m: float | None, polygon: Ring | None) -> shapely.Polygon:
    """Return the polygon, longitude and latitude, of an entry that gives a circle or corners."""
    if (centre is None) == (polygon is None) or (centre is None) != (radius_m is None):
        raise ConfigError("expected centre and radius_m, or polygon, got another combination: write one of the two")
    for lon, lat in polygon or ([centre] if centre else []):
        if not (-360 <= lon <= 360 and -90 <= lat <= 90):
            raise ConfigError(f"expected longitude and latitude in degrees, got [{lon}, {lat}]: longitude comes first")
    if centre is not None and radius_m is not None:
        if not 0 < radius_m <= MAX_EXTENT_M / 2:
            raise ConfigError(f"radius_m: expected metres above 0, up to {MAX_EXTENT_M / 2:g}, got {radius_m}")
        return circle(centre, radius_m)
    if polygon is None or len(set(polygon)) < 3:
        raise ConfigError(f"polygon: expected three corners or more, got {len(set(polygon or ()))}: add corners")
    shape = shapely.Polygon(polygon)
    if not shape.is_valid:
        raise ConfigError(
            f"polygon: expected edges that do not cross, got {shapely.is_valid_reason(shape)}: reorder it"
        )
    return shape


def _check_unique(names: Sequence[str], expected: str) -> None:
    # Without case: some file systems do not tell it.
    doubled = {name for name in names if [other.lower() for other in names].count(name.lower()) > 1}
    if doubled:
        raise ConfigError(f"{expected}, got {', '.join(sorted(doubled))} twice: rename one")


def _read_geojson(path: Path) -> tuple[tuple[AirportEntry, ...], dict[int, shapely.Geometry]]:
    """Return the airports of a GeoJSON file, and their polygons by their number."""
    features = _features(path)
    spots = _geojson_spots(features)
    entries: list[AirportEntry] = []
    areas: dict[int, shapely.Geometry] = {}
    for properties, geometry in features:
        if properties.get("kind", "airport") != "airport":
            continue
        known = {field.name for field in dataclasses.fields(AirportEntry)} - {"centre", "polygon", *_KINDS.values()}
        content: dict[str, Any] = {
            name: value for name, value in properties.items() if name in known and value is not None
        }
        identity = str(content.get("id") or content.get("iata") or content.get("icao"))
        content |= spots.pop(identity, {})
        if geometry.geom_type == "Point":
            content["centre"] = [geometry.x, geometry.y]
        else:
            areas[len(entries)] = geometry
            content.pop("radius_m", None)
        entries.append(from_mapping(AirportEntry, content, str(path)))
    if spots:
        raise ConfigError(
            "expected stands, aprons and areas to ignore of airports in the file, got those of "
            f"{', '.join(sorted(spots))}: correct the property `airport`"
        )
    return tuple(entries), areas


def _geojson_spots(
    features: Iterable[tuple[Mapping[str, Any], shapely.Geometry]],
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return stands, aprons and areas to ignore of a GeoJSON file by the id of their airport, as in YAML."""
    spots: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for properties, geometry in features:
        kind = properties.get("kind", "airport")
        if kind == "airport":
            continue
        if kind not in _KINDS or "airport" not in properties:
            raise ConfigError(
                f"kind: expected airport, or {', '.join(_KINDS)} with the property `airport`, got {kind!r}: correct it"
            )
        content: dict[str, Any] = {}
        if geometry.geom_type == "Point":
            content = {"centre": [geometry.x, geometry.y], "radius_m": properties.get("radius_m", STAND_RADIUS_M)}
        elif geometry.geom_type == "Polygon":
            content = {"polygon": [list(corner) for corner in shapely.get_coordinates(geometry.exterior)[:-1].tolist()]}
        else:
            raise ConfigError(f"{kind}: expected a Point or a Polygon, got {geometry.geom_type}")
        if kind != "ignore":
            name = "id" if kind == "stand" else "name"
            content[name] = str(properties.get(name) or properties.get("name") or properties.get("id"))
        spots.setdefault(str(properties["airport"]), {}).setdefault(_KINDS[kind], []).append(content)
    return spots


def _features(path: Path) -> list[tuple[dict[str, Any], shapely.Geometry]]:
    """Return properties and geometry of each feature of a GeoJSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        features = [content] if content["type"] == "Feature" else content["features"]
        read = [(dict(item["properties"] or {}), shapely.geometry.shape(item["geometry"])) for item in features]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"expected GeoJSON with features, got {reason}: check the path and the file") from error
    return read
