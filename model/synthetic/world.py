"""The polygons of a scene in paint order, before they become pixels."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import constrained_delaunay_triangles
from shapely.geometry.base import BaseGeometry

from model.synthetic.aircraft import AircraftType
from model.synthetic.geometry import Frame
from model.synthetic.style import Colour, Light, Palette, Style

WHITE_PAINT: Colour = (226, 226, 220)
YELLOW_PAINT: Colour = (206, 172, 78)


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A finished layer on the subsample grid.

    Attributes:
        points: (M, 2) int32 corners of all rings, x and y in subsamples of the scene.
        starts: (K + 1,) int64: ring k is points[starts[k]:starts[k + 1]].
        values: (K, C) uint8, the fill of ring k.
        bounds: (K, 4) int32 xmin, ymin, xmax, ymax of ring k, both ends included.
    """

    points: NDArray[np.int32]
    starts: NDArray[np.int64]
    values: NDArray[np.uint8]
    bounds: NDArray[np.int32]

    def intersecting(self, x0: int, y0: int, x1: int, y1: int) -> list[int]:
        """Return the indices of the rings whose bounds intersect a half-open box of subsamples, in paint order."""
        low_x, low_y, high_x, high_y = self.bounds.T
        return np.flatnonzero((high_x >= x0) & (low_x < x1) & (high_y >= y0) & (low_y < y1)).tolist()


class Layer:
    """Collects rings; higher levels are painted later, and rings of one level in the order they were added."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._rings: list[NDArray[np.float64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.uint8]] = []
        self._levels: list[NDArray[np.int64]] = []

    def add(self, rings: ArrayLike, values: ArrayLike, level: int = 0) -> None:
        """Add one ring (N, 2) or K rings (K, N, 2) in scene metres.

        Args:
            rings: corners in scene metres, x to the right, y down; the ring closes from the last corner to the first.
            values: the fill, (C,) for all rings or (K, C); clipped to 0..255.
            level: rings of a higher level are painted over those of a lower one.
        """
        ring = np.asarray(rings, dtype=np.float64)
        ring = ring[None] if ring.ndim == 2 else ring
        fill = np.clip(np.rint(np.asarray(values, dtype=np.float64)), 0, 255).astype(np.uint8)
        self._rings.append(ring.reshape(-1, 2))
        self._counts.append(np.full(len(ring), ring.shape[1], dtype=np.int64))
        self._values.append(np.broadcast_to(fill, (len(ring), self._channels)))
        self._levels.append(np.full(len(ring), level, dtype=np.int64))

    def pack(self, subsample_m: float) -> PackedLayer:
        """Convert all rings to a grid of subsamples of the given size in metres."""
        if not self._rings:
            empty = np.zeros((0, 4), dtype=np.int32)
            return PackedLayer(empty[:, :2], np.zeros(1, np.int64), np.zeros((0, self._channels), np.uint8), empty)
        counts, levels = np.concatenate(self._counts), np.concatenate(self._levels)
        order = np.argsort(levels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)])
        begin = np.concatenate([[0], np.cumsum(counts[order])])
        members = np.repeat(starts[:-1][order] - begin[:-1], counts[order]) + np.arange(begin[-1])
        # ImageDraw fills subsample indices between the corners, both ends included: hence the half.
        points = np.rint(np.concatenate(self._rings) / subsample_m - 0.5).astype(np.int32)[members]
        low = np.minimum.reduceat(points, begin[:-1], axis=0)
        high = np.maximum.reduceat(points, begin[:-1], axis=0)
        return PackedLayer(points, begin, np.concatenate(self._values)[order], np.concatenate([low, high], axis=1))


class Material(IntEnum):
    """Surface roughness class of the ground; KEEP retains the material below (for paint on it)."""

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
    """Paint order of objects on the ground, lowest first."""

    VEHICLE = 0
    AIRPLANE = 1
    STRUCTURE = 2
    TREE = 3


@dataclass(frozen=True, slots=True)
class Airplane:
    """An airplane in the scene.

    Attributes:
        shape: its type.
        pose: frame at the middle of its length, x axis towards the nose.
        box: xmin, ymin, xmax, ymax of its visible parts without the shadow, scene metres.
    """

    shape: AircraftType
    pose: Frame
    box: tuple[float, float, float, float]


@dataclass(slots=True)
class World:
    """The contents of a scene: polygon layers and ground truth.

    Attributes:
        width_m: extent to the right, metres.
        height_m: extent down, metres.
        style: light, colours, sensor.
        ground: flat ground: red, green, blue, material.
        stains: soft stains on the ground: red, green, blue, opacity; grey 128 has no effect.
        shadows: ground without direct sunlight.
        objects: objects on the ground: red, green, blue, opacity.
        airplanes: the ground truth.
        footprints: outlines of airplanes and buildings in scene metres, for keeping airplanes apart.
        reserved: if a list, airplanes are not drawn where they would park; their types and poses are added to it. The
            rest of the layout is the same, so a scene can be drawn on several dates with different airplanes.
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
    reserved: list[tuple[AircraftType, Frame]] | None = None

    @property
    def light(self) -> Light:
        """The scene's light."""
        return self.style.light

    @property
    def palette(self) -> Palette:
        """The scene's ground colours."""
        return self.style.palette

    def is_free(self, outline: BaseGeometry, clearance: float) -> bool:
        """Return whether an outline, scene metres, is `clearance` metres or more from all airplanes and buildings."""
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
        self, frame: Frame, rings: ArrayLike, colours: ArrayLike, tier: Tier, material: Material = Material.KEEP
    ) -> None:
        """Paint flat ground: local rings (N, 2) or (K, N, 2), in a colour (3,) for all or (K, 3)."""
        colour = np.asarray(colours, dtype=np.float64)
        filled = np.concatenate([colour, np.full((*colour.shape[:-1], 1), int(material))], axis=-1)
        self.ground.add(frame.points(rings), filled, int(tier))

    def pave_area(self, frame: Frame, area: BaseGeometry, colour: ArrayLike, tier: Tier, material: Material) -> None:
        """Paint flat ground: local polygons, possibly with holes."""
        for polygon in getattr(area, "geoms", [area]):
            if polygon.interiors:  # ImageDraw does not support holes
                pieces = constrained_delaunay_triangles(polygon).geoms
                self.pave(frame, np.array([piece.exterior.coords[:3] for piece in pieces]), colour, tier, material)
            elif not polygon.is_empty:
                self.pave(frame, np.array(polygon.exterior.coords[:-1]), colour, tier, material)

    def stain(self, frame: Frame, rings: ArrayLike, darkness: ArrayLike, opacity: float = 1.0) -> None:
        """Darken the ground softly: local rings (N, 2) or (K, N, 2) and the fraction of light lost, scalar or (K,)."""
        grey = 128 * (1 - np.asarray(darkness, dtype=np.float64))
        values = np.stack([grey, grey, grey, np.full_like(grey, 255 * opacity)], axis=-1)
        self.stains.add(frame.points(rings), values)

    def cast_shadow(self, frame: Frame, rings: ArrayLike, height: float = 0.0) -> None:
        """Cast the shadow of flat local rings (..., 2) at a height in metres."""
        self.shadows.add(self.light.project_shadow(frame.points(rings), height), (255,))

    def draw(self, frame: Frame, rings: ArrayLike, colours: ArrayLike, level: Level, height: float = 0.0) -> None:
        """Draw flat surfaces at a height in metres: local rings (N, 2) or (K, N, 2), in a colour (3,) or (K, 3)."""
        colour = np.asarray(colours, dtype=np.float64)
        opaque = np.concatenate([colour, np.full((*colour.shape[:-1], 1), 255.0)], axis=-1)
        self.objects.add(self.light.displace_top(frame.points(rings), height), opaque, int(level))

    def extrude(
        self,
        frame: Frame,
        ring: ArrayLike,
        height: float,
        roof: Colour,
        wall: Colour | None = None,
        level: Level = Level.STRUCTURE,
    ) -> None:
        """Draw a body with vertical walls and a flat roof, and its shadow.

        Args:
            frame: frame of the ring.
            ring: footprint (N, 2), local metres, in either orientation.
            height: metres.
            roof: colour of the roof in full sun.
            wall: colour of the walls; defaults to the roof's. Walls are drawn darker by a fifth.
            level: paint order.
        """
        corners = np.asarray(ring, dtype=np.float64)
        following = np.roll(corners, -1, axis=0)
        foot, ahead = frame.points(corners), frame.points(following)
        quads = np.stack(
            [foot, ahead, self.light.project_shadow(ahead, height), self.light.project_shadow(foot, height)], axis=1
        )
        self.shadows.add(quads, (255,))
        self.cast_shadow(frame, corners, height)
        tops = self.light.displace_top(foot, height), self.light.displace_top(ahead, height)
        walls = np.stack([foot, ahead, tops[1], tops[0]], axis=1)
        paint = np.array(wall if wall is not None else roof) * 0.8
        self.objects.add(walls, self._wall_colours(foot, ahead, paint), int(level))
        self.draw(frame, corners, roof, level, height)

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
