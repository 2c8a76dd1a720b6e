"""Length, wingspan and heading of four points, against geodesics on WGS84."""

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod

from geo.georef import GeoReference
from geo.outline import measure
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
