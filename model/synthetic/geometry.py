"""Local frames on the ground, and the plain shapes drawn in them.

Scene coordinates are in metres: x to the right and y down from the scene's upper left corner. Angles are in radians,
clockwise as seen in the image.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUARTER_TURN = math.pi / 2

Size = tuple[float, float]  # metres along x and y


@dataclass(frozen=True, slots=True)
class Frame:
    """A local coordinate frame: an origin in scene metres and the direction of its x axis.

    The y axis is a quarter turn clockwise from the x axis, as seen in the image, so a frame with angle 0 is the scene's
    own frame, translated.

    Attributes:
        x: origin, scene metres to the right.
        y: origin, scene metres down.
        angle: radians from the scene's x axis to this x axis, clockwise as seen in the image.
    """

    x: float
    y: float
    angle: float = 0.0

    def points(self, local: ArrayLike) -> NDArray[np.float64]:
        """Transform local points (..., 2) in metres to scene metres (..., 2)."""
        xy = np.asarray(local, dtype=np.float64)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turned: NDArray[np.float64] = xy @ np.array([[cos, sin], [-sin, cos]]) + np.array((self.x, self.y))
        return turned

    def local(self, scene: ArrayLike) -> NDArray[np.float64]:
        """Transform points in scene metres (..., 2) to local metres (..., 2): the inverse of `points`."""
        xy = np.asarray(scene, dtype=np.float64) - np.array((self.x, self.y))
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turned: NDArray[np.float64] = xy @ np.array([[cos, -sin], [sin, cos]])
        return turned

    def child(self, x: float, y: float, turn: float = 0.0) -> "Frame":
        """Return the frame at local (x, y) metres, turned clockwise by `turn` radians from this one."""
        origin = self.points((x, y))
        return Frame(float(origin[0]), float(origin[1]), self.angle + turn)

    def vector(self, scene: ArrayLike) -> NDArray[np.float64]:
        """Rotate a displacement in scene metres (2,) into this frame; the origin has no effect."""
        origin = np.array((self.x, self.y))
        return self.local(np.asarray(scene, dtype=np.float64) + origin)


SCENE_FRAME = Frame(0, 0)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float64]:
    """Return the four corners (4, 2) of an axis-aligned rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def centred_box(size: Size) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a rectangle centred on the origin, given its length along x and width along y."""
    return rectangle(-size[0] / 2, -size[1] / 2, size[0] / 2, size[1] / 2)


def rectangles(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the corners (N, 4, 2) of axis-aligned rectangles (N, 4) given as x0, y0, x1, y1."""
    box = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.stack([box[:, [0, 1]], box[:, [2, 1]], box[:, [2, 3]], box[:, [0, 3]]], axis=1)


def oriented_boxes(centres: ArrayLike, length: ArrayLike, width: ArrayLike, angles: ArrayLike) -> NDArray[np.float64]:
    """Return rectangles (N, 4, 2) around centres (N, 2), turned clockwise by angles.

    Lengths, widths and angles (radians) are (N,), or scalars for all.
    """
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    half_length, half_width, angle = (
        np.broadcast_to(np.asarray(values, dtype=np.float64), (len(centre),))[:, None]
        for values in (np.divide(length, 2), np.divide(width, 2), angles)
    )
    x, y = half_length * np.array([1, 1, -1, -1]), half_width * np.array([1, -1, -1, 1])
    cos, sin = np.cos(angle), np.sin(angle)
    rings: NDArray[np.float64] = centre[:, None, :] + np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
    return rings


def discs(centres: ArrayLike, radius: ArrayLike, corners: int = 10) -> NDArray[np.float64]:
    """Return regular polygons (N, corners, 2) around centres (N, 2); radii are (N,), or a scalar for all."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    angle = np.arange(corners) * (2 * np.pi / corners)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(centre),))
    rings: NDArray[np.float64] = centre[:, None, :] + radii[:, None, None] * ring
    return rings


def arc(x: float, y: float, radius: float, start: float, end: float, step: float = 0.12) -> NDArray[np.float64]:
    """Return points (N, 2) on a circle from angle `start` to `end`, radians, clockwise from the x axis."""
    count = max(2, int(abs(end - start) / step) + 1)
    angle = np.linspace(start, end, count)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=-1)


def path_normals(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit vectors (N, 2) a quarter turn clockwise from the direction of a path (N, 2) at its points."""
    ahead = np.gradient(path, axis=0)
    return np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) / np.hypot(ahead[:, 0], ahead[:, 1])[:, None]


def ribbon(path: ArrayLike, width: float) -> NDArray[np.float64]:
    """Return the outline (2N, 2) of a line of the given width along a path (N, 2), N >= 2, with gentle bends."""
    line = np.asarray(path, dtype=np.float64)
    ahead = np.gradient(line, axis=0)
    ahead /= np.maximum(np.hypot(ahead[:, 0], ahead[:, 1]), 1e-9)[:, None]
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) * (width / 2)
    return np.concatenate([line + side, (line - side)[::-1]])


def path_distances(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance along a path (N, 2) at each of its points, metres (N,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])


def dashes(path: ArrayLike, mark: float, gap: float) -> list[NDArray[np.float64]]:
    """Cut a path (N, 2) into dashes of length `mark` separated by `gap`; returns short paths (2, 2)."""
    line = np.asarray(path, dtype=np.float64)
    along = path_distances(line)
    pieces = []
    for start in np.arange(0.0, along[-1] - mark, mark + gap):
        at = np.linspace(start, start + mark, 2)
        pieces.append(np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=-1))
    return pieces


def regular_polygon(radius: float, corners: int) -> NDArray[np.float64]:
    """Return a regular polygon (corners, 2) around the origin, with one side perpendicular to the x axis."""
    return Frame(0, 0, math.pi / corners).points(discs((0.0, 0.0), radius, corners)[0])


def evenly_spaced(count: int, spacing: float) -> list[float]:
    """Return `count` positions, `spacing` apart and centred on 0."""
    return [(k - (count - 1) / 2) * spacing for k in range(count)]


def grid_points(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return all pairs (N * M, 2) of the positions x (N,) and y (M,), row by row."""
    pairs: NDArray[np.float64] = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return pairs
