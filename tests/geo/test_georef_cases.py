"""All kinds of affines and CRSs, written as GeoTIFFs and read as scenes, against GDAL."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Geod
from rasterio.warp import transform

from geo.raster.header import SceneHeader, read_header
from geo.types import FloatArray
from tests.geo.scenes import noise, write_tiff

WIDTH, HEIGHT = 60, 40
GEOD = Geod(ellps="WGS84")
# Half the way around the world on the map of Web Mercator.
EDGE = math.pi * 6_378_137
# Corners, the centre and positions between, in no symmetry; the last two lie outside.
PIXELS = np.array([[0.0, 0], [60, 0], [60, 40], [0, 40], [30, 20], [0.5, 0.5], [17.25, 3.75], [-20, 55], [90, -10]])

LAMBERT = """PROJCRS["A map of one's own",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",
ELLIPSOID["WGS 84",6378137,298.257223563]]],CONVERSION["its centre",METHOD["Lambert Azimuthal Equal Area"],
PARAMETER["Latitude of natural origin",47.3,ANGLEUNIT["degree",0.0174532925199433]],
PARAMETER["Longitude of natural origin",11.1,ANGLEUNIT["degree",0.0174532925199433]],
PARAMETER["False easting",1000,LENGTHUNIT["metre",1]],PARAMETER["False northing",-2000,LENGTHUNIT["metre",1]]],
CS[Cartesian,2],AXIS["northing",north,ORDER[1]],AXIS["easting",east,ORDER[2]],LENGTHUNIT["metre",1]]"""
ESRI_UTM = """PROJCS["WGS_1984_UTM_Zone_32N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",
SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],
PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],
PARAMETER["Central_Meridian",9.0],PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],
UNIT["Meter",1.0]]"""
ESRI_POLAR = """PROJCS["North_Pole_of_ones_own",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",
SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],
PROJECTION["Stereographic_North_Pole"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],
PARAMETER["Central_Meridian",-33.0],PARAMETER["Standard_Parallel_1",71.0],UNIT["Meter",1.0]]"""


@dataclass(frozen=True)
class Case:
    """CRS and affine (of pixel corners) with which a raster is written."""

    crs: str
    affine: Affine
    point: bool = False


def north_up(x: float, y: float, step: float = 0.5) -> Affine:
    return Affine(step, 0, x, 0, -step, y)


UTM = north_up(565_000, 5_930_000)
DEGREES = 5e-6
CASES = {
    "north-up": Case("EPSG:32632", UTM),
    "south-up": Case("EPSG:32632", Affine(0.5, 0, 565_000, 0, 0.5, 5_930_000)),
    "mirrored": Case("EPSG:32632", Affine(-0.5, 0, 565_000, 0, -0.5, 5_930_000)),
    "rotated by 30 degrees": Case("EPSG:32632", UTM @ Affine.rotation(30)),
    "rotated by 90 degrees": Case("EPSG:32632", UTM @ Affine.rotation(90)),
    "sheared": Case("EPSG:32632", UTM @ Affine.shear(20, 5)),
    "non-square pixels": Case("EPSG:32632", Affine(0.4, 0, 565_000, 0, -0.9, 5_930_000)),
    "pixel is point": Case("EPSG:32632", UTM, point=True),
    "pixel is point, rotated": Case("EPSG:32632", UTM @ Affine.rotation(-70), point=True),
    "degrees": Case("EPSG:4326", north_up(9.2, 48.7, DEGREES)),
    "degrees at 70 north, rotated": Case("EPSG:4326", north_up(25.5, 70.1, DEGREES) @ Affine.rotation(12)),
    "degrees, non-square": Case("EPSG:4326", Affine(2 * DEGREES, 0, 25.5, 0, -DEGREES, 70.1)),
    "degrees with heights": Case("EPSG:4979", north_up(9.2, 48.7, DEGREES)),
    "degrees across the antimeridian": Case("EPSG:4326", north_up(180 - 20 * DEGREES, -16, DEGREES)),
    "degrees across it from the east": Case("EPSG:4326", north_up(-180 - 20 * DEGREES, -16, DEGREES)),
    "degrees from 0 to 360": Case("EPSG:4326", north_up(200, 60, DEGREES)),
    "degrees on the equator": Case("EPSG:4326", north_up(-15 * DEGREES, 15 * DEGREES, DEGREES)),
    "Web Mercator": Case("EPSG:3857", north_up(1_000_000, 6_200_000)),
    "Web Mercator at 70 north": Case("EPSG:3857", north_up(2_800_000, 11_070_000, 1.5)),
    "Web Mercator across the antimeridian": Case("EPSG:3857", north_up(EDGE - 10, -1_800_000)),
    "Web Mercator across it from the east": Case("EPSG:3857", north_up(-EDGE - 10, 8_500_000)),
    "UTM, western edge of the zone": Case("EPSG:32632", north_up(279_260, 5_398_460)),
    "UTM, eastern edge of the zone": Case("EPSG:32632", north_up(720_715, 5_398_460)),
    "UTM, beyond its zone": Case("EPSG:32632", north_up(950_000, 5_400_000)),
    "UTM at 70 north": Case("EPSG:32635", north_up(520_000, 7_780_000)),
    "UTM, southern": Case("EPSG:32756", north_up(333_000, 6_240_000)),
    "UTM 60 across the antimeridian": Case("EPSG:32660", north_up(817_500, 2_001_700, 3)),
    "UTM 1 across the antimeridian, southern": Case("EPSG:32701", north_up(178_830, 8_228_800, 3)),
    "UTM in feet": Case("+proj=utm +zone=18 +datum=WGS84 +units=us-ft", north_up(1_900_000, 14_700_000, 1.6)),
    "polar stereographic, Arctic": Case("EPSG:3413", north_up(-300_000, -2_100_000)),
    "polar stereographic, Antarctic": Case("EPSG:3031", north_up(1_300_000, -500_000)),
    "polar stereographic across the antimeridian": Case("EPSG:3031", north_up(-15, -1_300_000)),
    "around the North Pole": Case("EPSG:32661", north_up(2_000_000 - 8, 2_000_000 + 3)),
    "northing before easting": Case("EPSG:2193", north_up(1_756_000, 5_920_000)),
    "WKT of no authority": Case(LAMBERT, north_up(200_000, 100_000)),
    "ESRI WKT": Case(ESRI_UTM, UTM),
    "ESRI WKT of no authority": Case(ESRI_POLAR, north_up(100_000, -900_000)),
    "compound": Case("EPSG:32632+5773", UTM),
    "compound, degrees": Case("EPSG:4326+5773", north_up(9.2, 48.7, DEGREES)),
    "bound to WGS84": Case("+proj=utm +zone=32 +ellps=GRS80 +towgs84=0,0,0,0,0,0,0 +units=m", UTM),
}


def write(path: Path, case: Case) -> str:
    uri = write_tiff(path, noise(WIDTH, HEIGHT), crs=crs_of_rasterio(case), affine=case.affine)
    if case.point:
        set_pixel_is_point(path)
    return uri


def crs_of_rasterio(case: Case) -> Any:
    return rasterio.crs.CRS.from_user_input(case.crs, morph_from_esri_dialect=case.crs in (ESRI_UTM, ESRI_POLAR))


def set_pixel_is_point(path: Path) -> None:
    """Change the GeoTIFF key only: the coordinates are then those of the first pixel's centre."""
    area, point = (struct.pack("<4H", 1025, 0, 1, value) for value in (1, 2))
    content = path.read_bytes()
    assert content.count(area) == 1
    path.write_bytes(content.replace(area, point))


def expected_lonlat(case: Case, xy: FloatArray) -> FloatArray:
    """Longitude and latitude by GDAL, with its own PROJ, pixel by pixel, from the affine that was written."""
    affine = case.affine @ Affine.translation(-0.5, -0.5) if case.point else case.affine
    x, y = zip(*(affine @ pixel for pixel in xy.tolist()), strict=True)
    lon, lat = np.array(transform(crs_of_rasterio(case), "OGC:CRS84", x, y))
    return np.column_stack([(lon + 180) % 360 - 180, lat])


def metres_apart(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(GEOD.inv(*a.T, *b.T)[2])


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def header(case: Case, tmp_path: Path) -> SceneHeader:
    return read_header(write(tmp_path / "scene.tif", case))


def test_lonlat_equals_gdal(case: Case, header: SceneHeader) -> None:
    assert header.georef is not None
    lonlat = header.georef.pixel_to_lonlat(PIXELS)
    assert (np.abs(lonlat) <= [180, 90]).all()
    # Its PROJ is another version than pyproj's: half a millimetre on the equal-area map, nothing on the others.
    assert metres_apart(lonlat, expected_lonlat(case, PIXELS)).max() < 0.001


def test_round_trip_returns_the_same_pixel(header: SceneHeader) -> None:
    assert header.georef is not None
    lonlat = header.georef.pixel_to_lonlat(PIXELS)
    back = header.georef.lonlat_to_pixel(lonlat, near=(WIDTH / 2, HEIGHT / 2))
    assert np.abs(back - PIXELS).max() < 0.01


def test_pixels_of_gdals_lonlat(case: Case, header: SceneHeader) -> None:
    assert header.georef is not None
    back = header.georef.lonlat_to_pixel(expected_lonlat(case, PIXELS), near=(WIDTH / 2, HEIGHT / 2))
    assert np.abs(back - PIXELS).max() < 0.01


def test_the_resolution_is_measured_on_the_ground(case: Case, header: SceneHeader) -> None:
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    ends = expected_lonlat(case, centre + np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]]))
    metres = metres_apart(ends[::2], ends[1::2])
    assert header.resolution_m == pytest.approx(tuple(metres), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if "across" in name])
def test_cases_at_the_antimeridian_cross_it(name: str) -> None:
    assert np.ptp(expected_lonlat(CASES[name], PIXELS[:4])[:, 0]) > 180
