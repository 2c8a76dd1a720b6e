"""One rendered airport as people may bring it: other depths, bands, edges, maps, resolutions and files.

Each case writes the same ground in its own way, and says how well its airplanes must agree with those of the plain
scene: 8 bits, red, green and blue, north up, UTM. `tests/integration/test_imagery.py` holds every case to that, and
`tests/benchmarks/imagery.py` prints the table of `docs/results.md`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.rpc import RPC
from rasterio.warp import calculate_default_transform, reproject

from geo.raster.header import read_header
from geo.raster.vrt import mosaic_vrt
from geo.types import FloatArray, ImageArray
from model import synthetic as render
from model.inference.predictor import Predictor
from pipeline import local, planning
from pipeline.config import PipelineConfig
from pipeline.ledger import SceneResult
from pipeline.records import Airplane
from pipeline.values import Identity, Scene, SceneSource

SIZE, SEED, RESOLUTION = 1300, 5, 0.5
GEOD = Geod(ellps="WGS84")
Pixels = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Plain:
    """The scene that all others are made of: its pixels (H, W, 3), affine and CRS."""

    pixels: ImageArray
    affine: Affine
    crs: str


@dataclasses.dataclass(frozen=True)
class Made:
    """A scene as written: the file, where its pixels lie by an independent way, and settings that it needs."""

    path: Path
    lonlat: Callable[[FloatArray], FloatArray]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to bring the scene.

    Attributes:
        name: of the case.
        write: writes it into a folder.
        score: by how much the scores of the airplanes may differ.
        metres: how far their centres may lie from each other.
        lost: how many of the plain scene's airplanes may be missing, and how many others there may be.
    """

    name: str
    write: Callable[[Path, Plain], Made]
    score: float = 0.05
    metres: float = 0.3
    lost: int = 0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How a case's airplanes agree with the plain scene's."""

    found: int
    matched: int
    score: float
    metres: float
    placed_m: float
    round_trip_px: float


def plain() -> Plain:
    scene = render.render(SIZE, SEED, RESOLUTION)
    pixels = np.concatenate([block for _, block in render.paint_blocks(scene)], axis=1)
    georef = scene.georef
    return Plain(pixels, georef.affine, georef.crs.to_string())


def write(path: Path, pixels: Pixels, affine: Affine | None, crs: str | None, **profile: Any) -> Path:
    """Writes (H, W, B) as GeoTIFF."""
    height, width, bands = pixels.shape
    layout = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": pixels.dtype.name}
    packing = {"compress": "deflate", "tiled": True, "blockxsize": 256, "blockysize": 256, **profile}
    with rasterio.open(path, "w", **layout, **packing, crs=crs, transform=affine) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    return path


def by_affine(affine: Affine, crs: str) -> Callable[[FloatArray], FloatArray]:
    to_lonlat = Transformer.from_crs(CRS(crs).to_2d(), "OGC:CRS84", always_xy=True)
    return lambda xy: np.array([to_lonlat.transform(*(affine @ (x, y))) for x, y in xy.tolist()])


def as_is(change: Callable[[ImageArray], Pixels], **profile: Any) -> Callable[[Path, Plain], Made]:
    """The plain scene's grid with other pixels."""

    def made(folder: Path, base: Plain) -> Made:
        path = write(folder / "scene.tif", change(base.pixels), base.affine, base.crs, **profile)
        return Made(path, by_affine(base.affine, base.crs))

    return made


def scaled(kind: str, gain: float, offset: float = 0.0) -> Callable[[Path, Plain], Made]:
    return as_is(lambda pixels: (pixels * np.float64(gain) + offset).round(6 if kind == "float32" else 0).astype(kind))


def placed(swap: Affine, turn: Callable[[ImageArray], ImageArray]) -> Callable[[Path, Plain], Made]:
    """The same ground on a grid whose pixels are the plain ones in another order; `swap` leads back to that."""

    def made(folder: Path, base: Plain) -> Made:
        affine = base.affine @ swap
        path = write(folder / "scene.tif", np.ascontiguousarray(turn(base.pixels)), affine, base.crs)
        return Made(path, by_affine(affine, base.crs))

    return made


def warped(crs: str, affine: Affine, size: tuple[int, int], folder: Path, base: Plain, **profile: Any) -> Made:
    """The same ground on another grid, resampled."""
    pixels = np.zeros((3, size[1], size[0]), np.uint8)
    grid = {"src_transform": base.affine, "src_crs": base.crs, "dst_transform": affine, "dst_crs": crs}
    reproject(np.moveaxis(base.pixels, -1, 0), pixels, **grid, resampling=Resampling.cubic)
    path = write(folder / "scene.tif", np.moveaxis(pixels, 0, -1), affine, crs, **profile)
    return Made(path, by_affine(affine, crs))


def on_map(crs: str) -> Callable[[Path, Plain], Made]:
    def made(folder: Path, base: Plain) -> Made:
        bounds = rasterio.transform.array_bounds(SIZE, SIZE, base.affine)
        affine, width, height = calculate_default_transform(base.crs, crs, SIZE, SIZE, *bounds)
        return warped(crs, affine, (width, height), folder, base)

    return made


def on_grid(shape: Affine, size: tuple[int, int]) -> Callable[[Path, Plain], Made]:
    """A grid around the scene's middle; `shape` in metres from there, y up."""

    def made(folder: Path, base: Plain) -> Made:
        middle = base.affine @ (SIZE / 2, SIZE / 2)
        affine = Affine.translation(*middle) @ shape @ Affine.translation(-size[0] / 2, -size[1] / 2)
        return warped(base.crs, affine, size, folder, base)

    return made


def at_resolution(metres: float) -> Callable[[Path, Plain], Made]:
    def made(folder: Path, base: Plain) -> Made:
        side = round(SIZE * RESOLUTION / metres)
        affine = base.affine @ Affine.scale(SIZE / side)
        pixels = np.zeros((3, side, side), np.uint8)
        grid = {"src_transform": base.affine, "dst_transform": affine, "src_crs": base.crs, "dst_crs": base.crs}
        resampling = Resampling.average if metres > RESOLUTION else Resampling.cubic
        reproject(np.moveaxis(base.pixels, -1, 0), pixels, **grid, resampling=resampling)
        path = write(folder / "scene.tif", np.moveaxis(pixels, 0, -1), affine, base.crs)
        return Made(path, by_affine(affine, base.crs))

    return made


def with_bands(order: tuple[int, ...], told: bool) -> Callable[[Path, Plain], Made]:
    """Eight bands of which three are colours, in this order; the file tells, or the settings."""

    def made(folder: Path, base: Plain) -> Made:
        noise = np.random.default_rng(1).integers(1, 255, (SIZE, SIZE, 8), dtype=np.uint8)
        for colour, band in enumerate(order):
            noise[..., band - 1] = base.pixels[..., colour]
        path = write(folder / "scene.tif", noise, base.affine, base.crs)
        if told:
            return Made(path, by_affine(base.affine, base.crs), {"bands": order})
        with rasterio.open(path, "r+") as dataset:
            colours = dict(zip(order, (ColorInterp.red, ColorInterp.green, ColorInterp.blue), strict=True))
            dataset.colorinterp = [colours.get(band, ColorInterp.undefined) for band in range(1, 9)]
        return Made(path, by_affine(base.affine, base.crs))

    return made


def grey(pixels: ImageArray) -> Pixels:
    return np.asarray((pixels @ np.array([0.3, 0.59, 0.11]))[..., None].round(), dtype=np.uint8)


def copied(name: str, driver: str, **options: Any) -> Callable[[Path, Plain], Made]:
    """The plain scene in another format."""

    def made(folder: Path, base: Plain) -> Made:
        source = write(folder / "plain.tif", base.pixels, base.affine, base.crs)
        rasterio.shutil.copy(source, folder / name, driver=driver, **options)
        return Made(folder / name, by_affine(base.affine, base.crs))

    return made


def turned_in_a_frame(mark: str) -> Callable[[Path, Plain], Made]:
    """The scene turned by 20 degrees in a larger, north-up frame; what lies around it is missing, or just black."""

    def made(folder: Path, base: Plain) -> Made:
        side = math.ceil(SIZE * (math.cos(math.radians(20)) + math.sin(math.radians(20)))) + 60
        frame = base.affine @ Affine.translation(SIZE / 2, SIZE / 2) @ Affine.rotation(20)
        affine = frame @ Affine.translation(-side / 2, -side / 2)
        made = warped(base.crs, affine, (side, side), folder, base)
        if mark != "black":
            _mark(made.path, mark, base, affine, side)
        return made

    return made


def _mark(path: Path, mark: str, base: Plain, affine: Affine, side: int) -> None:
    inside = np.zeros((side, side), np.uint8)
    grid = {"src_transform": base.affine, "dst_transform": affine, "src_crs": base.crs, "dst_crs": base.crs}
    reproject(np.full((SIZE, SIZE), 255, np.uint8), inside, **grid, resampling=Resampling.nearest)
    with rasterio.open(path) as dataset:
        pixels, crs = dataset.read(), dataset.crs
    if mark == "alpha":
        whole = np.moveaxis(np.concatenate([pixels, inside[None]]), 0, -1)
        write(path, whole, affine, crs, photometric="RGB", alpha="yes")
    elif mark == "nodata":
        pixels = np.where(inside > 0, np.maximum(pixels, 1), 0)
        write(path, np.moveaxis(pixels, 0, -1), affine, crs, nodata=0)
    elif mark == "NaN":
        values = np.where(inside > 0, pixels.astype(np.float32), np.nan)
        write(path, np.moveaxis(values, 0, -1), affine, crs)
    else:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(inside)


def four_files(folder: Path, base: Plain) -> Made:
    """What `--mosaic` makes of files that lie side by side; their seams run through airplanes."""
    headers = []
    for row, col in ((0, 0), (0, 611), (555, 0), (555, 611)):
        pixels = base.pixels[row : SIZE if row else 555, col : SIZE if col else 611]
        path = write(folder / f"{row}-{col}.tif", pixels, base.affine @ Affine.translation(col, row), base.crs)
        headers.append(read_header(str(path)))
    (folder / "scene.vrt").write_text(mosaic_vrt(headers), encoding="utf-8")
    return Made(folder / "scene.vrt", by_affine(base.affine, base.crs))


def by_control_points(*lines: float) -> Callable[[Path, Plain], Made]:
    """No affine, but points where these lines across and down the scene (shares of its side) cross."""

    def made(folder: Path, base: Plain) -> Made:
        path = write(folder / "scene.tif", base.pixels, None, None)
        places = [(x * SIZE, y * SIZE) for x in lines for y in lines]
        points = [GroundControlPoint(y, x, *(base.affine @ (x, y))) for x, y in places]
        with rasterio.open(path, "r+") as dataset:
            dataset.gcps = (points, rasterio.crs.CRS.from_string(base.crs))
        return Made(path, by_affine(base.affine, base.crs))

    return made


def by_rpcs(folder: Path, base: Plain) -> Made:
    """No affine, but RPCs that are fitted to it; they count from the middle of the first pixel."""
    lonlat = by_affine(base.affine, base.crs)
    side = np.linspace(0, SIZE, 9)
    xy = np.array([(x, y) for x in side for y in side])
    places = lonlat(xy)
    middle, half = places.mean(axis=0), np.ptp(places, axis=0) / 2
    lon, lat = ((places - middle) / half).T
    # The terms of a numerator in their order: 1, longitude, latitude, height, ... ; the ground is flat at height 0.
    terms = {0: np.ones_like(lon), 1: lon, 2: lat, 4: lon * lat, 7: lon**2, 8: lat**2}
    terms |= {11: lon**3, 12: lon * lat**2, 14: lon**2 * lat, 15: lat**3}
    numerators = []
    for values in ((xy - 0.5 - SIZE / 2) / (SIZE / 2)).T:
        fitted = np.linalg.lstsq(np.column_stack(list(terms.values())), values, rcond=None)[0]
        numerators.append([dict(zip(terms, fitted.tolist(), strict=True)).get(place, 0.0) for place in range(20)])
    one = [1.0] + [0.0] * 19
    scale = {"line_off": SIZE / 2, "samp_off": SIZE / 2, "line_scale": SIZE / 2, "samp_scale": SIZE / 2}
    ground = {"long_off": middle[0], "lat_off": middle[1], "long_scale": half[0], "lat_scale": half[1]}
    ratios = {"samp_num_coeff": numerators[0], "line_num_coeff": numerators[1], "samp_den_coeff": one}
    rpcs = RPC(**ratios, line_den_coeff=one, **scale, **ground, height_off=0.0, height_scale=500.0)
    path = write(folder / "scene.tif", base.pixels, None, None, rpcs=rpcs)
    return Made(path, lonlat, {"rpc_height_m": 0.0})


def identity(pixels: ImageArray) -> ImageArray:
    return pixels


def is_point(folder: Path, base: Plain) -> Made:
    """The transform names centres of pixels, and the file says so."""
    path = write(folder / "scene.tif", base.pixels, base.affine, base.crs)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    return Made(path, by_affine(base.affine, base.crs))


# Scores and boxes of resampled pixels are a little different. The upright box around a turned airplane has its middle
# elsewhere on the airplane.
RESAMPLED: dict[str, Any] = {"score": 0.3, "metres": 1.5, "lost": 1}
TURNED: dict[str, Any] = {"score": 0.3, "metres": 4.5, "lost": 1}
# A mirrored airplane is another picture: a level may have a say in the one's box and none in the other's.
MIRRORED: dict[str, Any] = RESAMPLED | {"metres": 2.2}
CASES = (
    Case("8 bits, north up, UTM", as_is(identity)),
    Case("11 bits in uint16", scaled("uint16", 2047 / 255)),
    Case("12 bits in uint16", scaled("uint16", 4095 / 255)),
    Case("16 bits", scaled("uint16", 257)),
    Case("int16", scaled("int16", 16)),
    Case("float32 from 0 to 1", scaled("float32", 1 / 255)),
    Case("11 bits, a third of their range", scaled("uint16", 2.7, 210), **RESAMPLED),
    Case("8 bands, colours told by the file", with_bands((5, 3, 2), told=False)),
    Case("8 bands, bands: [5, 3, 2]", with_bands((5, 3, 2), told=True)),
    Case("one band", as_is(grey), **RESAMPLED),
    Case("nodata around", turned_in_a_frame("nodata"), **TURNED),
    Case("alpha around", turned_in_a_frame("alpha"), **TURNED),
    Case("mask around", turned_in_a_frame("mask"), **TURNED),
    Case("NaN around", turned_in_a_frame("NaN"), **TURNED),
    Case("black around", turned_in_a_frame("black"), **TURNED),
    Case("south up", placed(Affine(1, 0, 0, 0, -1, SIZE), lambda pixels: pixels[::-1]), **MIRRORED),
    Case("turned by 90 degrees", placed(Affine(0, 1, 0, 1, 0, 0), lambda pixels: pixels.swapaxes(0, 1)), **RESAMPLED),
    Case("turned by 33 degrees", on_grid(Affine.rotation(33) @ Affine.scale(0.5, -0.5), (1830, 1830)), **TURNED),
    Case("sheared", on_grid(Affine.shear(8, 0) @ Affine.scale(0.5, -0.5), (1500, 1300)), **RESAMPLED),
    Case("pixels of 0.4 by 0.6 m", on_grid(Affine.scale(0.4, -0.6), (1625, 1084)), **RESAMPLED),
    Case("PixelIsPoint", is_point),
    Case("25 ground control points, thin plate", by_control_points(0, 0.2, 0.5, 0.7, 1)),
    Case("4 ground control points, polynomial", by_control_points(0, 1)),
    Case("RPCs, rpc_height_m: 0", by_rpcs),
    Case("degrees (EPSG:4326)", on_map("EPSG:4326"), **RESAMPLED),
    Case("Web Mercator", on_map("EPSG:3857"), **RESAMPLED),
    Case("polar stereographic", on_map("EPSG:3995"), **TURNED),
    Case("0.15 m", at_resolution(0.15), **RESAMPLED),
    Case("0.3 m", at_resolution(0.3), **RESAMPLED),
    Case("1 m", at_resolution(1.0), **RESAMPLED),
    Case("3 m", at_resolution(3.0), score=1.0, metres=4.5, lost=28),
    Case("COG", copied("scene.tif", "COG")),
    Case("JPEG 2000", copied("scene.jp2", "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")),
    Case("VRT", copied("scene.vrt", "VRT")),
    Case("four files, --mosaic", four_files),
)


def detect(
    path: str, config: PipelineConfig, predictor: Predictor, identity: Identity, settings: dict[str, Any]
) -> tuple[Scene, SceneResult]:
    config = dataclasses.replace(config, **settings)
    scene = planning.open_scene(SceneSource(path), config)
    return scene, local.detect_scene(scene, config, predictor, identity)


def agreement(found: tuple[Airplane, ...], expected: tuple[Airplane, ...], scene: Scene, made: Made) -> Agreement:
    """Pairs airplanes by place, the nearest first, at most 5 m apart; and holds the georeference to the other way."""
    far = np.array([[_metres(one, other) for other in expected] for one in found]).reshape(len(found), len(expected))
    scores, metres = [0.0], [0.0]
    while far.size and far.min() < 5:
        at, other = np.unravel_index(far.argmin(), far.shape)
        metres.append(float(far[at, other]))
        scores.append(abs(found[at].score - expected[other].score))
        far[at, :] = far[:, other] = np.inf
    width, height = scene.header.width, scene.header.height
    xy = np.array([[0.0, 0], [width, 0], [width, height], [0, height], [width * 0.3, height * 0.7]])
    lonlat, other_way = scene.georef.pixel_to_lonlat(xy), made.lonlat(xy)
    off = GEOD.inv(*lonlat.T, *other_way.T)[2]
    back = scene.georef.lonlat_to_pixel(lonlat, (width / 2, height / 2))
    return Agreement(
        len(found), len(metres) - 1, max(scores), max(metres), float(np.max(off)), float(np.abs(back - xy).max())
    )


def _metres(one: Airplane, other: Airplane) -> float:
    a, b = one.geometry.centroid, other.geometry.centroid
    return float(GEOD.inv(a.x, a.y, b.x, b.y)[2])
