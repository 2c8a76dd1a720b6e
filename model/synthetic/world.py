"""What a scene is painted from: flat polygons in paint order, found quickly by where they lie.

The sheet that the parts of a scene are drawn on, before anything is a pixel.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import constrained_delaunay_triangles
from shapely.geometry.base import BaseGeometry

from model.synthetic.aircraft import AircraftType
from model.synthetic.geometry import Place
from model.synthetic.style import Colour, Light, Palette, Style

WHITE_PAINT: Colour = (226, 226, 220)
YELLOW_PAINT: Colour = (206, 172, 78)


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A finished layer, on a grid of subsamples.

    Attributes:
        points: (M, 2) int32 corners of all rings, x and y in subsamples of the scene.
        starts: (K + 1,) int64: ring k is points[starts[k]:starts[k + 1]].
        values: (K, C) uint8, what ring k is filled with.
        bounds: (K, 4) int32 xmin, ymin, xmax, ymax of ring k, both ends included.
    """

    points: NDArray[np.int32]
    starts: NDArray[np.int64]
    values: NDArray[np.uint8]
    bounds: NDArray[np.int32]

    def touching(self, x0: int, y0: int, x1: int, y1: int) -> list[int]:
        """Return, in paint order, the rings whose bounds reach into a box of subsamples (half-open)."""
        low_x, low_y, high_x, high_y = self.bounds.T
        return np.flatnonzero((high_x >= x0) & (low_x < x1) & (high_y >= y0) & (low_y < y1)).tolist()


class Layer:
    """Collects rings; the ones of a higher level are painted later, and those of one level in the order they came."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._rings: list[NDArray[np.float64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.uint8]] = []
        self._levels: list[NDArray[np.int64]] = []

    def add(self, rings: ArrayLike, values: ArrayLike, level: int = 0) -> None:
        """Add one ring (N, 2) or K rings (K, N, 2) in scene metres.

        Args:
            rings: Corners in scene metres, x to the right, y down; the last corner is joined to the first.
            values: (C,) for all or (K, C): the fill, 0..255; what lies outside is clipped.
            level: Rings of a higher level are painted over those of a lower one.
        """
        ring = np.asarray(rings, dtype=np.float64)
        ring = ring[None] if ring.ndim == 2 else ring
        fill = np.clip(np.rint(np.asarray(values, dtype=np.float64)), 0, 255).astype(np.uint8)
        self._rings.append(ring.reshape(-1, 2))
        self._counts.append(np.full(len(ring), ring.shape[1], dtype=np.int64))
        self._values.append(np.broadcast_to(fill, (len(ring), self._channels)))
        self._levels.append(np.full(len(ring), level, dtype=np.int64))

    def pack(self, subsample_m: float) -> PackedLayer:
        """Put all rings on a grid of subsamples of the given size in metres."""
        if not self._rings:
            empty = np.zeros((0, 4), dtype=np.int32)
            return PackedLayer(empty[:, :2], np.zeros(1, np.int64), np.zeros((0, self._channels), np.uint8), empty)
        counts, levels = np.concatenate(self._counts), np.concatenate(self._levels)
        order = np.argsort(levels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)])
        begin = np.concatenate([[0], np.cumsum(counts[order])])
        members = np.repeat(starts[:-1][order] - begin[:-1], counts[order]) + np.arange(begin[-1])
        # The painter fills the subsamples whose index lies between the corners, both ends included: hence the half.
        points = np.rint(np.concatenate(self._rings) / subsample_m - 0.5).astype(np.int32)[members]
        low = np.minimum.reduceat(points, begin[:-1], axis=0)
        high = np.maximum.reduceat(points, begin[:-1], axis=0)
        return PackedLayer(points, begin, np.concatenate(self._values)[order], np.concatenate([low, high], axis=1))


class Material(IntEnum):
    """How uneven a piece of ground is; KEEP leaves what lies there (for paint on it)."""

    KEEP = 0
    GRASS = 1
    CONCRETE = 2
    ASPHALT = 3
    FIELD = 4
    SOIL = 5
    WATER = 6


class Tier(IntEnum):
    """Paint order of flat ground, lowest first."""

    LAND = 0
    TRACK = 1
    ROAD = 2
    SHOULDER = 3
    PAVEMENT = 4
    APRON = 5
    RUNWAY = 6
    SLAB = 7
    JOINT = 8
    MARKING = 9


class Level(IntEnum):
    """Paint order of what stands on the ground, lowest first."""

    VEHICLE = 0
    AIRPLANE = 1
    STRUCTURE = 2
    TREE = 3


@dataclass(frozen=True, slots=True)
class Airplane:
    """One airplane of the scene.

    Attributes:
        shape: Its type.
        place: The middle of its length, x axis towards the nose.
        box: xmin, ymin, xmax, ymax of what is seen of it, without its shadow; scene metres.
    """

    shape: AircraftType
    place: Place
    box: tuple[float, float, float, float]


@dataclass(slots=True)
class World:
    """Collects what stands where.

    Attributes:
        width_m: Scene metres to the right.
        height_m: Scene metres down.
        style: Light, colours, sensor.
        ground: Flat ground: red, green, blue, material.
        stains: Soft stains on it: red, green, blue, opacity; 128 grey changes nothing.
        shadows: Where no direct sun reaches the ground.
        objects: What stands on it: red, green, blue, opacity.
        airplanes: The truth.
        footprints: Outlines of airplanes and buildings, scene metres: no two airplanes share ground.
    """

    width_m: float
    height_m: float
    style: Style
    ground: Layer = field(default_factory=lambda: Layer(4))
    stains: Layer = field(default_factory=lambda: Layer(4))
    shadows: Layer = field(default_factory=lambda: Layer(1))
    objects: Layer = field(default_factory=lambda: Layer(4))
    airplanes: list[Airplane] = field(default_factory=list)
    footprints: list[BaseGeometry] = field(default_factory=list)

    @property
    def light(self) -> Light:
        """The scene's light."""
        return self.style.light

    @property
    def palette(self) -> Palette:
        """The scene's ground colours."""
        return self.style.palette

    def is_free(self, outline: BaseGeometry, clearance: float) -> bool:
        """Say whether an outline in scene metres keeps `clearance` metres from all airplanes and buildings so far."""
        x0, y0, x1, y1 = outline.bounds
        near = [
            other
            for other in self.footprints
            if other.bounds[0] < x1 + clearance
            and other.bounds[2] > x0 - clearance
            and other.bounds[1] < y1 + clearance
            and other.bounds[3] > y0 - clearance
        ]
        return all(other.distance(outline) >= clearance for other in near)

    def pave(
        self, place: Place, rings: ArrayLike, colours: ArrayLike, tier: Tier, material: Material = Material.KEEP
    ) -> None:
        """Paint flat ground: local rings (N, 2) or (K, N, 2) with a colour (3,) for all or (K, 3)."""
        colour = np.asarray(colours, dtype=np.float64)
        filled = np.concatenate([colour, np.full((*colour.shape[:-1], 1), int(material))], axis=-1)
        self.ground.add(place.points(rings), filled, int(tier))

    def pave_area(self, place: Place, area: BaseGeometry, colour: ArrayLike, tier: Tier, material: Material) -> None:
        """Paint flat ground: local polygons, which may have holes."""
        for polygon in getattr(area, "geoms", [area]):
            if polygon.interiors:  # the painter knows no holes
                pieces = constrained_delaunay_triangles(polygon).geoms
                self.pave(place, np.array([piece.exterior.coords[:3] for piece in pieces]), colour, tier, material)
            elif not polygon.is_empty:
                self.pave(place, np.array(polygon.exterior.coords[:-1]), colour, tier, material)

    def stain(self, place: Place, rings: ArrayLike, darkness: ArrayLike, opacity: float = 1.0) -> None:
        """Darken ground softly: local rings (N, 2) or (K, N, 2), the part of light lost, one or (K,)."""
        grey = 128 * (1 - np.asarray(darkness, dtype=np.float64))
        values = np.stack([grey, grey, grey, np.full_like(grey, 255 * opacity)], axis=-1)
        self.stains.add(place.points(rings), values)

    def shade(self, place: Place, rings: ArrayLike, height: float = 0.0) -> None:
        """Cast the shadow of flat local rings (..., 2) at a height in metres."""
        self.shadows.add(self.light.cast(place.points(rings), height), (255,))

    def put(self, place: Place, rings: ArrayLike, colours: ArrayLike, level: Level, height: float = 0.0) -> None:
        """Draw flat things: local rings (N, 2) or (K, N, 2), one colour (3,) or (K, 3), seen at a height in metres."""
        colour = np.asarray(colours, dtype=np.float64)
        opaque = np.concatenate([colour, np.full((*colour.shape[:-1], 1), 255.0)], axis=-1)
        self.objects.add(self.light.raise_(place.points(rings), height), opaque, int(level))

    def solid(
        self,
        place: Place,
        ring: ArrayLike,
        height: float,
        roof: Colour,
        wall: Colour | None = None,
        level: Level = Level.STRUCTURE,
    ) -> None:
        """Draw something with upright walls and a flat roof, and its shadow.

        Args:
            place: The frame of the ring.
            ring: Footprint (N, 2), local metres, either way round.
            height: Metres.
            roof: Colour of the roof in full sun.
            wall: Colour of the walls; the roof's, dulled, when not given.
            level: When it is painted.
        """
        corners = np.asarray(ring, dtype=np.float64)
        following = np.roll(corners, -1, axis=0)
        foot, ahead = place.points(corners), place.points(following)
        quads = np.stack([foot, ahead, self.light.cast(ahead, height), self.light.cast(foot, height)], axis=1)
        self.shadows.add(quads, (255,))
        self.shade(place, corners, height)
        tops = self.light.raise_(foot, height), self.light.raise_(ahead, height)
        walls = np.stack([foot, ahead, tops[1], tops[0]], axis=1)
        paint = np.array(wall if wall is not None else roof) * 0.8
        self.objects.add(walls, self._wall_colours(foot, ahead, paint), int(level))
        self.put(place, corners, roof, level, height)

    def _wall_colours(
        self, foot: NDArray[np.float64], ahead: NDArray[np.float64], paint: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        side = ahead - foot
        normal = np.stack([side[:, 1], -side[:, 0], np.zeros(len(side))], axis=-1)
        normal /= np.maximum(np.hypot(side[:, 0], side[:, 1]), 1e-9)[:, None]
        if np.sum(foot[:, 0] * ahead[:, 1] - ahead[:, 0] * foot[:, 1]) < 0:
            normal = -normal
        light = self.light.brightness(normal)
        return np.concatenate([light[:, None] * paint, np.full((len(light), 1), 255.0)], axis=-1)
