"""What a scene is painted from: flat polygons in paint order, found quickly by where they lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
