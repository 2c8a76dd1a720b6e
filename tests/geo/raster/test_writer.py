"""VRT mosaics: pixels, nodata, and files that do not match."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.grid import Level, Tile
from geo.raster.header import SceneHeader, read_header
from geo.raster.reader import RasterReader
from geo.raster.writer import mosaic_vrt, write_scene
from geo.types import ImageArray, Window
from tests.geo.scenes import AFFINE, area_average, noise, write_tiff

GEOREF = GeoReference(AFFINE, CRS("EPSG:32632"))
WIDTH, HEIGHT = 1301, 700
MOSAIC_WIDTH, MOSAIC_HEIGHT = 200, 150
WHOLE: ImageArray = np.maximum(noise(MOSAIC_WIDTH, MOSAIC_HEIGHT), 1)


def blocks(pixels: ImageArray, side: int = 512) -> Iterator[tuple[Window, ImageArray]]:
    height, width = pixels.shape[:2]
    for row in range(0, height, side):
        for col in range(0, width, side):
            window = Window(col, row, min(side, width - col), min(side, height - row))
            yield window, pixels[row : window.bottom, col : window.right]


def test_pixels_are_written_unchanged_with_averaged_overviews(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT)
    path = tmp_path / "scene.tif"
    write_scene(path, WIDTH, HEIGHT, GEOREF, blocks(pixels))
    with rasterio.open(path) as dataset:
        assert (np.moveaxis(dataset.read(), 0, -1) == pixels).all()
        assert dataset.overviews(1) == [2, 4]
        assert dataset.profile["tiled"]
        assert dataset.block_shapes == [(512, 512)] * 3
        assert dataset.compression.value == "DEFLATE"
        assert not dataset.gcps[0]
    with rasterio.open(path, overview_level=0) as overview:
        small = np.moveaxis(overview.read(), 0, -1)
        assert max(overview.block_shapes[0]) <= 512
    off = np.abs(small - area_average(pixels, 651, 350))
    assert off.max() <= 1
    header = read_header(str(path))
    assert isinstance(header.georef, GeoReference)
    assert header.georef.affine == AFFINE
    assert header.georef.crs.to_epsg() == 32632
    assert [item.name for item in tmp_path.iterdir()] == ["scene.tif"]


def test_writing_is_deterministic_and_keeps_a_rotated_georeference(tmp_path: Path) -> None:
    pixels = noise(600, 300)
    turned = GeoReference(AFFINE @ Affine.rotation(20), CRS("EPSG:3857"))
    for name in ("a.tif", "b.tif"):
        write_scene(tmp_path / name, 600, 300, turned, blocks(pixels))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.transform.almost_equals(turned.affine)
        assert dataset.crs.to_epsg() == 3857


def test_a_small_scene_has_no_overviews(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.tif", 70, 60, GEOREF, blocks(noise(70, 60)))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.overviews(1) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_text("old")

    def failing() -> Iterator[tuple[Window, ImageArray]]:
        yield next(blocks(noise(WIDTH, HEIGHT)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_scene(path, WIDTH, HEIGHT, GEOREF, failing())
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["scene.tif"]


def test_an_unwritable_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "scene.tif"
    with pytest.raises(RasterError, match=r"missing/scene\.tif: expected a writable path .*, got .*: choose"):
        write_scene(path, 70, 60, GEOREF, blocks(noise(70, 60)))


@pytest.mark.parametrize("room", [500_000, 3_400_000])
def test_a_full_disk_leaves_no_file(tmp_path: Path, room: int) -> None:
    """The limit stops a write half way, or one at the end, when GDAL closes the file; in a subprocess."""
    program = f"""
import resource, signal
from pathlib import Path
from geo.raster.writer import write_scene
from tests.geo.scenes import noise
from tests.geo.raster.test_writer import GEOREF, HEIGHT, WIDTH, blocks
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    write_scene(Path({str(tmp_path / "scene.tif")!r}), WIDTH, HEIGHT, GEOREF, blocks(noise(WIDTH, HEIGHT)))
except OSError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"RasterError {tmp_path}/scene.tif: expected a writable path for a GeoTIFF, got ")
    assert list(tmp_path.iterdir()) == []


def part(path: Path, window: Window, pixels: ImageArray = WHOLE, off_px: float = 0.0, **profile: object) -> SceneHeader:
    """A file with a window of the scene."""
    cut = pixels[window.row : window.bottom, window.col : window.right]
    affine = AFFINE @ Affine.translation(window.col + off_px, window.row)
    return read_header(write_tiff(path, cut, **{"affine": affine, **profile}))


def read_mosaic(folder: Path, headers: list[SceneHeader], level: Level | None = None) -> tuple[ImageArray, ImageArray]:
    """The mosaic's pixels, and its valid mask."""
    path = folder / "mosaic.vrt"
    path.write_text(mosaic_vrt(headers), encoding="utf-8")
    header = read_header(str(path))
    level = level or Level(1.0, header.width, header.height, 1.0, 1.0)
    window = Window(0, 0, level.width, level.height)
    with RasterReader(header.uri, header.radiometry) as reader:
        valid = reader.read_valid_mask(Tile(level, window, window))
        assert valid is not None
        return reader.read_window(window, level), valid.astype(np.uint8)


def test_a_mosaic_of_parts_equals_the_scene(tmp_path: Path) -> None:
    windows = [Window(0, 0, 77, 60), Window(77, 0, 123, 60), Window(0, 60, 77, 90), Window(77, 60, 123, 90)]
    headers = [part(tmp_path / f"{number}.tif", window) for number, window in enumerate(windows)]
    for ordered in (headers, headers[::-1], headers[2:] + headers[:2]):
        pixels, valid = read_mosaic(tmp_path, ordered)
        assert (pixels == WHOLE).all()
        assert valid.all()
    georef = read_header(str(tmp_path / "mosaic.vrt")).georef
    full = part(tmp_path / "whole.tif", Window(0, 0, MOSAIC_WIDTH, MOSAIC_HEIGHT)).georef
    assert georef is not None
    assert full is not None
    xy = np.array([[0.0, 0], [MOSAIC_WIDTH, MOSAIC_HEIGHT], [31.5, 99]])
    np.testing.assert_array_equal(georef.pixel_to_lonlat(xy), full.pixel_to_lonlat(xy))


def test_gaps_are_nodata(tmp_path: Path) -> None:
    headers = [part(tmp_path / "a.tif", Window(0, 0, 80, 60)), part(tmp_path / "b.tif", Window(120, 50, 80, 100))]
    pixels, valid = read_mosaic(tmp_path, headers)
    expected = np.zeros((MOSAIC_HEIGHT, MOSAIC_WIDTH), np.uint8)
    expected[:60, :80] = expected[50:, 120:] = 1
    assert (valid == expected).all()
    assert (pixels == WHOLE * expected[..., None]).all()


def test_nodata_is_filled_from_overlapping_files(tmp_path: Path) -> None:
    holed = WHOLE.copy()
    holed[20:70, 90:110] = 0
    first = part(tmp_path / "a.tif", Window(0, 0, 110, MOSAIC_HEIGHT))
    second = part(tmp_path / "b.tif", Window(80, 0, 120, MOSAIC_HEIGHT), holed, nodata=0)
    for ordered in ([first, second], [second, first]):
        pixels, valid = read_mosaic(tmp_path, ordered)
        assert (pixels == WHOLE).all()
        assert valid.all()


def test_16_bit_values_and_requested_bands_are_kept(tmp_path: Path) -> None:
    pixels = noise(MOSAIC_WIDTH, MOSAIC_HEIGHT, bands=5).astype(np.uint16) * 100
    uris = []
    for name, window in (("a.tif", Window(0, 0, 90, MOSAIC_HEIGHT)), ("b.tif", Window(90, 0, 110, MOSAIC_HEIGHT))):
        cut = pixels[:, window.col : window.right]
        uris.append(write_tiff(tmp_path / name, cut, affine=AFFINE @ Affine.translation(window.col, 0)))
    (tmp_path / "m.vrt").write_text(mosaic_vrt([read_header(uri, bands=(5, 3, 2)) for uri in uris]), encoding="utf-8")
    with rasterio.open(tmp_path / "m.vrt") as dataset:
        assert (np.moveaxis(dataset.read(), 0, -1) == pixels).all()


MISMATCHES = {
    "a tenth of a pixel": ({"off_px": 0.1}, r"one grid of pixels as in .*a\.tif.*a grid that is 0\.10 px off"),
    "half a pixel": ({"off_px": 0.5}, r"one grid of pixels as in .*a\.tif.*a grid that is 0\.50 px off"),
    "another CRS": ({"crs": "EPSG:32633"}, r"expected the CRS .*32N.*got .*33N.*gdalwarp"),
    "other pixels": ({"pixels": WHOLE.astype(np.uint16)}, "expected 3 bands of uint8, .*got 3 bands of uint16"),
    "one band": ({"pixels": WHOLE[..., :1]}, "expected 3 bands of uint8, .*got 1 bands of uint8"),
}


@pytest.mark.parametrize(("change", "message"), MISMATCHES.values(), ids=MISMATCHES.keys())
def test_files_that_do_not_match_are_rejected(tmp_path: Path, change: dict[str, object], message: str) -> None:
    first = part(tmp_path / "a.tif", Window(0, 0, 80, MOSAIC_HEIGHT))
    second = part(tmp_path / "b.tif", Window(80, 0, 120, MOSAIC_HEIGHT), **change)  # type: ignore[arg-type]
    with pytest.raises(RasterError, match=rf"b\.tif: .*{message}"):
        mosaic_vrt([first, second])
