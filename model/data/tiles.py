"""Tiles of annotated photos, cut once to be trained on often: as many that show an airplane as show none.

Where tiles lie is planned from boxes and sizes alone, and drawn for each photo from the seed and the photo's name: it
hangs neither on the order of the photos nor on who draws them. A tile has the photo's own pixels.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo.raster.header import read_size
from model.data import crops
from model.data.crops import Crop
from model.data.labels import AnnotatedImage
from model.detectors import INPUT_MULTIPLE

# Tiles without an airplane lie on a lattice, each place at most once: so no two of a photo are almost the same.
_LATTICE_PX = 8
# Places that are tried for each tile around an airplane: some show too little of it.
_TRIES = 50

Corners = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TileConfig:
    """How tiles are placed.

    Attributes:
        side_px: side of a tile, a multiple of 32.
        displacement_px: standard deviation of the distance from an airplane's centre to the middle of a tile around
            it, along each axis (normally distributed, as far as the tile stays in the photo and shows the airplane).
    """

    side_px: int = 256
    displacement_px: float = 64.0

    def __post_init__(self) -> None:
        if self.side_px < 1 or self.side_px % INPUT_MULTIPLE:
            raise ValueError(f"side_px: expected a multiple of {INPUT_MULTIPLE}, got {self.side_px}")
        if not self.displacement_px > 0:
            raise ValueError(f"displacement_px: expected a number above 0, got {self.displacement_px}")


@dataclass(frozen=True, slots=True)
class SetConfig:
    """One data set, and how many tiles are cut from it.

    Attributes:
        set: the folder's name below `data`.
        tiles_per_airplane: tiles that are cut around each airplane, and show it.
        tiles_without: tiles that show no airplane; as many as there are with one where null.
    """

    set: str
    tiles_per_airplane: int = 1
    tiles_without: int | None = None

    def __post_init__(self) -> None:
        for name in ("tiles_per_airplane", "tiles_without"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name}: expected a whole number from 0 on, got {value}")


@dataclass(frozen=True, slots=True, eq=False)
class ImageTiles:
    """The tiles of one photo.

    Attributes:
        name: of the photo, with its set.
        set: that set.
        photo: the photo.
        corners: (K, 2), x and y of each tile's upper left corner in the photo; those with airplanes come first.
    """

    name: str
    set: str
    photo: AnnotatedImage
    corners: Corners


@dataclass(frozen=True, slots=True)
class SetPlan:
    """What is to be cut from one set.

    Attributes:
        photos: every photo of the set, by name, with its tiles; some may have none.
        with_asked, without_asked: tiles with and without airplanes that the settings ask for.
        with_planned, without_planned: how many there will be. There are fewer with an airplane where it has less than
            6 px or is too large for a tile, and fewer without where the photos have no more room.
    """

    photos: tuple[ImageTiles, ...]
    with_asked: int
    with_planned: int
    without_asked: int
    without_planned: int


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A tile: its name (the photo's, and its corner there), and what it shows."""

    name: str
    crop: Crop


def plan(photos: Mapping[str, AnnotatedImage], wanted: SetConfig, config: TileConfig, seed: int) -> SetPlan:
    """Places the tiles of one set.

    Args:
        photos: of the set, by name, in any order. Names are to differ between sets, too.
        wanted: how many tiles.
        config: how they are placed.
        seed: of every draw.

    Returns:
        The plan: airplanes have equally many tiles; those without an airplane are spread over all places of the set
        where there is none, every place equally likely.

    Raises:
        RasterError: a photo that cannot be read.
    """
    named = sorted(photos.items())
    generators = [_generator(seed, name) for name, _ in named]
    sizes = [read_size(str(photo.path)) for _, photo in named]
    around = [
        _around(photo, size, wanted.tiles_per_airplane, config, generator)
        for (_, photo), size, generator in zip(named, sizes, generators, strict=True)
    ]
    with_planned = sum(map(len, around))
    without_asked = with_planned if wanted.tiles_without is None else wanted.tiles_without
    room = [int(_free(photo, size, config.side_px).sum()) for (_, photo), size in zip(named, sizes, strict=True)]
    counts = _shared(without_asked, room)
    tiles = []
    for (name, photo), size, generator, near, count in zip(named, sizes, generators, around, counts, strict=True):
        away = _without(photo, size, count, config, generator)
        tiles.append(ImageTiles(name, wanted.set, photo, np.concatenate([near, away])))
    airplanes = sum(len(photo.boxes) for photo in photos.values())
    return SetPlan(tuple(tiles), airplanes * wanted.tiles_per_airplane, with_planned, without_asked, sum(counts))


def cut(planned: ImageTiles, side_px: int) -> Iterator[Tile]:
    """Cuts the tiles of one photo, in the order of the plan.

    Raises:
        RasterError: the photo cannot be read.
    """
    if not len(planned.corners):
        return
    photo, pixels = planned.photo, planned.photo.pixels()
    for corner in planned.corners.astype(np.float64):
        crop = crops.cut(pixels, photo.boxes, corner, 1.0, side_px)
        ignored = np.concatenate([crop.ignored, *crops.shown(photo.ignored, corner, 1.0, side_px)])
        yield Tile(f"{planned.name}@{corner[0]:.0f},{corner[1]:.0f}", Crop(crop.pixels, crop.boxes, ignored))


def dealt(photos: Sequence[ImageTiles], files: int) -> list[tuple[ImageTiles, ...]]:
    """Deals photos out to files, in an order drawn by their names, so that sets are mixed.

    Args:
        photos: of all sets, in any order; those without tiles are left out.
        files: how many at most; there are no more than photos with tiles.
    """
    drawn = sorted((photo for photo in photos if len(photo.corners)), key=lambda photo: _digest(photo.name))
    files = min(files, len(drawn))
    return [tuple(drawn[number::files]) for number in range(files)]


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest())


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, _digest(name)])


def _around(
    photo: AnnotatedImage, size: tuple[int, int], count: int, config: TileConfig, generator: np.random.Generator
) -> Corners:
    """Corners (K, 2) of tiles that show each airplane `count` times, as far as a tile can show it."""
    found: list[Corners] = [np.zeros((0, 2), np.int64)]
    for box in photo.boxes:
        # Drawn together, although most are not needed: one draw for each would take long.
        tried = _displaced(box, size, _TRIES * count, config, generator)
        good = (corner for corner in tried if _shows(box, corner, config.side_px))
        found += [corner[None] for corner in itertools.islice(good, count)]
    return np.concatenate(found)


def _displaced(
    box: NDArray[np.float64], size: tuple[int, int], count: int, config: TileConfig, generator: np.random.Generator
) -> Corners:
    """Corners (count, 2) of tiles that meet a box, with their middles normally distributed around its centre."""
    columns = []
    for length, low, high in zip(size, box[:2], box[2:], strict=True):
        first, end = _bounds(length, config.side_px)
        # Only those that meet the box: of a small one at the photo's edge, else hardly any would.
        places = np.arange(max(first, int(np.floor(low)) - config.side_px + 1), min(end, int(np.ceil(high))))
        squares = ((places + config.side_px / 2 - (low + high) / 2) / config.displacement_px) ** 2
        weights = np.exp((squares.min() - squares) / 2)  # the nearest has 1, so that not all of them can vanish
        columns.append(generator.choice(places, count, p=weights / weights.sum()))
    return np.stack(columns, axis=1)


def _shows(box: NDArray[np.float64], corner: Corners, side_px: int) -> bool:
    """Whether an airplane of which a tile shows this much is one to learn."""
    boxes, _ = crops.shown(box[None], corner.astype(np.float64), 1.0, side_px)
    return len(boxes) > 0


def _bounds(length: int, side_px: int) -> tuple[int, int]:
    """Half-open range of the corners of tiles in a photo; if it is smaller than a tile, of tiles around it."""
    room = length - side_px
    return min(room, 0), max(room, 0) + 1


def _lattice(size: tuple[int, int], side_px: int) -> tuple[Corners, Corners]:
    """Places (columns,) and (rows,) of corners of tiles without airplanes."""
    columns, rows = (np.arange(*_bounds(length, side_px), _LATTICE_PX) for length in size)
    return columns, rows


def _free(photo: AnnotatedImage, size: tuple[int, int], side_px: int) -> NDArray[np.bool_]:
    """Of every place of the lattice (rows, columns), whether a tile there shows nothing of any box."""
    columns, rows = _lattice(size, side_px)
    free = np.ones((len(rows), len(columns)), np.bool_)
    for xmin, ymin, xmax, ymax in np.concatenate([photo.boxes, photo.ignored]):
        across = (columns < xmax) & (columns + side_px > xmin)
        down = (rows < ymax) & (rows + side_px > ymin)
        free[np.ix_(down, across)] = False
    return free


def _without(
    photo: AnnotatedImage, size: tuple[int, int], count: int, config: TileConfig, generator: np.random.Generator
) -> Corners:
    """Corners (count, 2) of tiles that show no airplane, no two the same."""
    places = np.argwhere(_free(photo, size, config.side_px))
    columns, rows = _lattice(size, config.side_px)
    down, across = places[generator.choice(len(places), count, replace=False)].T if count else np.zeros((2, 0), int)
    return np.stack([columns[across], rows[down]], axis=1)


def _shared(count: int, room: Sequence[int]) -> list[int]:
    """Shares a count among those that have room, in proportion to it; less where all of it is not enough."""
    count = min(count, sum(room))
    # Rounded sums, not rounded shares: so the shares add up, and none is more than there is room.
    marks = [count * done // max(sum(room), 1) for done in itertools.accumulate(room, initial=0)]
    return [after - before for before, after in itertools.pairwise(marks)]
