"""An airport in numbers: scenes as rows and detections at positions in metres, without pixels."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from pyproj import CRS

from geo.aoi import build_aoi
from geo.outline import POINT_FIELDS
from geo.polygons import LocalPlane
from pipeline.monitor.airports import Airport, Spot, circle
from pipeline.monitor.series import Tables, compute
from pipeline.monitor.settings import MonitorSettings, load_settings
from pipeline.monitor.tables import SceneRow
from pipeline.records import Airplane

LON, LAT, RADIUS_M = 9.99, 53.63, 1000.0
SETTINGS = load_settings()
THRESHOLD = 0.467


def make_airport(stands: Mapping[str, tuple[float, float]] | None = None) -> Airport:
    area = build_aoi([circle((LON, LAT), RADIUS_M)], CRS.from_user_input("OGC:CRS84"))
    spots = tuple(Spot(name, shapely.Point(*xy).buffer(20)) for name, xy in (stands or {}).items())
    east = Spot("East", shapely.box(0, -2000, 2000, 2000))
    return Airport("HAM", "Hamburg", "EDDH", "HAM", area, LocalPlane(LON, LAT), spots, (east,))


AIRPORT = make_airport()


@dataclasses.dataclass(frozen=True)
class Plane:
    """An airplane: metres east and north of the airport's centre, the side of its box, and what was measured of it."""

    x: float
    y: float
    size: float = 40.0
    score: float = 0.99
    length: float | None = None
    wingspan: float | None = None


def scene(
    time: str,
    planes: Sequence[Plane],
    shift: tuple[float, float] = (0.0, 0.0),
    seen: shapely.Geometry | None = None,
    **fields: object,
) -> tuple[SceneRow, list[Airplane]]:
    """A scene of a time; it detects the planes that it sees. `seen` is in metres, not shifted; None: all."""
    time = time if "T" in time else f"{time}T10:00:00Z"
    name = f"S-{time}"
    area = AIRPORT.area_m if seen is None else shapely.intersection(AIRPORT.area_m, seen)
    row = SceneRow(
        geometry=None if area.is_empty else AIRPORT.plane.shape_to_lonlat(area),
        airport="HAM",
        day=time[:10],
        scene_key=name,
        version="1",
        scene_id=name,
        scene_uri=f"{name}.tif",
        acquired_at=time,
        published_at=None,
        status="complete",
        error=None,
        share_inside=1.0,
        share_seen=1.0,
        cloud_known=False,
        share_cloud=None,
        off_nadir_deg=None,
        resolution_m=0.5,
        airplanes=len(planes),
        threshold=THRESHOLD,
        model="fake@000000000000",
        settings_id="5e77",
    )
    row = dataclasses.replace(row, **fields)  # type: ignore[arg-type]
    visible = [plane for plane in planes if shapely.intersects_xy(area, plane.x, plane.y)]
    return row, [_airplane(row, plane, shift) for plane in visible]


def _airplane(row: SceneRow, plane: Plane, shift: tuple[float, float]) -> Airplane:
    x, y, half = plane.x + shift[0], plane.y + shift[1], plane.size / 2
    outline = AIRPORT.plane.shape_to_lonlat(shapely.box(x - half, y - half, x + half, y + half))
    px = (10_000 + 2 * x, 10_000 - 2 * y)
    return Airplane(
        geometry=outline,
        detection_id=f"{row.scene_key}/{plane.x:.1f},{plane.y:.1f}",
        scene_id=row.scene_id,
        scene_uri=row.scene_uri,
        acquired_at=row.acquired_at,
        score=plane.score,
        xmin_px=px[0] - plane.size,
        ymin_px=px[1] - plane.size,
        xmax_px=px[0] + plane.size,
        ymax_px=px[1] + plane.size,
        size_m=plane.size,
        length_m=plane.length,
        length_sd_m=None,
        wingspan_m=plane.wingspan,
        wingspan_sd_m=None,
        heading_deg=None,
        heading_sd_deg=None,
        outline="upright",
        **dict.fromkeys(POINT_FIELDS),
        resolution_m=0.5,
        model=row.model,
    )


def tables_of(
    scenes: Sequence[tuple[SceneRow, list[Airplane]]],
    airport: Airport = AIRPORT,
    settings: MonitorSettings = SETTINGS,
) -> Tables:
    rows = [row for row, _ in scenes]
    return compute(rows, {row.scene_key: airplanes for row, airplanes in scenes}, airport, settings)


def rows_of_planes(count: int, seed: int = 1) -> list[Plane]:
    """Planes 60 m apart in rows of five, of different sizes."""
    random = np.random.default_rng(seed)
    spots = [(60.0 * (index % 5) - 120, 70.0 * (index // 5) - 150) for index in range(count)]
    return [
        Plane(x, y, float(size)) for (x, y), size in zip(spots, random.choice([28, 38, 47, 64], count), strict=True)
    ]
