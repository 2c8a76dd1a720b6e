"""The same image in every format: equal georeference, equal pixels, no sidecar files written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pyproj import CRS, Transformer
from rasterio.shutil import copy

from geo.errors import GeoreferenceError
from geo.georef import GeoReference
from geo.grid import Level, Tiling, plan_tiles
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.raster.writer import mosaic_vrt
from geo.types import FloatArray, ImageArray, Window
from tests.geo.scenes import area_average, coordinates, write_tiff

WIDTH, HEIGHT = 701, 499  # odd, so that no overview is exactly half
PIXELS = coordinates(WIDTH, HEIGHT)
# Pixels of a metre whose middles lie on whole metres: what NITF can say exactly.
AFFINE = Affine(1, 0, 565_000.5, 0, -1, 5_930_000.5)
TILING = Tiling((1.0,), tile_px=256, halo_px=24, align_px=32)
FULL = Level(1.0, WIDTH, HEIGHT, 1.0, 1.0)
HALF = Level(2.0, 351, 250, WIDTH / 351, HEIGHT / 250)


def _tiff(**profile: Any) -> Callable[[Path], str]:
    return lambda folder: write_tiff(folder / "scene.tif", PIXELS, affine=AFFINE, **profile)


def _copied(name: str, driver: str, overviews: tuple[int, ...] = (), **options: Any) -> Callable[[Path], str]:
    """Write a copy with a GDAL driver, and delete the source, unless the copy is a VRT of it."""

    def write(folder: Path) -> str:
        source = write_tiff(folder / "source.tif", PIXELS, affine=AFFINE, overviews=overviews)
        copy(source, folder / name, driver=driver, **options)
        if driver != "VRT":
            Path(source).unlink()
        return str(folder / name)

    return write


def _external_overviews(folder: Path) -> str:
    with rasterio.Env(TIFF_USE_OVR=True):
        uri = write_tiff(folder / "scene.tif", PIXELS, affine=AFFINE, overviews=(2, 4))
    assert (folder / "scene.tif.ovr").exists()
    return uri


def _halves(folder: Path) -> str:
    """Two files of one delivery as a handwritten VRT."""
    cut = 300
    write_tiff(folder / "west.tif", PIXELS[:, :cut], affine=AFFINE)
    write_tiff(folder / "east.tif", PIXELS[:, cut:], affine=AFFINE @ Affine.translation(cut, 0))

    def source(band: int, name: str, start: int, columns: int) -> str:
        return (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="{columns}" ySize="{HEIGHT}"/>'
            f'<DstRect xOff="{start}" yOff="0" xSize="{columns}" ySize="{HEIGHT}"/></SimpleSource>'
        )

    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">{source(band, "west.tif", 0, cut)}'
        f"{source(band, 'east.tif', cut, WIDTH - cut)}</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    (folder / "scene.vrt").write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>{', '.join(str(number) for number in AFFINE.to_gdal())}</GeoTransform>{bands}</VRTDataset>"
    )
    return str(folder / "scene.vrt")


def _picture(name: str, beside: Callable[[Path], None], **options: Any) -> Callable[[Path], str]:
    """An image written by a library without georeferences, with a world file and a .prj file."""

    def write(folder: Path) -> str:
        Image.fromarray(PIXELS).save(folder / name, **options)
        beside(folder / name)
        return str(folder / name)

    return write


def _world_file(path: Path) -> None:
    """A handwritten world file: the pixel sizes, then the centre of the first pixel."""
    suffix = {".png": ".pgw", ".jpg": ".jgw", ".tif": ".tfw"}[path.suffix]
    x, y = AFFINE * (0.5, 0.5)
    lines = [AFFINE.a, AFFINE.d, AFFINE.b, AFFINE.e, x, y]
    path.with_suffix(suffix).write_text("\n".join(f"{line:.6f}" for line in lines))


def _world_and_prj(path: Path) -> None:
    _world_file(path)
    path.with_suffix(".prj").write_text(CRS(32632).to_wkt("WKT1_ESRI"))


def _world_and_aux(path: Path) -> None:
    _world_file(path)
    _aux(path, f"<SRS>{CRS(32632).to_wkt('WKT1_GDAL')}</SRS>")


def _aux_alone(path: Path) -> None:
    transform = ", ".join(str(number) for number in AFFINE.to_gdal())
    _aux(path, f"<SRS>EPSG:32632</SRS><GeoTransform>{transform}</GeoTransform>")


def _aux(path: Path, content: str) -> None:
    path.with_name(f"{path.name}.aux.xml").write_text(f"<PAMDataset>{content}</PAMDataset>")


@dataclass(frozen=True)
class Format:
    """How a format is written, and its tolerances of grey values: maximum and mean, at full and at half size.

    And how far the half size may be shifted, scene pixels.
    """

    write: Callable[[Path], str]
    full: tuple[float, float] = (0, 0)
    half: tuple[float, float] = (1, 0.5)
    shift: float = 0.01


# Colours are stored at half the size: the edge in blue is off by much, the slopes of red and green are not.
JPEG: Any = {"full": (160, 1), "half": (80, 1), "shift": 0.1}
FORMATS = {
    "striped TIFF": Format(_tiff(tiled=False, blockxsize=None, blockysize=7)),
    "one strip": Format(_tiff(tiled=False, blockxsize=None, blockysize=HEIGHT, compress="deflate")),
    "tiled TIFF": Format(_tiff(compress="deflate", predictor=2)),
    "bands apart": Format(_tiff(interleave="band", compress="lzw")),
    "striped with overviews": Format(_tiff(tiled=False, blockxsize=None, blockysize=16, overviews=(2, 4))),
    "tiled with overviews": Format(_tiff(overviews=(2, 4), compress="zstd")),
    "external overviews": Format(_external_overviews),
    "BigTIFF": Format(_tiff(BIGTIFF="YES", overviews=(2,))),
    "big-endian TIFF": Format(_tiff(ENDIANNESS="BIG")),
    "TIFF of JPEG": Format(_tiff(compress="jpeg", photometric="ycbcr", blockxsize=64, blockysize=64), **JPEG),
    "TIFF, world file and .prj": Format(_picture("scene.tif", _world_and_prj)),
    "COG": Format(_copied("scene.tif", "COG", BLOCKSIZE=128, OVERVIEW_RESAMPLING="AVERAGE")),
    "JPEG 2000": Format(_copied("scene.jp2", "JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100")),
    "JPEG 2000 in tiles": Format(
        _copied("scene.jp2", "JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100", BLOCKXSIZE=256, BLOCKYSIZE=256),
        half=(60, 1),
        shift=0.2,  # the codec rounds colours in its coarser levels, by half a step of the slopes' two
    ),
    "NITF": Format(_copied("scene.ntf", "NITF")),
    "NITF in blocks": Format(_copied("scene.ntf", "NITF", BLOCKXSIZE=128, BLOCKYSIZE=128)),
    "NITF of JPEG 2000": Format(_copied("scene.ntf", "NITF", IC="C8", QUALITY="100"), full=(2, 0.2), half=(2, 0.5)),
    "VRT": Format(_copied("scene.vrt", "VRT", overviews=(2, 4))),
    "VRT of two halves": Format(_halves),
    "PNG, world file and .prj": Format(_picture("scene.png", _world_and_prj)),
    "PNG, world file and .aux.xml": Format(_picture("scene.png", _world_and_aux)),
    "PNG and .aux.xml": Format(_picture("scene.png", _aux_alone)),
    "JPEG, world file and .prj": Format(_picture("scene.jpg", _world_and_prj, quality=90), **JPEG),
    "JPEG, world file and .aux.xml": Format(_picture("scene.jpg", _world_and_aux, quality=90), **JPEG),
}
formats = pytest.mark.parametrize("case", FORMATS.values(), ids=FORMATS.keys())


@formats
def test_every_format_has_the_same_georeference(tmp_path: Path, case: Format) -> None:
    header = read_header(case.write(tmp_path))
    assert (header.width, header.height, header.bands, header.dtype) == (WIDTH, HEIGHT, 3, "uint8")
    assert isinstance(header.georef, GeoReference)
    assert header.georef.affine == AFFINE
    positions = np.array([[0.0, 0.0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT], [123.4, 321.0]])
    way = Transformer.from_crs("EPSG:32632", "OGC:CRS84", always_xy=True)
    lonlat = np.column_stack(way.transform(565_000.5 + positions[:, 0], 5_930_000.5 - positions[:, 1]))
    np.testing.assert_allclose(header.georef.pixel_to_lonlat(positions), lonlat, rtol=0, atol=1e-12)
    assert header.resolution_m == pytest.approx((1.0004, 1.0004), abs=1e-4)


@formats
@pytest.mark.parametrize("level", [FULL, HALF], ids=["full", "half"])
def test_every_format_has_the_same_pixels(tmp_path: Path, case: Format, level: Level) -> None:
    maximum, mean = case.full if level is FULL else case.half
    expected = PIXELS.astype(np.float64) if level is FULL else area_average(PIXELS, level.width, level.height)
    uri = case.write(tmp_path)
    with RasterReader(uri, read_header(uri).radiometry) as reader:
        level_pixels = reader.read_window(Window(0, 0, level.width, level.height), level)
        off = np.abs(level_pixels - expected)
        assert off.max() <= maximum
        assert off.mean() <= mean
        assert max(np.abs(_shift(level_pixels, expected))) < (case.shift if level is HALF else 0.02)
        for tile in plan_tiles(level, TILING):
            shown = tile.window.intersection(Window(0, 0, level.width, level.height))
            position = np.s_[shown.row : shown.bottom, shown.col : shown.right]
            image = reader.read_tile(tile)
            assert not image[shown.height :].any()
            assert not image[:, shown.width :].any()
            image = image[: shown.height, : shown.width]
            assert np.abs(image.astype(int) - level_pixels[position]).max() <= (0 if level is FULL else 1)


def _shift(image: ImageArray, expected: FloatArray) -> tuple[float, float]:
    """Estimate the image's shift along columns and rows, pixels, from the gradients of red and of green."""
    off = image - expected
    slopes = np.gradient(expected[..., 0], axis=1), np.gradient(expected[..., 1], axis=0)
    along_columns, along_rows = (float(np.mean(off[..., n] * np.sign(slope))) for n, slope in enumerate(slopes))
    return along_columns, along_rows


@formats
def test_reading_writes_no_sidecar_files(tmp_path: Path, case: Format) -> None:
    uri = case.write(tmp_path)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    header = read_header(uri)
    with RasterReader(uri) as reader:
        reader.read_overview(200)
    with RasterReader(uri, header.radiometry) as reader:
        for level in (FULL, HALF):
            for tile in plan_tiles(level, TILING):
                reader.read_tile(tile)
                reader.read_valid_mask(tile)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert after == before


def _square(folder: Path, name: str) -> str:
    """A bright square in the middle of an image of 512 pixels, as JPEG 2000, alone or inside another format."""
    pixels = np.full((512, 512, 3), 60, np.uint8)
    pixels[240:272, 240:272] = 220
    source = write_tiff(folder / "source.tif", pixels, affine=AFFINE)
    if name == "scene.ntf":
        copy(source, folder / name, driver="NITF", IC="C8", QUALITY="100")
        return str(folder / name)
    copy(source, folder / "scene.jp2", driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100", RESOLUTIONS=4)
    if name == "scene.vrt":
        copy(folder / "scene.jp2", folder / name, driver="VRT")
    if name == "mosaic.vrt":
        headers = [read_header(str(folder / "scene.jp2"))] * 2
        (folder / name).write_text(mosaic_vrt(headers), encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("name", ["scene.jp2", "scene.ntf", "scene.vrt", "mosaic.vrt"])
def test_levels_of_jpeg_2000_are_not_shifted_inside_another_format(tmp_path: Path, name: str) -> None:
    uri = _square(tmp_path, name)
    with RasterReader(uri, read_header(uri).radiometry) as reader:
        for scale in (1.0, 1.5, 1.7, 1.99, 2.0, 3.0, 3.5, 4.0, 6.0, 7.0, 8.0):
            side = round(512 / scale)
            level = Level(0.5, side, side, 512 / side, 512 / side)
            above = reader.read_window(Window(0, 0, side, side), level)[..., 0].astype(np.float64) - 60
            above[above < 8] = 0
            centres = (np.arange(side) + 0.5) * level.scale_x
            for axis in (0, 1):
                centre = (above.sum(axis=axis) * centres).sum() / above.sum()
                assert centre == pytest.approx(256, abs=0.12 * scale), (scale, axis)


def test_an_invalid_prj_file_is_named(tmp_path: Path) -> None:
    uri = FORMATS["PNG, world file and .prj"].write(tmp_path)
    (tmp_path / "scene.prj").write_text("UTM 32\n")
    with pytest.raises(
        GeoreferenceError, match=r"scene\.png: expected a CRS that PROJ knows, got .*: write the right one"
    ):
        read_header(uri)


def test_the_prj_file_is_part_of_the_scene_id(tmp_path: Path) -> None:
    uri = FORMATS["PNG, world file and .prj"].write(tmp_path)
    first = read_header(uri).scene_id
    (tmp_path / "scene.prj").rename(tmp_path / "scene.PRJ")
    assert read_header(uri).scene_id == first
    (tmp_path / "scene.PRJ").write_text(CRS(32631).to_wkt("WKT1_ESRI"))
    assert read_header(uri).scene_id != first
