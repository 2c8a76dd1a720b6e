"""Changes to a crop that leave an airplane an airplane: orientation, colour, shadow, haze, blur, noise, compression."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage


def orient(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float64], orientation: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Turns a square picture and its boxes into one of the eight orientations.

    Args:
        pixels: (side, side, 3).
        boxes: (N, 4), pixels, corner origin.
        orientation: 0..7; +4 mirrors left to right, +2 turns upside down, +1 swaps rows and columns, in this order.
    """
    side = pixels.shape[0]
    if orientation & 4:
        pixels, boxes = (
            pixels[:, ::-1],
            np.column_stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]]),
        )
    if orientation & 2:
        pixels, boxes = (
            pixels[::-1],
            np.column_stack([boxes[:, 0], side - boxes[:, 3], boxes[:, 2], side - boxes[:, 1]]),
        )
    if orientation & 1:
        pixels, boxes = pixels.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    return np.ascontiguousarray(pixels), boxes


def change(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    ignored: NDArray[np.float64],
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Draws another orientation and another weather for a square picture, its boxes (N, 4) and those to ignore (M, 4).

    Args:
        pixels: (side, side, 3).
        boxes: pixels, corner origin.
        ignored: likewise.
        generator: the source of every draw.
    """
    turned, all_boxes = orient(pixels, np.concatenate([boxes, ignored]), int(generator.integers(8)))
    return weather(turned, generator), all_boxes[: len(boxes)], all_boxes[len(boxes) :]


def weather(pixels: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draws another light, another sensor and another file for the same ground.

    Args:
        pixels: (height, width, 3).
        generator: the source of every draw.
    """
    x: NDArray[np.float32] = np.divide(pixels, 255, dtype=np.float32)
    if generator.random() < 0.15:
        x = np.repeat(x.mean(axis=-1, keepdims=True, dtype=np.float32), 3, axis=-1)
    elif generator.random() < 0.4:
        x = _recoloured(x, generator)
    if generator.random() < 0.3:
        sigma = generator.uniform(0.3, 1.3)
        x = ndimage.gaussian_filter(x, (sigma, sigma, 0))
    if generator.random() < 0.15:
        x = _fringed(x, generator)
    if generator.random() < 0.15:
        x = _shadowed(x, generator)
    x = np.asarray(x ** generator.uniform(0.7, 1.4), np.float32)
    x = x * generator.uniform(0.88, 1.12, 3).astype(np.float32)
    x = (x - 0.5) * np.float32(generator.uniform(0.7, 1.25)) + np.float32(0.5 + generator.uniform(-0.1, 0.1))
    if generator.random() < 0.15:
        x += (generator.uniform(0.7, 0.95) - x) * generator.uniform(0.1, 0.5)
    if generator.random() < 0.5:
        x += generator.normal(0, generator.uniform(0.004, 0.03), x.shape).astype(np.float32)
    result = (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _compressed(result, int(generator.integers(35, 95))) if generator.random() < 0.3 else result


def _recoloured(x: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Turns the colours about the grey axis (hue) and moves them to or from it (saturation)."""
    angle, saturation = generator.normal(0, 0.35), generator.uniform(0.3, 1.5)
    # Rodrigues' rotation about (1, 1, 1) / sqrt(3), of the part of a colour that is not grey.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = (np.cos(angle) * np.eye(3) + np.sin(angle) * cross).astype(np.float32)
    grey = x.mean(axis=-1, keepdims=True, dtype=np.float32)
    return np.asarray(np.clip(grey + np.float32(saturation) * ((x - grey) @ turned.T), 0, 1), np.float32)


def _shadowed(x: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Darkens one side of a line, as a cloud's or a building's shadow does."""
    height, width = x.shape[:2]
    angle, softness = generator.uniform(0, 2 * np.pi), generator.uniform(1, 25)
    middle = generator.uniform(0.15, 0.85, 2) * (width, height)
    rows, cols = np.ogrid[:height, :width]
    depth = ((cols - middle[0]) * np.cos(angle) + (rows - middle[1]) * np.sin(angle)) / softness
    light = 1 - generator.uniform(0.2, 0.6) * np.clip(depth + 0.5, 0, 1)
    return np.asarray(x * light[..., None], np.float32)


def _fringed(x: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Shifts one colour by a pixel or so: a sensor that takes its bands one after the other."""
    band, axis = generator.integers(3), generator.integers(2)
    x[..., band] = ndimage.shift(x[..., band], np.eye(2)[axis] * generator.uniform(-1.5, 1.5), order=1, mode="nearest")
    return x


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
