"""Ground control points, against scipy's thin plate spline, least squares, GDAL and pyproj."""

import itertools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS, Geod
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.transform import GCPTransformer
from rasterio.warp import reproject, transform
from scipy.interpolate import RBFInterpolator

from geo.errors import GeoreferenceError
from geo.gcp import GcpGeoReference, Points
from geo.georef import GeoReference
from geo.polygons import ground_polygon, size_m
from geo.raster.header import read_header
from geo.types import FloatArray
from tests.geo.scenes import noise, write_tiff

WIDTH, HEIGHT = 60, 40
UTM = CRS("EPSG:32632")
TURNED = Affine.translation(565_000, 5_930_000) @ Affine.rotation(20) @ Affine.scale(0.5, -0.6)
GEOD = Geod(ellps="WGS84")
INSIDE = np.random.default_rng(5).uniform((0, 0), (WIDTH, HEIGHT), (200, 2))


def bent(xy: FloatArray) -> FloatArray:
    """Map coordinates of pixels: rotated, and distorted by up to 2 metres, as by terrain."""
    x, y = xy.T
    return np.asarray(straight(xy) + 2 * np.column_stack([np.sin(x / 20 + 1), np.cos(y / 15 + x / 50)]))


def straight(xy: FloatArray) -> FloatArray:
    x, y = xy.T
    return np.asarray(np.column_stack(TURNED @ (x, y)))


def points_at(pixels: FloatArray, ground: Callable[[FloatArray], FloatArray] = bent) -> Points:
    return tuple((*pixel, *position) for pixel, position in zip(pixels.tolist(), ground(pixels).tolist(), strict=True))


def scattered(count: int, ground: Callable[[FloatArray], FloatArray] = bent) -> Points:
    """The corners of the raster, and points between."""
    corners = np.array([[0.0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]])
    between = np.random.default_rng(count).uniform((0, 0), (WIDTH, HEIGHT), (max(0, count - 4), 2))
    return points_at(np.concatenate([corners, between])[:count], ground)


def grid(columns: int, rows: int) -> Points:
    steps = itertools.product(np.linspace(0, HEIGHT, rows), np.linspace(0, WIDTH, columns))
    return points_at(np.array([[x, y] for y, x in steps]))


def gcps(points: Points) -> list[GroundControlPoint]:
    return [GroundControlPoint(row=row, col=column, x=x, y=y) for column, row, x, y in points]


def write(path: Path, points: Points, crs: str | None = "EPSG:32632") -> str:
    uri = write_tiff(path, noise(WIDTH, HEIGHT), crs=None, affine=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (gcps(points), crs and rasterio.crs.CRS.from_user_input(crs))
    return uri


def least_squares(points: Points, xy: FloatArray) -> FloatArray:
    """The polynomial that GDAL chooses for this number of points."""

    def terms(pixels: FloatArray) -> FloatArray:
        x, y = (pixels / 50).T
        order_1 = [np.ones_like(x), x, y]
        return np.column_stack(order_1 if len(points) < 6 else [*order_1, x * x, x * y, y * y])

    array = np.array(points)
    centre = array[:, 2:].mean(axis=0)
    weights = np.linalg.lstsq(terms(array[:, :2]), array[:, 2:] - centre)[0]
    return np.asarray(terms(xy) @ weights + centre)


def thin_plate(points: Points, xy: FloatArray) -> FloatArray:
    array = np.array(points)
    return np.asarray(RBFInterpolator(array[:, :2], array[:, 2:], kernel="thin_plate_spline")(xy))


KINDS = {
    "3": (scattered(3), least_squares),
    "4": (scattered(4), least_squares),
    "5": (scattered(5), least_squares),
    "7": (scattered(7), least_squares),
    "9 in a grid": (grid(3, 3), least_squares),
    "6 in 2 rows": (grid(3, 2), thin_plate),
    "10": (scattered(10), thin_plate),
    "25": (scattered(25), thin_plate),
    "210 in a grid": (grid(21, 10), thin_plate),
}


Kind = tuple[Points, Callable[[Points, FloatArray], FloatArray]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def test_gcps_are_interpolated_exactly_or_nearly(tmp_path: Path, kind: Kind) -> None:
    points, expected = kind
    header = read_header(write(tmp_path / "scene.tif", points))
    assert header.georef == GcpGeoReference(points, UTM)
    mapped = expected(points, INSIDE)
    assert np.abs(header.georef.pixel_to_map(INSIDE) - mapped).max() < 1e-4
    lonlat = np.column_stack(transform("EPSG:32632", "OGC:CRS84", *mapped.T))
    assert np.abs(header.georef.pixel_to_lonlat(INSIDE) - lonlat).max() < 2e-9


def test_gdalwarp_agrees(kind: Kind) -> None:
    points, expected = kind
    ramp = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5))
    target = Affine(0.1, 0, 565_010, 0, -0.1, 5_929_998)
    warped, _ = reproject(
        ramp,
        np.full((2, 120, 150), np.nan),
        gcps=gcps(points),
        src_crs="EPSG:32632",
        dst_crs="EPSG:32632",
        dst_transform=target,
        resampling=Resampling.bilinear,
        init_dest_nodata=False,
        SRC_METHOD="GCP_TPS" if expected is thin_plate else "GCP_POLYNOMIAL",
    )
    rows, columns = np.nonzero(((warped > 1) & (warped < [[[WIDTH - 1]], [[HEIGHT - 1]]])).all(axis=0))
    x, y = target @ (columns + 0.5, rows + 0.5)
    assert len(rows) > 500
    back = GcpGeoReference(points, UTM).map_to_pixel(np.column_stack([x, y]))
    # The warper approximates within an eighth of a pixel, and has a polynomial of its own for the way back.
    assert np.abs(back - warped[:, rows, columns].T).max() < (0.13 if expected is thin_plate else 0.2)


@pytest.mark.parametrize("points", [points for points, expected in KINDS.values() if expected is least_squares])
def test_polynomials_equal_those_of_gdal(points: Points) -> None:
    x, y = GCPTransformer(gcps(points)).xy(INSIDE[:, 1], INSIDE[:, 0], zs=np.zeros(len(INSIDE)), offset="ul")
    assert np.abs(GcpGeoReference(points, UTM).pixel_to_map(INSIDE) - np.column_stack([x, y])).max() < 1e-6


def test_round_trip_returns_the_same_pixel(kind: Kind, record_property: Callable[[str, object], None]) -> None:
    points, expected = kind
    georef = GcpGeoReference(points, UTM)
    back = georef.lonlat_to_pixel(georef.pixel_to_lonlat(INSIDE), near=(WIDTH / 2, HEIGHT / 2))
    largest = float(np.abs(back - INSIDE).max())
    record_property("largest error, px", largest)
    print(f"{expected.__name__} of {len(points)} points: there and back within {largest:.1e} px")
    assert largest < 0.01


def test_points_on_an_affine_equal_that_affine(tmp_path: Path) -> None:
    affine = GeoReference(TURNED, UTM)
    for count in (3, 7, 12):
        header = read_header(write(tmp_path / "scene.tif", scattered(count, straight)))
        assert header.georef is not None
        assert np.abs(header.georef.pixel_to_lonlat(INSIDE) - affine.pixel_to_lonlat(INSIDE)).max() < 1e-10
        assert header.resolution_m == pytest.approx(affine.ground_resolution_m(30, 20), rel=1e-6)
        box = np.array([10.3, 12.1, 24.9, 21.5])
        assert size_m(box, header.georef) == pytest.approx(size_m(box, affine), abs=1e-4)
        away = shapely.hausdorff_distance(ground_polygon(box, header.georef), ground_polygon(box, affine))
        assert away < 1.5e-7


def test_the_resolution_is_measured_on_the_ground(kind: Kind, tmp_path: Path) -> None:
    points, expected = kind
    ends = expected(points, np.array([[29.5, 20], [30.5, 20], [30, 19.5], [30, 20.5]]))
    lonlat = np.column_stack(transform("EPSG:32632", "OGC:CRS84", *ends.T))
    metres = GEOD.inv(*lonlat[::2].T, *lonlat[1::2].T)[2]
    assert read_header(write(tmp_path / "scene.tif", points)).resolution_m == pytest.approx(tuple(metres), rel=1e-4)


@pytest.mark.parametrize("count", [5, 8, 20])
@pytest.mark.parametrize("west", [179.9998, -180.0002])
def test_longitudes_may_jump_at_the_antimeridian(tmp_path: Path, count: int, west: float) -> None:
    def degrees(xy: FloatArray) -> FloatArray:
        lonlat = np.array([west, -16]) + xy * np.array([1e-5, -1e-5])
        return np.column_stack([(lonlat[:, 0] + 180) % 360 - 180, lonlat[:, 1]])

    uri = write(tmp_path / "scene.tif", scattered(count, degrees), "EPSG:4326")
    georef = read_header(uri).georef
    assert georef is not None
    assert np.ptp(georef.pixel_to_lonlat(INSIDE)[:, 0]) > 359
    assert np.abs(georef.pixel_to_lonlat(INSIDE) - degrees(INSIDE)).max() < 1e-9
    assert np.abs(georef.lonlat_to_pixel(degrees(INSIDE), near=(30, 20)) - INSIDE).max() < 0.001


def test_distant_points_are_outside_the_scene(kind: Kind) -> None:
    georef = GcpGeoReference(kind[0], UTM)
    far = georef.lonlat_to_pixel(np.array([[9.0, 45.0], [100, -20], [-171, -45], [np.nan, 3]]))
    inside = (far > 0).all(axis=1) & (far < [WIDTH, HEIGHT]).all(axis=1)
    assert not inside.any()
    assert georef.lonlat_to_pixel(np.zeros((0, 2))).shape == (0, 2)


def test_pickling_and_threads() -> None:
    georef = GcpGeoReference(grid(21, 10), UTM)
    packed = pickle.dumps(georef)
    again = pickle.loads(packed)  # noqa: S301
    assert again == georef
    assert len(packed) < 50 * len(georef.points)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(again.lonlat_to_pixel, [georef.pixel_to_lonlat(INSIDE)] * 8))
    assert all(np.abs(result - INSIDE).max() < 0.001 for result in results)


def test_an_affine_takes_precedence_over_gcps(tmp_path: Path) -> None:
    write(tmp_path / "scene.tif", scattered(5))
    path = tmp_path / "scene.vrt"
    copy(tmp_path / "scene.tif", path, driver="VRT")
    affine = "<GeoTransform>565000, 2, 0, 5930000, 0, -2</GeoTransform><SRS>EPSG:32633</SRS>"
    path.write_text(path.read_text().replace("<GCPList", affine + "<GCPList", 1))
    with rasterio.open(path) as dataset:
        assert len(dataset.gcps[0]) == 5
    assert read_header(str(path)).georef == GeoReference(Affine(2, 0, 565_000, 0, -2, 5_930_000), CRS("EPSG:32633"))


def test_gcps_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    points = scattered(5)
    moved = ((*points[0][:3], points[0][3] + 1), *points[1:])
    headers = [
        read_header(write(tmp_path / "scene.tif", placed, crs))
        for placed, crs in [(points, "EPSG:32632"), (moved, "EPSG:32632"), (points, "EPSG:32633")]
    ]
    assert len({header.scene_id for header in headers}) == 3
    assert read_header(write(tmp_path / "scene.tif", points)).scene_id == headers[0].scene_id


LINE = np.column_stack([np.linspace(0, 60, 12), np.linspace(0, 40, 12)])
ONE_PLACE_TWICE = (*scattered(12), (31.0, 7.0, *scattered(12)[0][2:]))
ONE_PIXEL_TWICE = (*scattered(12), (*scattered(12)[0][:2], 565_010.0, 5_930_010.0))
BAD = {
    "none": ((), r"expected 3 or more ground control points, got 0: .*gdal_edit\.py -gcp"),
    "two": (scattered(2), r"expected 3 or more ground control points, got 2: .*gdal_edit\.py -gcp"),
    "three on a line": (points_at(LINE[:3]), r"that span an area, got points on a line: .*gdalwarp"),
    "twelve on a line": (points_at(LINE), r"that span an area, got points on a line: .*gdalwarp"),
    "one place": (tuple((*p[:2], 565_000.0, 5_930_000.0) for p in scattered(5)), "got points on a line"),
    "one pixel": (tuple((3.0, 4.0, *p[2:]) for p in scattered(5)), "got points on a line"),
    "a place twice": (ONE_PLACE_TWICE, r"with distinct pixels and map positions, got contradictory ones: .*gdalwarp"),
    "a pixel twice": (ONE_PIXEL_TWICE, r"with distinct pixels and map positions, got contradictory ones: .*gdalwarp"),
    "no number": (
        (*scattered(4), (1.0, float("nan"), 5e5, 5e6)),
        "ground control points with finite coordinates, got others",
    ),
    "too many": (grid(60, 40), "expected at most 2000 ground control points, got 2400: .*gdalwarp"),
}


@pytest.mark.parametrize(("points", "message"), BAD.values(), ids=BAD)
def test_invalid_gcps_are_rejected(points: Points, message: str) -> None:
    with pytest.raises(GeoreferenceError, match=message):
        GcpGeoReference(points, UTM)


def test_duplicate_points_count_once() -> None:
    once, twice = GcpGeoReference(scattered(12), UTM), GcpGeoReference(scattered(12) * 2, UTM)
    assert np.abs(once.pixel_to_map(INSIDE) - twice.pixel_to_map(INSIDE)).max() < 1e-6


def test_a_crs_that_is_not_of_the_earth_is_rejected() -> None:
    with pytest.raises(GeoreferenceError, match="expected a projected or geographic CRS, got "):
        GcpGeoReference(scattered(5), CRS("EPSG:4978"))
