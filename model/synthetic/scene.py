"""Sample scenes: drawn from a seed, painted in blocks of any size, written with their ground truth."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS, Geod, Transformer

from geo.errors import ConfigError
from geo.georef import GeoReference
from geo.polygons import geojson_mapping, ground_polygon
from geo.raster.writer import write_scene
from geo.types import ImageArray, Window
from model.common.atomic import make_folder, write_atomically
from model.synthetic.aircraft import keypoints
from model.synthetic.airport import lay_out_airport
from model.synthetic.countryside import lay_out_countryside
from model.synthetic.paint import CELL_PX, OVERSAMPLING, Painting, make_grain, make_textures, paint_cell
from model.synthetic.style import pick, sample_style, stream
from model.synthetic.town import lay_out_town
from model.synthetic.world import Airplane, World

SIZE_PX = (64, 60_000)
RESOLUTION_M = (0.1, 3.0)
BLOCK_PX = 4 * CELL_PX
SCENES: dict[str, Callable[[World, int], None]] = {
    "airport": lay_out_airport,
    "countryside": lay_out_countryside,
    "town": lay_out_town,
}
_GEOD = Geod(ellps="WGS84")
# Plains around the world (longitude, latitude), and the maximum offset of a scene from them, degrees.
_REGIONS = (
    (11.6, 48.4),
    (-97.0, 32.9),
    (2.5, 49.0),
    (77.1, 28.6),
    (139.9, 36.1),
    (28.2, -26.1),
    (-46.5, -23.4),
    (144.8, -37.7),
)
_REGION_DEG = 0.4


@dataclass(frozen=True, slots=True)
class SampleScene:
    """A scene ready to be painted.

    Attributes:
        size_px: width and height, pixels.
        georef: georeference: a UTM zone, north up.
        airplanes: the airplanes in it, all completely inside.
        painting: the source of its pixels.
        resolution_m: metres per pixel.
    """

    size_px: int
    georef: GeoReference
    airplanes: tuple[Airplane, ...]
    painting: Painting
    resolution_m: float


def render(size_px: int, seed: int, resolution_m: float = 0.5, scene: str = "airport") -> SampleScene:
    """Lay out a scene. Equal arguments give the same scene, bit for bit.

    Args:
        size_px: width and height, pixels.
        seed: 0 or more; each seed gives another scene.
        resolution_m: metres per pixel.
        scene: one of SCENES; only "airport" contains airplanes.

    Raises:
        ConfigError: an argument is out of range.
    """
    _validate(size_px, seed, resolution_m, scene)
    extent = size_px * resolution_m
    world = World(extent, extent, sample_style(seed, _scene_centre(seed)[1]))
    SCENES[scene](world, seed)
    return finish(world, seed, resolution_m)


def finish(world: World, seed: int, resolution_m: float, noise_seed: int | None = None) -> SampleScene:
    """Return the scene of a world that is laid out.

    Args:
        world: its contents; a square.
        seed: of the ground's textures, and of where on the Earth the scene is.
        resolution_m: metres per pixel.
        noise_seed: of the sensor's noise; None: the same seed.
    """
    size_px = round(world.width_m / resolution_m)
    subsample = resolution_m / OVERSAMPLING
    noise_seed = seed if noise_seed is None else noise_seed
    painting = Painting(
        seed=noise_seed,
        style=world.style,
        textures=make_textures(seed),
        grain=make_grain(noise_seed),
        ground=world.ground.pack(subsample),
        stains=world.stains.pack(subsample),
        shadows=world.shadows.pack(subsample),
        objects=world.objects.pack(subsample),
    )
    georef = _georeference(*_scene_centre(seed), world.width_m, resolution_m)
    return SampleScene(size_px, georef, tuple(world.airplanes), painting, resolution_m)


def _validate(size_px: int, seed: int, resolution_m: float, scene: str) -> None:
    if not SIZE_PX[0] <= size_px <= SIZE_PX[1]:
        raise ConfigError(f"size: expected {SIZE_PX[0]} to {SIZE_PX[1]} pixels, got {size_px}: choose another")
    if not RESOLUTION_M[0] <= resolution_m <= RESOLUTION_M[1]:
        raise ConfigError(
            f"resolution: expected {RESOLUTION_M[0]} to {RESOLUTION_M[1]} metres, got {resolution_m}: choose another"
        )
    if scene not in SCENES:
        raise ConfigError(f"scene: expected one of {', '.join(SCENES)}, got {scene}: choose one of them")
    if seed < 0:
        raise ConfigError(f"seed: expected 0 or more, got {seed}: choose another")


def _scene_centre(seed: int) -> tuple[float, float]:
    rng = stream(seed, "region")
    lon, lat = pick(_REGIONS, rng)
    return lon + rng.uniform(-_REGION_DEG, _REGION_DEG), lat + rng.uniform(-_REGION_DEG, _REGION_DEG)


def _georeference(lon: float, lat: float, extent_m: float, resolution_m: float) -> GeoReference:
    """Return a north-up georeference in the UTM zone of a point, which lies within a metre of the scene's centre."""
    zone = math.floor((lon + 180) / 6) + 1
    crs = CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)
    easting, northing = Transformer.from_crs("OGC:CRS84", crs, always_xy=True).transform(lon, lat)
    left, top = round(easting - extent_m / 2), round(northing + extent_m / 2)
    return GeoReference(Affine(resolution_m, 0.0, left, 0.0, -resolution_m, top), crs)


def paint_window(scene: SampleScene, window: Window) -> ImageArray:
    """Paint any window of a scene.

    Args:
        scene: the scene.
        window: a pixel window inside the scene.

    Returns:
        uint8 (height, width, 3); a pixel's value does not depend on the window.
    """
    image = np.empty((window.height, window.width, 3), dtype=np.uint8)
    for row in range(window.row // CELL_PX, -(-window.bottom // CELL_PX)):
        for column in range(window.col // CELL_PX, -(-window.right // CELL_PX)):
            cell = Window(column * CELL_PX, row * CELL_PX, CELL_PX, CELL_PX)
            part = cell.intersection(window)
            painted = paint_cell(scene.painting, row, column)
            image[_slices_within(part, window)] = painted[_slices_within(part, cell)]
    return image


def _slices_within(part: Window, outer: Window) -> tuple[slice, slice]:
    row, col = part.row - outer.row, part.col - outer.col
    return slice(row, row + part.height), slice(col, col + part.width)


def paint_blocks(scene: SampleScene, block_px: int = BLOCK_PX) -> Iterator[tuple[Window, ImageArray]]:
    """Paint a scene block by block, row by row; with a multiple of 512 px no cell is painted twice."""
    extent = Window(0, 0, scene.size_px, scene.size_px)
    for row in range(0, scene.size_px, block_px):
        for col in range(0, scene.size_px, block_px):
            window = Window(col, row, block_px, block_px).intersection(extent)
            yield window, paint_window(scene, window)


def truth(scene: SampleScene) -> dict[str, Any]:
    """Return the airplanes as a GeoJSON FeatureCollection (RFC 7946).

    The geometry is the axis-aligned pixel box of the airplane, on the ground. Properties: `xmin_px`, `ymin_px`,
    `xmax_px`, `ymax_px` (the same box in pixels, corner origin, without the shadow), `type`, `length_m`, `wingspan_m`,
    `heading_deg`, of the nose, clockwise from true north, 0 <= heading < 360, and `nose_px`, `tail_px`, `left_px` and
    `right_px`, the ends of the fuselage and of the wings as the pilot sees them, x and y in pixels.
    """
    return {"type": "FeatureCollection", "features": [_feature(scene, airplane) for airplane in scene.airplanes]}


def _feature(scene: SampleScene, airplane: Airplane) -> dict[str, Any]:
    box = np.round(np.array(airplane.box) / scene.resolution_m, 2)
    names = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    ends = np.round(airplane.pose.points(keypoints(airplane.shape)) / scene.resolution_m, 2)
    return {
        "type": "Feature",
        "geometry": geojson_mapping(ground_polygon(box, scene.georef)),
        "properties": {
            **dict(zip(names, box.tolist(), strict=True)),
            "type": airplane.shape.kind,
            "length_m": airplane.shape.length,
            "wingspan_m": airplane.shape.span,
            "heading_deg": round(_true_heading(scene, airplane), 1) % 360,
            **dict(zip(("nose_px", "tail_px", "left_px", "right_px"), ends.tolist(), strict=True)),
        },
    }


def _true_heading(scene: SampleScene, airplane: Airplane) -> float:
    """Return the heading of the nose in degrees clockwise from true north (UTM grid north plus the convergence)."""
    ends = airplane.pose.points([(-5.0, 0.0), (5.0, 0.0)]) / scene.resolution_m
    (lon0, lat0), (lon1, lat1) = scene.georef.pixel_to_lonlat(ends)
    return float(_GEOD.inv(lon0, lat0, lon1, lat1)[0])


def write(scene: SampleScene, path: Path) -> Path:
    """Write a scene as a GeoTIFF and its truth next to it; return the path of the truth.

    Raises:
        OutputError, RasterError: a file cannot be written.
    """
    truth_path = path.with_suffix(".truth.geojson")
    make_folder(path.parent)
    write_atomically(truth_path, json.dumps(truth(scene)) + "\n")
    write_scene(path, scene.size_px, scene.size_px, scene.georef, paint_blocks(scene))
    return truth_path
