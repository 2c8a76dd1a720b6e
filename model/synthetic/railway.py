"""Railways: tracks side by side along a path, trains on them, a station or a yard where there are many."""

import numpy as np
from numpy.typing import NDArray

from model.synthetic.place import Place, lengths, ribbon
from model.synthetic.structures import train
from model.synthetic.world import Material, Tier, World

_BALLAST = np.array((132, 118, 106))
_RAIL = np.array((98, 92, 88))
_TRACKS_M = 4.6  # between two tracks


def lay_railway(world: World, path: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Lay tracks along a path (N, 2), scene metres: two, or a yard of up to six."""
    here, count = Place(0, 0), int(rng.choice((2, 2, 4, 6)))
    fine = _resampled(path)
    tone = _BALLAST * rng.uniform(0.85, 1.1)
    world.pave(here, ribbon(fine, _TRACKS_M * count + 3), tone, Tier.SHOULDER, Material.SOIL)
    ahead = np.gradient(fine, axis=0)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) / np.hypot(ahead[:, 0], ahead[:, 1])[:, None]
    for k in range(count):
        track = fine + side * (k - (count - 1) / 2) * _TRACKS_M
        world.pave(here, ribbon(track, 2.6), tone * 0.86, Tier.PAVEMENT)
        for rail in (-0.72, 0.72):
            world.pave(here, ribbon(track + side * rail, 0.22), _RAIL, Tier.MARKING)
        start = int(rng.integers(0, 80))
        while start < len(track) - 60:
            wagons = int(rng.integers(4, 34))
            if rng.random() < (0.35 if count > 2 else 0.12):
                train(world, here, track[start:], wagons, rng)
            start += wagons * 13 + int(rng.integers(20, 200))


def _resampled(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (M, 2) on a path (N, 2) that lie 2 m apart."""
    along = lengths(path)
    at = np.arange(0.0, along[-1], 2.0)
    return np.stack([np.interp(at, along, path[:, 0]), np.interp(at, along, path[:, 1])], axis=-1)
