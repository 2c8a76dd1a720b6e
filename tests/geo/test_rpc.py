"""RPCs, against the polynomials written out, GDAL and pyproj."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Geod
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from geo.errors import GeoreferenceError
from geo.georef import BaseGeoReference
from geo.raster.header import read_header
from geo.types import FloatArray
from tests.geo.scenes import noise, write_tiff

WIDTH, HEIGHT, GROUND_M = 60, 40, 350.0
INSIDE = np.random.default_rng(5).uniform((0, 0), (WIDTH, HEIGHT), (200, 2))


def coefficients(*leading: float) -> list[float]:
    return [*leading, *[0.0] * (20 - len(leading))]


RPCS = RPC(
    height_off=100.0,
    height_scale=500.0,
    lat_off=48.1,
    lat_scale=1e-4,
    long_off=11.5,
    long_scale=2e-4,
    line_off=19.5,
    line_scale=20.0,
    samp_off=29.5,
    samp_scale=30.0,
    # 1, lon, lat, height, lon * lat, lon * height, lat * height, lon ** 2, lat ** 2, ...
    line_num_coeff=coefficients(0.001, 0.05, -1.0, 0.2, 0.01, 0, 0, 0.02),
    line_den_coeff=coefficients(1, 0.001, 0.002, 0.0005),
    samp_num_coeff=coefficients(0.002, 1.0, 0.04, -0.3, 0, 0.01, 0, 0, 0.015),
    samp_den_coeff=coefficients(1, 0, 0.001, -0.0004),
)


def write(path: Path, rpcs: RPC = RPCS) -> str:
    return write_tiff(path, noise(WIDTH, HEIGHT), crs=None, affine=None, rpcs=rpcs)


@pytest.fixture
def georef(tmp_path: Path) -> BaseGeoReference:
    georef = read_header(write(tmp_path / "scene.tif"), height_m=GROUND_M).georef
    assert georef is not None
    return georef


def written_out(lonlat: FloatArray) -> FloatArray:
    """The pixel of a point by the RPC definition (STDI-0002), in which (0, 0) is the centre of the first pixel."""
    lon, lat = (lonlat[:, 0] - RPCS.long_off) / RPCS.long_scale, (lonlat[:, 1] - RPCS.lat_off) / RPCS.lat_scale
    up = np.full_like(lon, (GROUND_M - RPCS.height_off) / RPCS.height_scale)
    terms = np.column_stack([np.ones_like(lon), lon, lat, up, lon * lat, lon * up, lat * up, lon**2, lat**2, up**2])

    def ratio(above: list[float], below: list[float]) -> FloatArray:
        return np.asarray((terms @ above[:10]) / (terms @ below[:10]))

    column = ratio(RPCS.samp_num_coeff, RPCS.samp_den_coeff) * RPCS.samp_scale + RPCS.samp_off
    row = ratio(RPCS.line_num_coeff, RPCS.line_den_coeff) * RPCS.line_scale + RPCS.line_off
    return np.column_stack([column, row]) + 0.5


def test_pixels_equal_the_rpc_formula(georef: BaseGeoReference) -> None:
    lonlat = georef.pixel_to_lonlat(INSIDE)
    assert np.abs(written_out(lonlat) - INSIDE).max() < 1e-5
    assert np.abs(georef.lonlat_to_pixel(lonlat) - written_out(lonlat)).max() < 1e-7


def test_pixel_to_map_equals_gdal(georef: BaseGeoReference) -> None:
    exact = RPCTransformer(RPCS, RPC_HEIGHT=GROUND_M, RPC_PIXEL_ERROR_THRESHOLD=1e-6)
    x, y = exact.xy(INSIDE[:, 1], INSIDE[:, 0], zs=np.zeros(len(INSIDE)), offset="ul")
    assert np.abs(georef.pixel_to_lonlat(INSIDE) - np.column_stack([x, y])).max() < 1e-10


def test_round_trip_returns_the_same_pixel(georef: BaseGeoReference) -> None:
    largest = np.abs(georef.lonlat_to_pixel(georef.pixel_to_lonlat(INSIDE)) - INSIDE).max()
    print(f"RPCs: there and back within {largest:.1e} px")
    assert largest < 0.01


def test_the_resolution_is_measured_on_the_ground(tmp_path: Path, georef: BaseGeoReference) -> None:
    ends = georef.pixel_to_lonlat(np.array([[29.5, 20], [30.5, 20], [30, 19.5], [30, 20.5]]))
    metres = Geod(ellps="WGS84").inv(*ends[::2].T, *ends[1::2].T)[2]
    assert read_header(write(tmp_path / "scene.tif"), height_m=GROUND_M).resolution_m == pytest.approx(tuple(metres))


def test_the_height_moves_the_ground(tmp_path: Path, georef: BaseGeoReference) -> None:
    sea = read_header(write(tmp_path / "scene.tif"), height_m=0.0)
    assert sea.georef is not None
    assert np.abs(sea.georef.lonlat_to_pixel(georef.pixel_to_lonlat(INSIDE)) - INSIDE).max() > 5


def test_a_missing_height_is_an_error_with_remedy(tmp_path: Path) -> None:
    uri = write(tmp_path / "scene.tif")
    with pytest.raises(
        GeoreferenceError, match=r"scene\.tif: expected the height .* got none: set rpc_height_m in the config"
    ):
        read_header(uri)
    with pytest.raises(GeoreferenceError, match=r"scene\.tif: expected a height in metres .* got nan"):
        read_header(uri, height_m=float("nan"))


def test_an_affine_takes_precedence_over_rpcs(tmp_path: Path) -> None:
    placed = write_tiff(tmp_path / "placed.tif", noise(WIDTH, HEIGHT), rpcs=RPCS)
    assert read_header(placed, height_m=GROUND_M).georef == read_header(placed).georef


def test_distant_points_are_outside_the_scene(georef: BaseGeoReference) -> None:
    far = georef.lonlat_to_pixel(np.array([[11.6, 48.1], [100, -20], [-171, 45], [np.nan, 3]]))
    assert not ((far > 0) & (far < [WIDTH, HEIGHT])).all(axis=1).any()


def test_pickling(georef: BaseGeoReference) -> None:
    again = pickle.loads(pickle.dumps(georef))  # noqa: S301
    assert again == georef
    assert (again.pixel_to_lonlat(INSIDE) == georef.pixel_to_lonlat(INSIDE)).all()


def test_rpcs_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    moved = RPC.from_gdal({**RPCS.to_gdal(), "LAT_OFF": "48.2"})
    uris = [write(tmp_path / "a.tif"), write(tmp_path / "b.tif", moved)]
    with rasterio.open(uris[0]) as dataset:
        assert dataset.rpcs is not None
    assert Path(uris[0]).stat().st_size == Path(uris[1]).stat().st_size
    assert len({read_header(uri, height_m=GROUND_M).scene_id for uri in uris}) == 2
