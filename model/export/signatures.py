"""The ways to call an export, whatever its format."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo.types import ImageArray

# Boxes (B, N, 4) and scores (B, N).
Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]


def _as_they_are(images: ImageArray) -> ImageArray:
    return images


@dataclass(frozen=True, slots=True)
class Way:
    """One way to call an export that was read back.

    Attributes:
        name: of the format, and of the signature where it has several.
        detect: boxes and scores of pictures (B, H, W, 3).
        seen: the pictures as they reach the detector, (B, H, W, 3); a JPEG file does not keep them as they are.
    """

    name: str
    detect: Callable[[ImageArray], Outputs]
    seen: Callable[[ImageArray], ImageArray] = _as_they_are
