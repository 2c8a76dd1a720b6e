"""Named random streams: each part of a scene has its own generator.

Drawing one more number in one part then leaves the rest of the scene unchanged.
"""

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random generator of one named part of a scene.

    Args:
        seed: the scene's seed, 0 or more.
        *names: the name of the part, then what distinguishes it from its siblings, such as a row and a column (integers
            >= 0).
    """
    key = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=tuple(key)))
