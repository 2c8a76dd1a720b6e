"""The pixels of the page: an overview of each scene, and tiles of its own pixels around airplanes, within a budget.

Tiles lie on a grid over the scene's detail level: its own pixels, halved as often as they stay as fine as the finest
level that was inferred. All are read with the display stretch that the detector gets.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo.errors import FinderError, RasterError
from geo.grid import Level
from geo.raster.reader import RasterReader
from geo.types import ImageArray, Window
from pipeline.ledger import SceneEntry
from pipeline.records import Airplane

#: Longer side of an overview, pixels. With many scenes it shrinks, so that the page stays small.
MAX_OVERVIEW_PX = 1600
MIN_OVERVIEW_PX = 128
#: Pixels of all overviews of a page, millions.
OVERVIEWS_MPX = 16.0
#: Side of a tile, pixels of the detail level.
TILE_PX = 128
#: Where the budget allows, a tile's neighbours up to this many tiles away are on the page, too.
MARGIN_TILES = 2
#: How far around an airplane pixels are wanted, as a share of its longer side.
MARGIN = 0.25

_WEBP_QUALITY = 78
# First guess of the bytes of a tile, as text in the page; what is read first corrects it.
_TILE_BYTES = 4000
# An overview that cannot be read at once is read in so many parts along each axis.
_PARTS = 16

#: A tile: index of its scene, column and row in the grid of the scene.
TileKey = tuple[int, int, int]


def overview_px(scenes: int) -> int:
    """Return the longer side of each overview on a page of that many scenes, pixels."""
    side = math.isqrt(int(OVERVIEWS_MPX * 1e6 / max(scenes, 1)))
    return max(MIN_OVERVIEW_PX, min(MAX_OVERVIEW_PX, side))


def detail_level(entry: SceneEntry) -> Level:
    """Return the level that tiles are cut from.

    Args:
        entry: a scene with a size.
    """
    width, height = entry.width_px or 1, entry.height_px or 1
    halvings = 0
    if entry.levels and entry.resolution_m:
        ratio = entry.levels[0].resolution_m / math.sqrt(math.prod(entry.resolution_m))
        halvings = max(0, math.floor(math.log2(ratio) + 0.01))
    # Rounded up, like overviews.
    columns, rows = (-(-length // 2**halvings) for length in (width, height))
    return Level(math.nan, columns, rows, width / columns, height / rows)


def airplane_tiles(airplane: Airplane, level: Level) -> Iterator[tuple[int, int]]:
    """Yield column and row of the tiles that show an airplane with a margin around it."""
    margin = MARGIN * max(airplane.xmax_px - airplane.xmin_px, airplane.ymax_px - airplane.ymin_px)
    columns = _span(airplane.xmin_px - margin, airplane.xmax_px + margin, level.scale_x, level.width)
    rows = _span(airplane.ymin_px - margin, airplane.ymax_px + margin, level.scale_y, level.height)
    yield from itertools.product(columns, rows)


def _span(start: float, end: float, scale: float, length: int) -> range:
    """Return the tiles along one axis, from `start` to `end` in scene pixels, on a level of `length` pixels."""
    last = (length - 1) // TILE_PX
    first = math.floor(start / scale / TILE_PX)
    return range(max(0, min(first, last)), min(last, math.ceil(end / scale / TILE_PX) - 1) + 1)


def tiles_by_priority(airplanes: Iterable[tuple[int, Airplane]], levels: Mapping[int, Level]) -> Iterator[TileKey]:
    """Yield the tiles that a page should have, each once, the most important first.

    First those that show airplanes, by falling score; then their neighbours, as far as `MARGIN_TILES`.

    Args:
        airplanes: index of the scene, and the airplane.
        levels: the detail level of each scene that is to have tiles, by its index.
    """
    by_score = sorted(airplanes, key=lambda item: (-item[1].score, item[0], item[1].detection_id))
    shown = [(scene, plane) for scene, plane in by_score if scene in levels]
    ring = list(
        dict.fromkeys((scene, *tile) for scene, plane in shown for tile in airplane_tiles(plane, levels[scene]))
    )
    known = set(ring)
    yield from ring
    for _ in range(MARGIN_TILES):
        neighbours = (tile for scene, *position in ring for tile in _neighbours(scene, position, levels[scene]))
        ring = list(dict.fromkeys(tile for tile in neighbours if tile not in known))
        known.update(ring)
        yield from ring


def _neighbours(scene: int, position: Sequence[int], level: Level) -> Iterator[TileKey]:
    col, row = position
    columns, rows = (level.width - 1) // TILE_PX, (level.height - 1) // TILE_PX
    for x in range(max(0, col - 1), min(columns, col + 1) + 1):
        for y in range(max(0, row - 1), min(rows, row + 1) + 1):
            yield scene, x, y


def needs_tiles(entry: SceneEntry, max_px: int) -> bool:
    """Return whether tiles of a scene show more than its overview of `max_px` does."""
    level = detail_level(entry)
    return max(level.width, level.height) > max_px


def read_overview(entry: SceneEntry, max_px: int) -> tuple[str | None, str]:
    """Read the overview of a scene, as far as it can be read.

    Args:
        entry: a scene with a size.
        max_px: longer side, pixels.

    Returns:
        Base64 of a WebP image, or None if nothing could be read; and what could not be read, in one line, or "".
    """
    try:
        with _opened(entry) as reader:
            try:
                return _webp(reader.read_overview(max_px)), ""
            except RasterError as error:
                pixels = _read_parts(reader, max_px)
                if not pixels.any():
                    raise
                return _webp(pixels), f"Parts of the overview are black, since they cannot be read: {error}"
    except FinderError as error:
        return None, f"No overview: {error}"


def _read_parts(reader: RasterReader, max_px: int) -> NDArray[np.uint8]:
    """Read an overview in parts; those that cannot be read are black."""
    width, height = reader.size
    shrink = max(1.0, max(width, height) / max_px)
    columns, rows = (max(1, round(length / shrink)) for length in (width, height))
    level = Level(math.nan, columns, rows, width / columns, height / rows)
    image = np.zeros((rows, columns, 3), np.uint8)
    lefts, tops = (sorted({length * part // _PARTS for part in range(_PARTS + 1)}) for length in (columns, rows))
    for left, right in itertools.pairwise(lefts):
        for top, bottom in itertools.pairwise(tops):
            try:
                part = reader.read_window(Window(left, top, right - left, bottom - top), level)
            except RasterError:
                continue
            image[top:bottom, left:right] = part
    return image


def read_tiles(
    entries: Sequence[SceneEntry], tiles: Iterable[TileKey], levels: Mapping[int, Level], max_bytes: int
) -> dict[TileKey, str]:
    """Read tiles in the order of their priority, as many as fit.

    Args:
        entries: the scenes.
        tiles: the tiles, the most important first.
        levels: the detail level of each scene that has tiles, by its index.
        max_bytes: what they may take on the page, bytes.

    Returns:
        Base64 of a WebP image for each tile that fits and can be read, in the order of priority.
    """
    images: dict[TileKey, str] = {}
    remaining = iter(tiles)
    free, tile_bytes = max_bytes, float(_TILE_BYTES)
    while batch := list(itertools.islice(remaining, max(0, int(free / tile_bytes)))):
        read = _read_batch(entries, batch, levels)
        for key in batch:
            text = read.get(key)
            if text is None:
                continue
            if (free := free - _entry_bytes(text)) < 0:
                return images
            images[key] = text
        if images:
            tile_bytes = max(1.0, (max_bytes - free) / len(images))
    return images


def _entry_bytes(text: str) -> int:
    # With its position and punctuation.
    return len(text) + 16


def _read_batch(
    entries: Sequence[SceneEntry], batch: Iterable[TileKey], levels: Mapping[int, Level]
) -> dict[TileKey, str]:
    """Read tiles scene by scene, row by row; leaves out what cannot be read."""
    by_scene: dict[int, list[TileKey]] = defaultdict(list)
    for key in batch:
        by_scene[key[0]].append(key)
    images: dict[TileKey, str] = {}
    for scene, keys in by_scene.items():
        try:
            with _opened(entries[scene]) as reader:
                for key in sorted(keys, key=lambda key: (key[2], key[1])):
                    try:
                        images[key] = _webp(reader.read_window(_window(key, levels[scene]), levels[scene]))
                    except RasterError:
                        continue
        except FinderError:
            continue  # what came with the overview says why
    return images


def _window(key: TileKey, level: Level) -> Window:
    _, col, row = key
    window = Window(col * TILE_PX, row * TILE_PX, TILE_PX, TILE_PX)
    return window.intersection(Window(0, 0, level.width, level.height))


@contextlib.contextmanager
def _opened(entry: SceneEntry) -> Iterator[RasterReader]:
    """Open a scene with the radiometry that the detector got.

    Raises:
        RasterError: it cannot be read, or has been replaced since.
    """
    with RasterReader(entry.scene_uri, bands=entry.bands) as reader:
        stretch = reader.radiometry.stretch
        limits = (stretch.low, stretch.high) if stretch else None
        if reader.size != (entry.width_px, entry.height_px) or limits != entry.stretch:
            raise RasterError(
                f"{entry.scene_uri}: expected the scene that was processed, got one that was replaced since: "
                "run again for a report of the new one"
            )
        yield reader


def _webp(pixels: ImageArray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=_WEBP_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
