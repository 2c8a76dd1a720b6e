import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geo.aoi import AreaOfInterest, build_aoi, core_mask, level_bounds, points_in_area, tiles_in_area
from geo.errors import ConfigError
from geo.georef import GeoReference
from geo.grid import SEAM_PX, Level, Tiling, count_tiles, plan_levels, plan_tiles
from geo.types import FloatArray
from tests.geo.strategies import AREAS, HEIGHT, WIDTH, georeferences

UTM = GeoReference(Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), CRS("EPSG:32632"))
TILING = Tiling((0.5, 1.0), tile_px=128, halo_px=16)


def star(x: float, y: float, radius: float) -> shapely.Polygon:
    """A concave, asymmetric polygon with a hole."""
    angles = np.radians([0, 40, 95, 130, 190, 240, 300])
    reach = radius * np.array([1.0, 0.5, 0.9, 0.4, 0.8, 0.5, 0.95])
    ring = np.column_stack([x + reach * np.cos(angles), y + reach * np.sin(angles)])
    return shapely.Polygon(ring, [shapely.box(x + 3, y + 2, x + 0.2 * radius, y + 0.1 * radius).exterior])


def on_the_map(polygon: shapely.Polygon, georef: GeoReference) -> shapely.Polygon:
    return shapely.transform(polygon, georef.pixel_to_map)


def lonlat_ring(polygon: shapely.Polygon, georef: GeoReference) -> FloatArray:
    """The outline in many short segments, its longitudes without jumps."""
    lonlat = georef.pixel_to_lonlat(np.array(shapely.segmentize(polygon, 20).exterior.coords))
    return np.column_stack([np.unwrap(lonlat[:, 0], period=360), lonlat[:, 1]])


@pytest.mark.parametrize("crs", sorted(AREAS))
@settings(max_examples=8)
@given(st.data())
def test_an_area_drawn_in_a_scene_returns_to_its_pixels(crs: str, data: st.DataObject) -> None:
    georef = data.draw(georeferences(st.just(crs)))
    drawn = star(WIDTH * 0.6, HEIGHT * 0.4, 0.7 * HEIGHT)
    expected = drawn & shapely.box(0, 0, WIDTH, HEIGHT)
    actual = build_aoi([on_the_map(drawn, georef)], georef.crs).in_pixels(georef, WIDTH, HEIGHT)
    assert shapely.area(actual ^ expected) < 0.05 * shapely.length(expected)


@pytest.mark.parametrize("crs", sorted(AREAS))
@settings(max_examples=8)
@given(st.data())
def test_the_area_may_have_another_crs(crs: str, data: st.DataObject) -> None:
    georef = data.draw(georeferences(st.just(crs)))
    drawn = shapely.Polygon(star(WIDTH * 0.5, HEIGHT * 0.5, 0.6 * HEIGHT).exterior)
    ring = lonlat_ring(drawn, georef)
    expected = drawn & shapely.box(0, 0, WIDTH, HEIGHT)
    for by in (-360.0, 0.0, 360.0):
        area = build_aoi([shapely.Polygon(ring + np.array([by, 0]))], CRS("OGC:CRS84"))
        actual = area.in_pixels(georef, WIDTH, HEIGHT)
        assert shapely.area(actual ^ expected) < 0.05 * shapely.length(expected)


def test_long_edges_are_straight_in_their_own_crs() -> None:
    """An edge of 80 km along a parallel is curved in UTM: its centre is 400 m from the chord."""
    georef = GeoReference(Affine(10, 0, 260_000, 0, -10, 6_600_000), CRS("EPSG:32632"))
    lonlat = georef.pixel_to_lonlat(np.array([[0.0, 4000.0], [8000.0, 4000.0]]))
    lat = float(lonlat[:, 1].mean())
    west, east = lonlat[0, 0] - 1, lonlat[1, 0] + 1
    area = build_aoi([shapely.box(west, lat, east, lat + 3)], CRS("OGC:CRS84")).in_pixels(georef, 8000, 8000)
    positions = np.column_stack([np.linspace(10, 7990, 200), np.zeros(200)])
    lon = georef.pixel_to_lonlat(np.array([[x, 4000.0] for x in positions[:, 0]]))[:, 0]
    line = georef.lonlat_to_pixel(np.column_stack([lon, np.full(200, lat)]), (4000, 4000))
    assert points_in_area(area, line - np.array([0, 0.5])).all()
    assert not points_in_area(area, line + np.array([0, 0.5])).any()


def test_an_area_beside_a_seam_has_the_tiles_of_both_sides() -> None:
    """Each tile may place an airplane on the seam in the other's core."""
    tiling = Tiling((1.0,), tile_px=64, halo_px=10, align_px=8)
    level = Level(1.0, 200, 64, 1.0, 1.0)
    seam = next(plan_tiles(level, tiling)).core.right
    for distance, tiles in ((SEAM_PX - 1, 2), (SEAM_PX + 1, 1)):
        area = shapely.box(seam + distance, 10, seam + distance + 1, 12)
        assert len(list(tiles_in_area(area, level, tiling))) == tiles


def test_an_area_outside_the_scene_has_no_pixels() -> None:
    for position in ((100.0, -40.0), (-171.0, 48.7), (9.0, -48.7)):
        area = build_aoi([shapely.box(*position, position[0] + 1, position[1] + 1)], CRS("OGC:CRS84"))
        actual = area.in_pixels(UTM, WIDTH, HEIGHT)
        assert actual.is_empty
        assert not points_in_area(actual, np.array([[10.0, 10.0]])).any()


def test_overlapping_polygons_are_merged() -> None:
    boxes = [on_the_map(shapely.box(*corners), UTM) for corners in ((10, 10, 60, 60), (40, 30, 90, 70))]
    actual = build_aoi(boxes, UTM.crs).in_pixels(UTM, WIDTH, HEIGHT)
    assert actual.area == pytest.approx(50 * 50 + 50 * 40 - 20 * 30, abs=0.1)


@given(st.floats(-50, 450), st.floats(-50, 350), st.floats(20, 200))
def test_core_masks_partition_the_area(x: float, y: float, radius: float) -> None:
    area = star(x, y, radius) & shapely.box(0, 0, 400, 300)
    for level in plan_levels(400, 300, (0.5, 0.5), TILING):
        tiles = list(plan_tiles(level, TILING))
        chosen = list(tiles_in_area(area, level, TILING))
        boxes = [tile.core for tile in tiles]
        touched = [
            shapely.box(core.col - SEAM_PX, core.row - SEAM_PX, core.right + SEAM_PX, core.bottom + SEAM_PX)
            for core in boxes
        ]
        in_level = shapely.transform(area, lambda xy, level=level: xy / [level.scale_x, level.scale_y])
        assert chosen == [tile for tile, box in zip(tiles, touched, strict=True) if shapely.intersects(in_level, box)]
        assert count_tiles(level, TILING, level_bounds(area, level)) >= len(chosen)
        assert count_tiles(level, TILING) == len(tiles)
        assert all(not core_mask(area, tile).any() for tile in tiles if tile not in chosen)
        covered = sum(int(core_mask(area, tile).sum()) for tile in chosen) * level.scale_x * level.scale_y
        assert abs(covered - area.area) <= level.scale_x * area.length + 5


@pytest.mark.parametrize(
    ("geometries", "crs", "message"),
    [
        ([shapely.Point(9, 50)], "OGC:CRS84", "expected polygons, got Point: draw an area"),
        ([], "OGC:CRS84", "at least one polygon, got none"),
        ([shapely.Polygon()], "OGC:CRS84", "at least one polygon, got none"),
        ([shapely.box(-1e5, -1e5, 1e5, 1e5)], "EPSG:3995", "without a pole in it"),
        ([shapely.box(1e9, 1e9, 2e9, 2e9)], "EPSG:32632", "coordinates outside of its CRS"),
        ([shapely.box(565e3, 5930e3, 566e3, 5931e3)], "EPSG:4326", "in degrees, got x from 565000 .*: write the CRS"),
    ],
)
def test_invalid_areas_are_rejected(geometries: list[shapely.Geometry], crs: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_aoi(geometries, CRS(crs))


def test_a_scene_around_a_pole() -> None:
    georef = GeoReference(Affine(1000, 0, -200_000, 0, -1000, 200_000), CRS("EPSG:3995"))
    area = AreaOfInterest(shapely.box(170, 89, 200, 90)).in_pixels(georef, 400, 400)
    assert points_in_area(area, georef.lonlat_to_pixel(np.array([[-175.0, 89.5]]))).all()
    assert not points_in_area(area, georef.lonlat_to_pixel(np.array([[165.0, 89.5], [0.0, 89.5]]))).any()
