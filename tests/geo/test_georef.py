import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod

from geo.errors import GeoreferenceError
from geo.georef import GeoReference
from geo.types import FloatArray
from tests.geo.strategies import AREAS, HEIGHT, WIDTH, georeferences, to_lonlat

# PROJ has one way only from these to longitude and latitude on WGS84.
PLAIN = [name for name in AREAS if name not in ("EPSG:23030", "EPSG:5514", "EPSG:3035")]
CENTRE = (WIDTH / 2, HEIGHT / 2)
pixels = st.lists(st.tuples(st.floats(-100, WIDTH + 100), st.floats(-100, HEIGHT + 100)), min_size=1, max_size=5).map(
    lambda points: np.array(points, dtype=np.float64)
)
UTM = GeoReference(Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), CRS("EPSG:32632"))


def reference_lonlat(georef: GeoReference, xy: FloatArray) -> list[tuple[float, float]]:
    """Pixel by pixel with affine and pyproj."""
    return [to_lonlat(georef.crs.srs).transform(*(georef.affine @ (x, y))) for x, y in xy.tolist()]


@pytest.mark.parametrize("crs", PLAIN)
@settings(max_examples=20)
@given(st.data())
def test_lonlat_equals_pyproj(crs: str, data: st.DataObject) -> None:
    georef, xy = data.draw(georeferences(st.just(crs))), data.draw(pixels)
    for (lon, lat), (expected_lon, expected_lat) in zip(
        georef.pixel_to_lonlat(xy).tolist(), reference_lonlat(georef, xy), strict=True
    ):
        assert -180 <= lon <= 180
        assert (lon - expected_lon + 180) % 360 - 180 == pytest.approx(0, abs=1e-11)
        assert lat == pytest.approx(expected_lat, abs=1e-11)


@pytest.mark.parametrize("crs", sorted(AREAS))
@settings(max_examples=20)
@given(st.data())
def test_round_trip_returns_the_same_pixel(crs: str, data: st.DataObject) -> None:
    georef, xy = data.draw(georeferences(st.just(crs))), data.draw(pixels)
    back = georef.lonlat_to_pixel(georef.pixel_to_lonlat(xy), near=CENTRE)
    assert np.abs(back - xy).max() < 0.001


@given(georeferences(), pixels, st.sampled_from([-720, -360, 360]))
def test_longitudes_are_periodic(georef: GeoReference, xy: FloatArray, lap: int) -> None:
    lonlat = georef.pixel_to_lonlat(xy) + np.array([lap, 0])
    assert np.abs(georef.lonlat_to_pixel(lonlat, near=CENTRE) - xy).max() < 0.001


@pytest.mark.parametrize("cut", [0.5, 90.5, 179.0])
def test_a_raster_across_the_cut_of_its_map_is_in_one_piece(cut: float) -> None:
    crs = CRS(f"+proj=merc +lon_0={cut - 180} +datum=WGS84")
    equator = 2 * math.pi * 6_378_137
    georef = GeoReference(Affine(100, 0, equator / 2 - 50_000, 0, -100, 30_000), crs)
    xy = np.array([[100.0, 100], [900, 100]])
    lonlat = georef.pixel_to_lonlat(xy)
    assert (lonlat[:, 0] - cut + 180) % 360 - 180 == pytest.approx(np.array([-1, 1]) * 40_000 / equator * 360)
    np.testing.assert_allclose(georef.lonlat_to_pixel(lonlat, near=(500, 300)), xy, atol=1e-3)


def test_the_corner_of_the_first_pixel_is_the_origin() -> None:
    assert UTM.pixel_to_map(np.array([[0.0, 0.0], [1.0, 2.0]])).tolist() == [
        [500_000, 5_400_000],
        [500_000.5, 5_399_999],
    ]
    assert UTM.pixel_to_lonlat(np.array([[0.0, 0.0]]))[0, 0] == pytest.approx(9, abs=1e-12)


@pytest.mark.parametrize(("origin", "lon"), [(190.0, -170.0), (359.5, -0.5), (-181.0, 179.0), (180.0, 180.0)])
def test_longitudes_are_within_180_degrees(origin: float, lon: float) -> None:
    georef = GeoReference(Affine(1e-5, 0, origin, 0, -1e-5, 10), CRS("EPSG:4326"))
    assert georef.pixel_to_lonlat(np.array([[0.0, 0.0]])).tolist() == [[lon, 10.0]]


@pytest.mark.parametrize("pixel_x", [1.0, 20_000_000.0, 71_999_999.0])
def test_a_world_map_is_not_folded(pixel_x: float) -> None:
    world = GeoReference(Affine(5e-6, 0, -180, 0, -5e-6, 80), CRS("EPSG:4326"))
    pixel = np.array([[pixel_x, 1e7]])
    assert np.abs(world.lonlat_to_pixel(world.pixel_to_lonlat(pixel), near=(36e6, 1e7)) - pixel).max() < 0.001


@given(georeferences(st.sampled_from(sorted(set(AREAS) - {"EPSG:3857", "EPSG:4326", "EPSG:4807"}))), pixels)
def test_resolution_of_a_metric_map_is_about_its_pixel_size(georef: GeoReference, xy: FloatArray) -> None:
    step = math.sqrt(abs(georef.affine.determinant))
    for x, y in xy.tolist():
        # The farthest off, polar at 60 degrees south: (1 + sin 71) / (1 + sin 60) = 1.043 map metres to the metre.
        assert georef.ground_resolution_m(x, y) == pytest.approx((step, step), rel=0.045)


@given(st.floats(-85, 85), st.floats(0.1, 3), st.floats(-math.pi, math.pi))
def test_resolution_of_web_mercator_is_measured_on_the_ground(lat: float, step: float, lon: float) -> None:
    radius, squared = 6_378_137.0, 0.0066943799901413165
    y = radius * math.asinh(math.tan(math.radians(lat)))
    georef = GeoReference(Affine(step, 0, radius * lon, 0, -step, y), CRS("EPSG:3857"))
    # The ellipsoid's radii of curvature against the sphere's (Snyder 1987, 4-18 to 4-20 and 7-1).
    root = 1 - squared * math.sin(math.radians(lat)) ** 2
    east, north = radius / math.sqrt(root), radius * (1 - squared) / root**1.5
    shrink = step * math.cos(math.radians(lat)) / radius
    assert georef.ground_resolution_m(0.0, 0.0) == pytest.approx((east * shrink, north * shrink), rel=1e-5)


def test_resolution_of_degrees_is_in_metres() -> None:
    georef = GeoReference(Affine(1e-5, 0, 179.9999, 0, -1e-5, 60.0), CRS("EPSG:4326"))
    geod = Geod(ellps="WGS84")
    east = geod.inv(10, 60, 10.001, 60)[2] / 100
    north = geod.inv(10, 59.9995, 10, 60.0005)[2] / 100
    # Across the antimeridian too: pixel 10 lies at 180 degrees.
    assert georef.ground_resolution_m(10.0, 0.0) == pytest.approx((east, north), rel=1e-6)


def test_rotation_does_not_swap_columns_and_rows() -> None:
    turned = GeoReference(Affine.translation(5e5, 5e6) @ Affine.rotation(90) @ Affine.scale(0.5, -2), CRS("EPSG:32632"))
    assert turned.ground_resolution_m(5.0, 7.0) == pytest.approx((0.5, 2), rel=1e-3)


def test_an_older_datum_has_no_jumps_within_a_scene() -> None:
    """PROJ would switch from one datum shift to another in the middle of this row of pixels."""
    georef = GeoReference(Affine(1, 0, 379_300, 0, -1, 4_650_000), CRS("EPSG:23030"))
    row = np.column_stack([np.arange(130.0), np.zeros(130)])
    torn = np.abs(np.diff([lon for lon, _ in reference_lonlat(georef, row)], n=2)).max()
    ours = np.abs(np.diff(georef.pixel_to_lonlat(row)[:, 0], n=2)).max()
    assert torn > 1e-6
    assert ours < 1e-9
    assert georef.pixel_to_lonlat(row[:1])[0] == pytest.approx(reference_lonlat(georef, row[:1])[0], abs=1e-11)


def test_pickling_and_threads() -> None:
    again = pickle.loads(pickle.dumps(UTM))  # noqa: S301
    points = np.array([[10.0, 20.0], [3000.0, 100.0]])
    assert again == UTM
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(again.pixel_to_lonlat, [points] * 16))
    assert all((result == UTM.pixel_to_lonlat(points)).all() for result in results)


@pytest.mark.parametrize(
    "affine",
    [
        Affine(0.5, 0, 1, 0, 0, 2),
        Affine(1, 2, 0, 2, 4, 0),
        Affine(float("nan"), 0, 0, 0, 1, 0),
        Affine(1, 0, math.inf, 0, 1, 0),
    ],
)
def test_a_singular_affine_is_rejected(affine: Affine) -> None:
    with pytest.raises(GeoreferenceError, match=r"expected an invertible affine transform, got .*gdal_edit\.py"):
        GeoReference(affine, CRS("EPSG:32632"))


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:4978",
        "EPSG:5703",
        'LOCAL_CS["site",UNIT["metre",1]]',
        'ENGCRS["site",EDATUM["peg"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]',
    ],
)
def test_a_crs_that_is_not_of_the_earth_is_rejected(crs: str) -> None:
    with pytest.raises(GeoreferenceError, match=r"expected a projected or geographic CRS, got .*gdal_edit\.py"):
        GeoReference(UTM.affine, CRS(crs))


@pytest.mark.parametrize(
    ("crs", "position"),
    [
        ("EPSG:32632", (5e8, 5e6)),
        ("EPSG:4326", (500_000, 5_400_000)),
        ("EPSG:4326", (10, 91)),
    ],
)
def test_coordinates_outside_the_crs_are_rejected(crs: str, position: tuple[float, float]) -> None:
    georef = GeoReference(Affine(0.5, 0, position[0], 0, -0.5, position[1]), CRS(crs))
    with pytest.raises(GeoreferenceError, match=r"expected pixels on the Earth, got .* do not match"):
        georef.pixel_to_lonlat(np.array([[0.0, 0.0]]))
