"""Length, wingspan and heading of four points, against geodesics on WGS84."""

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod

from geo.georef import GeoReference
from geo.outline import LEFT, NOSE, RIGHT, TAIL, ground_rectangle, measure, ordered, rectangle
from geo.types import FloatArray

GEOD = Geod(ellps="WGS84")
RASTERS = {
    "north up": GeoReference(Affine(0.5, 0, 565_000, 0, -0.5, 5_935_000), CRS.from_epsg(32632)),
    "south up": GeoReference(Affine(0.5, 0, 565_000, 0, 0.5, 5_935_000), CRS.from_epsg(32632)),
    "turned": GeoReference(
        Affine.translation(565_000, 5_935_000) @ Affine.rotation(33) @ Affine.scale(0.5, -0.5), CRS.from_epsg(32632)
    ),
    "degrees": GeoReference(Affine(8e-6, 0, 9.98, 0, -5e-6, 53.63), CRS.from_epsg(4326)),
    "web mercator": GeoReference(Affine(0.5, 0, 1_110_000, 0, -0.5, 7_090_000), CRS.from_epsg(3857)),
}


def outline(georef: GeoReference, length_m: float, wingspan_m: float, heading_deg: float) -> FloatArray:
    """Points of an airplane at pixel (400, 300), its wings in the middle of the fuselage."""
    ((lon, lat),) = georef.pixel_to_lonlat(np.array([[400.0, 300.0]]))
    ends = [(0, length_m), (180, length_m), (-90, wingspan_m), (90, wingspan_m)]
    lonlat = [GEOD.fwd(lon, lat, heading_deg + turn, metres / 2)[:2] for turn, metres in ends]
    return georef.lonlat_to_pixel(np.array(lonlat), near=(400, 300))


@pytest.mark.parametrize("raster", RASTERS)
@given(length=st.floats(5, 80), wingspan=st.floats(5, 80), heading=st.floats(0, 359.9))
def test_dimensions_do_not_depend_on_the_raster(raster: str, length: float, wingspan: float, heading: float) -> None:
    georef = RASTERS[raster]
    measured = measure(outline(georef, length, wingspan, heading), georef)
    assert measured.length_m == pytest.approx(length, abs=1e-3)
    assert measured.wingspan_m == pytest.approx(wingspan, abs=1e-3)
    assert abs((measured.heading_deg - heading + 180) % 360 - 180) < 0.01
    assert 0 <= measured.heading_deg < 360


def test_left_and_right_may_be_exchanged() -> None:
    georef = RASTERS["south up"]
    points = outline(georef, 30.0, 40.0, 77.0)
    exchanged = measure(points[[0, 1, 3, 2]], georef)
    assert exchanged.heading_deg == pytest.approx(measure(points, georef).heading_deg, abs=0.01)


def test_the_longer_line_counts_more() -> None:
    georef = RASTERS["north up"]
    points = outline(georef, 40.0, 20.0, 0.0)
    # The wings alone turned by 10 degrees: they count 20 * 20 of 40 * 40 + 20 * 20.
    turn = math.radians(10.0)
    centre = points[2:].mean(axis=0)
    points[2:] = centre + (points[2:] - centre) @ np.array(
        [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
    )
    north = measure(outline(georef, 40.0, 20.0, 0.0), georef).heading_deg
    assert (measure(points, georef).heading_deg - north + 180) % 360 - 180 == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("raster", RASTERS)
@given(length=st.floats(5, 80), wingspan=st.floats(5, 80), heading=st.floats(0, 359.9))
def test_the_rectangle_on_the_ground_is_that_of_the_airplane(
    raster: str, length: float, wingspan: float, heading: float
) -> None:
    georef = RASTERS[raster]
    corners = ground_rectangle(outline(georef, length, wingspan, heading), georef)
    (lon, lat), following = corners.T, np.roll(corners, -1, axis=0)
    azimuth, _, sides = GEOD.inv(lon, lat, *following.T)
    np.testing.assert_allclose(sides, [length, wingspan, length, wingspan], atol=2e-3)
    # From the first corner backwards, then across, then ahead.
    assert abs((azimuth[2] - heading + 180) % 360 - 180) < 0.03
    assert abs((azimuth[0] - heading) % 360 - 180) < 0.03


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=4, max_size=4, unique=True))
def test_the_rectangle_is_the_smallest_of_its_direction_around_the_points(drawn: list[tuple[float, float]]) -> None:
    points = np.array(drawn)
    if min(np.linalg.norm(points[NOSE] - points[TAIL]), np.linalg.norm(points[RIGHT] - points[LEFT])) < 0.1:
        return
    corners = rectangle(points)
    ahead, across = corners[0] - corners[1], corners[0] - corners[3]
    assert ahead @ across == pytest.approx(0, abs=1e-6)
    for side in (ahead, across):
        length = np.linalg.norm(side)
        if length > 1e-3:
            along, ends = points @ side / length, corners @ side / length
            assert (along.min(), along.max()) == pytest.approx((ends.min(), ends.max()), abs=1e-6)
    assert (corners[0] - corners[1]) @ (points[NOSE] - points[TAIL]) >= 0


@pytest.mark.parametrize(("raster", "as_seen"), [("north up", [0, 1, 2, 3]), ("south up", [0, 1, 3, 2])])
def test_wingtips_are_named_as_the_pilot_sees_them(raster: str, as_seen: list[int]) -> None:
    georef = RASTERS[raster]
    points = outline(georef, 30.0, 40.0, 77.0)
    # The network sees the picture, in which a south-up raster shows a mirrored airplane.
    np.testing.assert_array_equal(ordered(points[as_seen], georef), points)
    np.testing.assert_array_equal(ordered(points, georef), points)
