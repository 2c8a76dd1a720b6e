"""VRT mosaics: pixels, nodata, and files that do not match."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geo.errors import RasterError
from geo.grid import Level, Tile
from geo.raster.header import SceneHeader, read_header
from geo.raster.reader import RasterReader
from geo.raster.vrt import mosaic_vrt
from geo.types import ImageArray, Window
from tests.geo.scenes import AFFINE, noise, write_tiff

WIDTH, HEIGHT = 200, 150
WHOLE: ImageArray = np.maximum(noise(WIDTH, HEIGHT), 1)


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
    full = part(tmp_path / "whole.tif", Window(0, 0, WIDTH, HEIGHT)).georef
    assert georef is not None
    assert full is not None
    xy = np.array([[0.0, 0], [WIDTH, HEIGHT], [31.5, 99]])
    np.testing.assert_array_equal(georef.pixel_to_lonlat(xy), full.pixel_to_lonlat(xy))


def test_gaps_are_nodata(tmp_path: Path) -> None:
    headers = [part(tmp_path / "a.tif", Window(0, 0, 80, 60)), part(tmp_path / "b.tif", Window(120, 50, 80, 100))]
    pixels, valid = read_mosaic(tmp_path, headers)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:60, :80] = expected[50:, 120:] = 1
    assert (valid == expected).all()
    assert (pixels == WHOLE * expected[..., None]).all()


def test_nodata_is_filled_from_overlapping_files(tmp_path: Path) -> None:
    holed = WHOLE.copy()
    holed[20:70, 90:110] = 0
    first = part(tmp_path / "a.tif", Window(0, 0, 110, HEIGHT))
    second = part(tmp_path / "b.tif", Window(80, 0, 120, HEIGHT), holed, nodata=0)
    for ordered in ([first, second], [second, first]):
        pixels, valid = read_mosaic(tmp_path, ordered)
        assert (pixels == WHOLE).all()
        assert valid.all()


def test_16_bit_values_and_requested_bands_are_kept(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT, bands=5).astype(np.uint16) * 100
    uris = []
    for name, window in (("a.tif", Window(0, 0, 90, HEIGHT)), ("b.tif", Window(90, 0, 110, HEIGHT))):
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
    first = part(tmp_path / "a.tif", Window(0, 0, 80, HEIGHT))
    second = part(tmp_path / "b.tif", Window(80, 0, 120, HEIGHT), **change)  # type: ignore[arg-type]
    with pytest.raises(RasterError, match=rf"b\.tif: .*{message}"):
        mosaic_vrt([first, second])
