"""Random numbers by name: each part of a scene draws from a stream of its own.

A part that draws one number more then changes nothing elsewhere in the scene.
"""

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one named part of a scene.

    Args:
        seed: The scene's seed, 0 or more.
        *names: The part's name, then what tells it from its siblings (a row and a column, say; whole numbers >= 0).
    """
    key = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=tuple(key)))
