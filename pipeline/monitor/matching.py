"""Positions of airplanes in two visits: the shift between the visits, and one-to-one pairs. Pure functions over arrays.

Positions are (N, 2) metres east and north, sizes (N,) metres.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.optimize import linear_sum_assignment

from geo.types import FloatArray, IndexArray
from pipeline.monitor.settings import MatchSettings

#: Airplanes that must agree on a shift, and their share of those that could.
MIN_VOTES, MIN_VOTE_SHARE = 3, 0.3
#: How far the differences of airplanes that agree may lie apart, metres.
_AGREE_M = 2.5
#: Height of what decides a box' centre, as a share of the airplane's size: seen from the side it is displaced.
_HEIGHT_SHARE = 0.1
#: Assumed where nothing says how far off nadir the sensor looked, degrees.
DEFAULT_OFF_NADIR_DEG = 20.0
# Cost of a pair that is not possible: so large that there are as many pairs as possible.
_IMPOSSIBLE = 1e6


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """The shift of a visit: its positions minus those of the airplanes that stayed, metres.

    Attributes:
        east: metres.
        north: metres.
        votes: airplanes that agree.
    """

    east: float
    north: float
    votes: int

    @property
    def vector(self) -> FloatArray:
        """(2,) metres."""
        return np.array([self.east, self.north])


def estimate_shift(
    known: FloatArray, known_sizes: FloatArray, xy: FloatArray, sizes: FloatArray, settings: MatchSettings
) -> Shift | None:
    """Return the shift on which most pairs of known and new positions agree, or None if too few do.

    Airplanes that stayed all have the same difference, others have any. So the difference is taken that lies within
    some metres of the most others, and then the median of those: one that left or arrived has no say.

    Args:
        known: positions of known airplanes that the visit sees.
        known_sizes: their sizes.
        xy: positions in the visit.
        sizes: their sizes.
        settings: largest shift and size tolerance.
    """
    if not len(known) or not len(xy):
        return None
    differences = xy[None] - known[:, None]
    possible = np.hypot(differences[..., 0], differences[..., 1]) <= settings.max_shift_m
    possible &= _sizes_agree(known_sizes, sizes, settings.size_tolerance)
    first, second = np.nonzero(possible)
    candidates = differences[first, second]
    if len(candidates) < MIN_VOTES:
        return None
    near = np.hypot(*(candidates[:, None] - candidates[None]).transpose(2, 0, 1)) <= _AGREE_M
    # An airplane has one vote, however many others stand close to it.
    votes = [min(len(set(first[row].tolist())), len(set(second[row].tolist()))) for row in near]
    best = min(range(len(votes)), key=lambda index: (-votes[index], float(np.hypot(*candidates[index]))))
    centre = candidates[best]
    for _ in range(3):
        members = np.hypot(*(candidates - centre).T) <= _AGREE_M
        centre = np.median(candidates[members], axis=0)
    if votes[best] < max(MIN_VOTES, math.ceil(MIN_VOTE_SHARE * min(len(known), len(xy)))):
        return None
    return Shift(round(float(centre[0]), 3), round(float(centre[1]), 3), votes[best])


def tolerances(
    known_sizes: FloatArray, known_off_nadir: FloatArray, sizes: FloatArray, off_nadir: FloatArray, tolerance_m: float
) -> FloatArray:
    """Return how far the positions of each pair may lie apart, (N, M) metres, shifts taken out.

    Args:
        known_sizes: (N,) metres.
        known_off_nadir: (N,) degrees; NaN if unknown.
        sizes: (M,) metres.
        off_nadir: (M,) degrees; NaN if unknown.
        tolerance_m: from vertically above.
    """
    tangents = [
        np.tan(np.radians(np.where(np.isnan(angle), DEFAULT_OFF_NADIR_DEG, angle)))
        for angle in (known_off_nadir, off_nadir)
    ]
    mean_size = (known_sizes[:, None] + sizes[None]) / 2
    return np.asarray(tolerance_m + _HEIGHT_SHARE * mean_size * (tangents[0][:, None] + tangents[1][None]))


def match_positions(
    known: FloatArray,
    known_sizes: FloatArray,
    xy: FloatArray,
    sizes: FloatArray,
    max_distance: FloatArray | float,
    size_tolerance: float,
) -> IndexArray:
    """Return the pairs of the same airplane, (K, 2): index in `known`, index in `xy`; each at most once.

    As many pairs as possible, and of these those of the least sum of squared relative distances.

    Args:
        known: (N, 2) positions.
        known_sizes: (N,) metres.
        xy: (M, 2) positions, the shift taken out.
        sizes: (M,) metres.
        max_distance: (N, M) metres, or one for all.
        size_tolerance: how much sizes may differ, as a share of the smaller one.
    """
    if not len(known) or not len(xy):
        return np.zeros((0, 2), np.int64)
    distance = np.hypot(*(xy[None] - known[:, None]).transpose(2, 0, 1))
    possible = (distance <= max_distance) & _sizes_agree(known_sizes, sizes, size_tolerance)
    ratio = np.log(known_sizes[:, None] / sizes[None]) / math.log1p(size_tolerance)
    cost = np.where(possible, (distance / max_distance) ** 2 + 0.25 * ratio**2, _IMPOSSIBLE)
    rows, columns = linear_sum_assignment(cost)
    kept = possible[rows, columns]
    return np.column_stack([rows[kept], columns[kept]]).astype(np.int64)


def match_unambiguous(
    known: FloatArray,
    known_sizes: FloatArray,
    xy: FloatArray,
    sizes: FloatArray,
    max_distance_m: FloatArray | float,
    size_tolerance: float,
) -> IndexArray:
    """Return the pairs (K, 2) of which each side is the only possible partner of the other; see `match_positions`."""
    if not len(known) or not len(xy):
        return np.zeros((0, 2), np.int64)
    distance = np.hypot(*(xy[None] - known[:, None]).transpose(2, 0, 1))
    possible = (distance <= max_distance_m) & _sizes_agree(known_sizes, sizes, size_tolerance)
    single = possible & (possible.sum(axis=1, keepdims=True) == 1) & (possible.sum(axis=0, keepdims=True) == 1)
    return np.argwhere(single)


def _sizes_agree(
    first: FloatArray, second: FloatArray, tolerance: float
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return whether sizes agree, (N, M)."""
    return np.asarray(np.abs(np.log(first[:, None] / second[None])) <= math.log1p(tolerance))
