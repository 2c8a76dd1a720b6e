"""Square crops of annotated photos, at a scale drawn so that airplanes come in every size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.detectors import INPUT_MULTIPLE

_LEAST_VISIBLE = 0.35  # of an airplane's area; less is no airplane to learn from
_LEAST_SIDE_PX = 6.0  # the longer side of a box in the crop


@dataclass(frozen=True, slots=True)
class CropConfig:
    """How crops are drawn.

    Attributes:
        side_px: side of a crop, a multiple of 32.
        near_airplane: share of the crops of a photo with airplanes that are cut around one of them.
        size_px: range of the longer side that this airplane is brought to, drawn log-uniform.
        scale: range that the enlargement is kept in; crops without an airplane draw from it, log-uniform.
        scale_around: range of the enlargement, log-uniform, of crops around a place that is given.
    """

    side_px: int = 256
    near_airplane: float = 0.75
    size_px: tuple[float, float] = (10.0, 150.0)
    scale: tuple[float, float] = (0.45, 2.2)
    scale_around: tuple[float, float] = (0.65, 2.2)

    def __post_init__(self) -> None:
        if self.side_px < 1 or self.side_px % INPUT_MULTIPLE:
            raise ValueError(f"side_px: expected a multiple of {INPUT_MULTIPLE}, got {self.side_px}")


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A crop with its airplanes: pixels (side, side, 3), boxes (N, 4) and boxes to ignore (M, 4), in its pixels."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    ignored: NDArray[np.float64]


def draw(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    config: CropConfig,
    generator: np.random.Generator,
    around: NDArray[np.float64] | None = None,
) -> Crop:
    """Draws one crop of a photo.

    Args:
        pixels: the photo (height, width, 3).
        boxes: its airplanes (N, 4), in its pixels.
        config: how to draw.
        generator: the source of every draw.
        around: a box (4,) that the crop is to show, at about the photo's own scale; by default an airplane, brought to
            a size that is drawn, or any place.
    """
    if around is not None:
        scale = _log_uniform(config.scale_around, generator)
        centre = _near(around, config.side_px / scale, generator)
    elif len(boxes) > 0 and generator.random() < config.near_airplane:
        airplane = boxes[generator.integers(len(boxes))]
        size = _log_uniform(config.size_px, generator)
        scale = float(np.clip(size / (airplane[2:] - airplane[:2]).max(), *config.scale))
        centre = _near(airplane, config.side_px / scale, generator)
    else:
        scale = _log_uniform(config.scale, generator)
        centre = generator.uniform(0, [pixels.shape[1], pixels.shape[0]])
    return cut(pixels, boxes, _placed(centre, config.side_px / scale, pixels), scale, config.side_px)


def _log_uniform(bounds: tuple[float, float], generator: np.random.Generator) -> float:
    return float(np.exp(generator.uniform(*np.log(bounds))))


def _near(box: NDArray[np.float64], side: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """The centre of a crop with the box anywhere in it, at times cut by its edge."""
    return (box[:2] + box[2:]) / 2 + generator.uniform(-0.5, 0.5, 2) * side


def cut(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float64], corner: NDArray[np.float64], scale: float, side_px: int
) -> Crop:
    """Cuts a crop; black where it reaches past the photo.

    Args:
        pixels: the photo (height, width, 3).
        boxes: its airplanes (N, 4), in its pixels.
        corner: (x, y) of the crop's upper left corner in the photo.
        scale: crop pixels per photo pixel.
        side_px: side of the crop in its own pixels.

    Returns:
        The crop, with the airplanes that `shown` tells.
    """
    return Crop(_resampled(pixels, corner, scale, side_px), *shown(boxes, corner, scale, side_px))


def shown(
    boxes: NDArray[np.float64], corner: NDArray[np.float64], scale: float, side_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a crop shows of airplanes; the arguments are those of `cut`.

    Returns:
        The boxes in the crop's pixels, clipped: airplanes (N, 4), and (M, 4) those to ignore, of which less than 0.35
        is in the crop, or whose longer side is under 6 px.
    """
    clipped = np.clip((boxes - np.tile(corner, 2)) * scale, 0, side_px)
    sides = clipped[:, 2:] - clipped[:, :2]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * scale**2
    seen = (sides > 0).all(axis=1)
    whole = seen & (sides.prod(axis=1) >= _LEAST_VISIBLE * area) & (sides.max(axis=1, initial=0) >= _LEAST_SIDE_PX)
    return clipped[whole], clipped[seen & ~whole]


def _placed(centre: NDArray[np.float64], side: float, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The corner of a crop around `centre`, moved so that as much of it as can be lies in the photo."""
    room = np.array([pixels.shape[1], pixels.shape[0]]) - side
    return np.clip(centre - side / 2, np.minimum(room, 0), np.maximum(room, 0))


def _resampled(pixels: NDArray[np.uint8], corner: NDArray[np.float64], scale: float, side_px: int) -> NDArray[np.uint8]:
    """The crop's pixels; resampled from what lies in the photo, so that the black outside does not bleed in."""
    height, width = pixels.shape[:2]
    result = np.zeros((side_px, side_px, 3), np.uint8)
    # Whole crop pixels that lie in the photo, with room for a rounded corner of a crop that ends where the photo does.
    first = np.ceil(np.maximum(-corner * scale, 0) - 1e-6).astype(int)
    last = np.floor(np.minimum((np.array([width, height]) - corner) * scale, side_px) + 1e-6).astype(int)
    if (last <= first).any():
        return result
    box = (*np.maximum(corner + first / scale, 0), *np.minimum(corner + last / scale, [width, height]))
    # Pillow resamples the part alone: cut it out first, so that the cost is the crop's and not the photo's.
    x, y = int(box[0]), int(box[1])
    part = Image.fromarray(pixels[y : int(np.ceil(box[3])), x : int(np.ceil(box[2]))])
    inner = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
    resized = part.resize(tuple(last - first), Image.Resampling.BILINEAR, box=inner)
    result[first[1] : last[1], first[0] : last[0]] = np.asarray(resized)
    return result
