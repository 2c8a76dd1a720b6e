"""Planning and cutting of training tiles: as many that show an airplane as show none.

Positions are planned from boxes and image sizes alone, and drawn for each image from the seed and the image's name:
they depend neither on the order of the images nor on the worker. A tile has the image's own pixels.
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
from model.data.tfrecord import Tile
from model.detectors import INPUT_MULTIPLE

# Tiles without airplanes lie on a lattice, each position at most once: so no two of an image are almost the same.
_LATTICE_PX = 8
# Positions that are tried for each tile around an airplane: some show too little of it.
_TRIES = 50

Corners = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TileConfig:
    """Settings of the positions of tiles.

    Attributes:
        side_px: side of a tile, a multiple of 32.
        displacement_px: standard deviation of the offset between an airplane's centre and the centre of a tile around
            it, along each axis (normally distributed, as far as the tile stays in the image and shows the airplane).
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
        tiles_without: tiles that show no airplane; as many as with one where null.
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
    """The planned tiles of one image.

    Attributes:
        name: name of the image, with its set.
        set: that set.
        image: the annotated image.
        corners: (K, 2), x and y of each tile's upper left corner in the image; those with airplanes come first.
    """

    name: str
    set: str
    image: AnnotatedImage
    corners: Corners


@dataclass(frozen=True, slots=True)
class SetPlan:
    """The planned tiles of one data set.

    Attributes:
        images: every image of the set, by name, with its tiles; some may have none.
        with_asked, without_asked: tiles with and without airplanes that the settings ask for.
        with_planned, without_planned: how many there will be. There are fewer with an airplane that is smaller than
            6 px or too large for a tile, and fewer without where the images have no more room.
    """

    images: tuple[ImageTiles, ...]
    with_asked: int
    with_planned: int
    without_asked: int
    without_planned: int


def plan_tiles_of_set(
    images: Mapping[str, AnnotatedImage], set_config: SetConfig, config: TileConfig, seed: int
) -> SetPlan:
    """Plan the tiles of one set.

    Args:
        images: the images of the set, by name, in any order. Names must differ between sets, too.
        set_config: how many tiles.
        config: how they are placed.
        seed: seed of every draw.

    Returns:
        The plan: every airplane has equally many tiles; tiles without airplanes are spread uniformly over all positions
        of the set that show none.

    Raises:
        RasterError: an image cannot be read.
    """
    named = sorted(images.items())
    generators = [_generator(seed, name) for name, _ in named]
    sizes = [read_size(str(image.path)) for _, image in named]
    with_airplane = [
        _place_around_airplanes(image, size, set_config.tiles_per_airplane, config, generator)
        for (_, image), size, generator in zip(named, sizes, generators, strict=True)
    ]
    with_planned = sum(map(len, with_airplane))
    without_asked = with_planned if set_config.tiles_without is None else set_config.tiles_without
    room = [
        int(_empty_positions(image, size, config.side_px).sum()) for (_, image), size in zip(named, sizes, strict=True)
    ]
    counts = _distribute(without_asked, room)
    tiles = []
    for (name, image), size, generator, near, count in zip(
        named, sizes, generators, with_airplane, counts, strict=True
    ):
        away = _place_on_background(image, size, count, config, generator)
        tiles.append(ImageTiles(name, set_config.set, image, np.concatenate([near, away])))
    airplanes = sum(len(image.boxes) for image in images.values())
    return SetPlan(tuple(tiles), airplanes * set_config.tiles_per_airplane, with_planned, without_asked, sum(counts))


def cut_tiles(planned: ImageTiles, side_px: int) -> Iterator[Tile]:
    """Cut the tiles of one image, in the order of the plan.

    Raises:
        RasterError: the image cannot be read.
    """
    if not len(planned.corners):
        return
    image, pixels = planned.image, planned.image.pixels()
    for corner in planned.corners.astype(np.float64):
        crop = crops.cut_crop(pixels, image.boxes, corner, 1.0, side_px)
        ignored = np.concatenate([crop.ignored, *crops.boxes_in_crop(image.ignored, corner, 1.0, side_px)])
        yield Tile(f"{planned.name}@{corner[0]:.0f},{corner[1]:.0f}", Crop(crop.pixels, crop.boxes, ignored))


def assign_to_files(images: Sequence[ImageTiles], max_files: int) -> list[tuple[ImageTiles, ...]]:
    """Distribute images over files, in an order drawn by their names, so that sets are mixed.

    Args:
        images: those of all sets, in any order; images without tiles are left out.
        max_files: there are no more files than images with tiles either.
    """
    shuffled = sorted((image for image in images if len(image.corners)), key=lambda image: _digest(image.name))
    files = min(max_files, len(shuffled))
    return [tuple(shuffled[number::files]) for number in range(files)]


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest())


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, _digest(name)])


def _place_around_airplanes(
    image: AnnotatedImage, size: tuple[int, int], count: int, config: TileConfig, generator: np.random.Generator
) -> Corners:
    """Return corners (K, 2) of tiles that show each airplane `count` times, as far as a tile can show it."""
    corners: list[Corners] = [np.zeros((0, 2), np.int64)]
    for box in image.boxes:
        # Drawn together, although most are not needed: drawing one at a time would take long.
        candidates = _draw_corners(box, size, _TRIES * count, config, generator)
        accepted = (corner for corner in candidates if _is_visible(box, corner, config.side_px))
        corners += [corner[None] for corner in itertools.islice(accepted, count)]
    return np.concatenate(corners)


def _draw_corners(
    box: NDArray[np.float64], size: tuple[int, int], count: int, config: TileConfig, generator: np.random.Generator
) -> Corners:
    """Draw corners (count, 2) of tiles that meet a box, with centres normally distributed around its centre."""
    columns = []
    for length, low, high in zip(size, box[:2], box[2:], strict=True):
        first, end = _corner_range(length, config.side_px)
        # Only those that meet the box: hardly any would meet a small one at the image's edge.
        positions = np.arange(max(first, int(np.floor(low)) - config.side_px + 1), min(end, int(np.ceil(high))))
        squares = ((positions + config.side_px / 2 - (low + high) / 2) / config.displacement_px) ** 2
        weights = np.exp((squares.min() - squares) / 2)  # the nearest has 1, so that not all of them can vanish
        columns.append(generator.choice(positions, count, p=weights / weights.sum()))
    return np.stack(columns, axis=1)


def _is_visible(box: NDArray[np.float64], corner: Corners, side_px: int) -> bool:
    """Whether a tile shows enough of an airplane to learn from."""
    boxes, _ = crops.boxes_in_crop(box[None], corner.astype(np.float64), 1.0, side_px)
    return len(boxes) > 0


def _corner_range(length: int, side_px: int) -> tuple[int, int]:
    """Return the half-open range of tile corners in an image; of tiles around it, if it is smaller than a tile."""
    room = length - side_px
    return min(room, 0), max(room, 0) + 1


def _lattice(size: tuple[int, int], side_px: int) -> tuple[Corners, Corners]:
    """Return the corner positions (columns,) and (rows,) of tiles without airplanes."""
    columns, rows = (np.arange(*_corner_range(length, side_px), _LATTICE_PX) for length in size)
    return columns, rows


def _empty_positions(image: AnnotatedImage, size: tuple[int, int], side_px: int) -> NDArray[np.bool_]:
    """Return for each position of the lattice (rows, columns) whether a tile there shows no part of any box."""
    columns, rows = _lattice(size, side_px)
    empty = np.ones((len(rows), len(columns)), np.bool_)
    for xmin, ymin, xmax, ymax in np.concatenate([image.boxes, image.ignored]):
        across = (columns < xmax) & (columns + side_px > xmin)
        down = (rows < ymax) & (rows + side_px > ymin)
        empty[np.ix_(down, across)] = False
    return empty


def _place_on_background(
    image: AnnotatedImage, size: tuple[int, int], count: int, config: TileConfig, generator: np.random.Generator
) -> Corners:
    """Return distinct corners (count, 2) of tiles that show no airplane."""
    positions = np.argwhere(_empty_positions(image, size, config.side_px))
    columns, rows = _lattice(size, config.side_px)
    if not count:
        return np.zeros((0, 2), np.int64)
    down, across = positions[generator.choice(len(positions), count, replace=False)].T
    return np.stack([columns[across], rows[down]], axis=1)


def _distribute(count: int, room: Sequence[int]) -> list[int]:
    """Distribute a count in proportion to the room; less where the room does not suffice."""
    count = min(count, sum(room))
    # Rounded cumulative sums, not rounded shares: so the shares add up, and none exceeds its room.
    bounds = [count * done // max(sum(room), 1) for done in itertools.accumulate(room, initial=0)]
    return [after - before for before, after in itertools.pairwise(bounds)]
