import json

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod

from geo.georef import GeoReference
from geo.polygons import geojson_mapping, ground_polygon, outline_polygon, size_m
from geo.types import FloatArray
from tests.geo.strategies import AREAS, HEIGHT, WIDTH, georeferences

GEOD = Geod(ellps="WGS84")
# Near the pole a straight line on the map is a curve in longitude and latitude.
georefs = georeferences(st.sampled_from(sorted(set(AREAS) - {"EPSG:3031"})))


@st.composite
def pixel_boxes(draw: st.DrawFn) -> FloatArray:
    xmin, ymin = draw(st.floats(0, WIDTH - 300)), draw(st.floats(0, HEIGHT - 300))
    return np.array([xmin, ymin, xmin + draw(st.floats(5, 300)), ymin + draw(st.floats(5, 300))])


def corners(box: FloatArray, georef: GeoReference) -> FloatArray:
    xmin, ymin, xmax, ymax = box
    return georef.pixel_to_lonlat(np.array([[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax]]))


def parts(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    return list(geometry.geoms) if geometry.geom_type == "MultiPolygon" else [geometry]


@given(georefs, pixel_boxes())
def test_outlines_follow_rfc_7946(georef: GeoReference, box: FloatArray) -> None:
    outline = ground_polygon(box, georef)
    assert shapely.is_valid(outline)
    crosses = np.ptp(corners(box, georef)[:, 0]) > 180
    assert crosses or outline.geom_type == "Polygon"
    for part in parts(outline):
        ring = shapely.get_coordinates(part)
        assert (ring[0] == ring[-1]).all()
        assert part.exterior.is_ccw
        assert np.abs(ring[:, 0]).max() <= 180
        assert np.ptp(ring[:, 0]) < 180
        assert all(round(value, 7) == value for value in ring.ravel().tolist())
        assert not np.signbit(ring[ring == 0]).any()


@given(georefs, pixel_boxes())
def test_outlines_have_the_corners_and_the_area_of_the_box(georef: GeoReference, box: FloatArray) -> None:
    outline = ground_polygon(box, georef)
    vertices = shapely.get_coordinates(outline)
    for corner in corners(box, georef):
        away = np.abs(vertices - corner)
        away[:, 0] = np.minimum(away[:, 0], 360 - away[:, 0])
        assert away.max(axis=1).min() <= 0.51e-7
    area = sum(GEOD.geometry_area_perimeter(part)[0] for part in parts(outline))
    exact, around = GEOD.polygon_area_perimeter(*corners(box, georef).T)
    # Rounding moves each corner by up to a centimetre.
    assert area == pytest.approx(abs(exact), abs=0.012 * around)


@given(georefs, pixel_boxes())
def test_size_is_the_longer_side_on_the_ground(georef: GeoReference, box: FloatArray) -> None:
    ring = corners(box, georef)
    sides = GEOD.inv(*ring.T, *np.roll(ring, -1, axis=0).T)[2]
    assert size_m(box, georef) == pytest.approx(max(sides), rel=2e-3)


def test_a_known_box_gives_a_known_ring() -> None:
    georef = GeoReference(Affine(1e-5, 0, 9, 0, -1e-5, 48), CRS("EPSG:4326"))
    outline = ground_polygon(np.array([0.0, 10, 20, 40]), georef)
    assert geojson_mapping(outline) == {
        "type": "Polygon",
        "coordinates": [[[9.0, 47.9999], [9.0, 47.9996], [9.0002, 47.9996], [9.0002, 47.9999], [9.0, 47.9999]]],
    }


def test_zero_is_not_negative() -> None:
    georef = GeoReference(Affine(1e-5, 0, -2e-5, 0, -1e-5, 2e-5), CRS("EPSG:4326"))
    text = json.dumps(geojson_mapping(ground_polygon(np.array([0.0, 0.0, 2 - 1e-3, 2 + 1e-3]), georef)))
    assert " 0.0" in text
    assert "-0.0," not in text
    assert "-0.0]" not in text


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:4326", Affine(1e-5, 0, 179.999, 0, -1e-5, -16)),
        ("EPSG:4326", Affine(1e-5, 0, -180.001, 0, 1e-5, -16)),
        ("EPSG:3857", Affine(1, 0, 20_037_508.342789244 - 100, 0, -1, -1_800_000)),
        ("EPSG:3857", Affine(1, 0, -20_037_508.342789244 - 100, 0, -1, -1_800_000)),
    ],
)
def test_a_box_across_the_antimeridian_is_cut_there(crs: str, affine: Affine) -> None:
    georef = GeoReference(affine, CRS(crs))
    outline = ground_polygon(np.array([70.0, 20, 150, 50]), georef)  # 180 degrees lie at pixel 100
    assert outline.geom_type == "MultiPolygon"
    west, east = sorted(parts(outline), key=lambda part: -part.bounds[0])
    assert west.bounds[2] == 180
    assert east.bounds[0] == -180
    assert west.area / (west.area + east.area) == pytest.approx(30 / 80, abs=1e-3)


def test_an_outline_is_a_rectangle_turned_with_the_airplane() -> None:
    georef = GeoReference(Affine(0.5, 0, 565_000, 0, -0.5, 5_935_000), CRS("EPSG:32632"))
    points = np.array([[120.0, 80.0], [60, 140], [60, 80], [120, 140]])  # to the north-east, 42.4 m either way
    outline = outline_polygon(points, georef)
    assert isinstance(outline, shapely.Polygon)
    assert outline.exterior.is_ccw
    assert abs(GEOD.geometry_area_perimeter(outline)[0]) == pytest.approx(2 * 60**2 * 0.25, rel=2e-3)
    upright = ground_polygon(np.array([60.0, 80, 120, 140]), georef)
    assert outline.contains(upright.buffer(-1e-6))
    np.testing.assert_array_equal(shapely.get_coordinates(outline), shapely.get_coordinates(outline).round(7))


def test_an_outline_across_the_antimeridian_is_cut_there() -> None:
    georef = GeoReference(Affine(1e-5, 0, 179.999, 0, -1e-5, -16), CRS("EPSG:4326"))
    points = np.array([[120.0, 30.0], [80, 70], [80, 30], [120, 70]])  # 180 degrees lie at pixel 100
    outline = outline_polygon(points, georef)
    assert outline.geom_type == "MultiPolygon"
    west, east = sorted(parts(outline), key=lambda part: -part.bounds[0])
    assert west.bounds[2] == 180
    assert east.bounds[0] == -180
    assert west.area == pytest.approx(east.area, rel=1e-2)


@pytest.mark.parametrize("pixels", [(100.0, 130.0), (60.0, 100.0)])
def test_a_box_that_touches_the_antimeridian_is_not_cut(pixels: tuple[float, float]) -> None:
    georef = GeoReference(Affine(1e-5, 0, 179.999, 0, -1e-5, -16), CRS("EPSG:4326"))
    outline = ground_polygon(np.array([pixels[0], 20, pixels[1], 50]), georef)
    assert outline.geom_type == "Polygon"
    assert np.ptp(shapely.get_coordinates(outline)[:, 0]) == pytest.approx((pixels[1] - pixels[0]) * 1e-5)


@given(georefs, pixel_boxes())
def test_the_mapping_survives_json(georef: GeoReference, box: FloatArray) -> None:
    outline = ground_polygon(box, georef)
    mapping = geojson_mapping(outline)
    assert set(mapping) == {"type", "coordinates"}
    text = json.dumps(mapping)
    assert json.loads(text) == mapping
    assert shapely.equals_exact(shapely.from_geojson(text), outline)
