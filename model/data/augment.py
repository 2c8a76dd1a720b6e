"""Augmentation: crops by orientation, colour, blur, shadow, haze, noise, compression; chips by orientation and hue."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from geo.types import ImageArray


def augment(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    ignored: NDArray[np.float64],
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Draw another orientation and another appearance for a square crop.

    Args:
        pixels: (side, side, 3).
        boxes: airplanes (N, 4), pixels, corner origin.
        ignored: boxes (M, 4) to ignore, likewise.
        generator: the source of every draw.
    """
    oriented, all_boxes = orient(pixels, np.concatenate([boxes, ignored]), int(generator.integers(8)))
    return augment_pixels(oriented, generator), all_boxes[: len(boxes)], all_boxes[len(boxes) :]


def orient(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float64], orientation: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Bring a square image and its boxes into one of the eight orientations.

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


def augment_pixels(pixels: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw another light, sensor and compression for the same ground.

    Args:
        pixels: (height, width, 3).
        generator: the source of every draw.
    """
    x: NDArray[np.float32] = np.divide(pixels, 255, dtype=np.float32)
    if generator.random() < 0.15:
        x = np.repeat(x.mean(axis=-1, keepdims=True, dtype=np.float32), 3, axis=-1)
    elif generator.random() < 0.4:
        x = _shift_colours(x, generator)
    if generator.random() < 0.3:
        sigma = generator.uniform(0.3, 1.3)
        x = ndimage.gaussian_filter(x, (sigma, sigma, 0))
    if generator.random() < 0.15:
        x = _misregister_band(x, generator)
    if generator.random() < 0.15:
        x = _cast_shadow(x, generator)
    x = np.asarray(x ** generator.uniform(0.7, 1.4), np.float32)
    x = x * generator.uniform(0.88, 1.12, 3).astype(np.float32)
    x = (x - 0.5) * np.float32(generator.uniform(0.7, 1.25)) + np.float32(0.5 + generator.uniform(-0.1, 0.1))
    if generator.random() < 0.15:
        x += (generator.uniform(0.7, 0.95) - x) * generator.uniform(0.1, 0.5)
    if generator.random() < 0.5:
        x += generator.normal(0, generator.uniform(0.004, 0.03), x.shape).astype(np.float32)
    result = (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _compress(result, int(generator.integers(35, 95))) if generator.random() < 0.3 else result


def _shift_colours(x: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Rotate the colours about the grey axis (hue) and scale their distance from it (saturation)."""
    angle, saturation = generator.normal(0, 0.35), generator.uniform(0.3, 1.5)
    # Rodrigues' rotation about (1, 1, 1) / sqrt(3), of the part of a colour that is not grey.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    rotation = (np.cos(angle) * np.eye(3) + np.sin(angle) * cross).astype(np.float32)
    grey = x.mean(axis=-1, keepdims=True, dtype=np.float32)
    return np.asarray(np.clip(grey + np.float32(saturation) * ((x - grey) @ rotation.T), 0, 1), np.float32)


def _cast_shadow(x: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Darken one side of a line, as the shadow of a cloud or a building does."""
    height, width = x.shape[:2]
    angle, softness = generator.uniform(0, 2 * np.pi), generator.uniform(1, 25)
    centre = generator.uniform(0.15, 0.85, 2) * (width, height)
    rows, cols = np.ogrid[:height, :width]
    depth = ((cols - centre[0]) * np.cos(angle) + (rows - centre[1]) * np.sin(angle)) / softness
    light = 1 - generator.uniform(0.2, 0.6) * np.clip(depth + 0.5, 0, 1)
    return np.asarray(x * light[..., None], np.float32)


def _misregister_band(x: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Shift one band by up to 1.5 pixels, as in sensors that take their bands one after the other."""
    band, axis = generator.integers(3), generator.integers(2)
    x[..., band] = ndimage.shift(x[..., band], np.eye(2)[axis] * generator.uniform(-1.5, 1.5), order=1, mode="nearest")
    return x


def _compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def orient_chips(images: ImageArray, orientations: NDArray[np.int64]) -> ImageArray:
    """Bring each chip (N, side, side, 3) into one of eight orientations (N,), numbered as in `orient`."""
    bits = orientations[:, None, None, None]
    images = np.where(bits & 4, images[:, :, ::-1], images)
    images = np.where(bits & 2, images[:, ::-1], images)
    return np.where(bits & 1, images.swapaxes(1, 2), images)


def rotate_hues(images: ImageArray, angles: NDArray[np.float64]) -> ImageArray:
    """Rotate the colours of each chip (N, height, width, 3) about the grey axis, by its angle (N,), radians."""
    # Rodrigues' rotation about (1, 1, 1) / sqrt(3).
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    rotations = cos * np.eye(3) + (1 - cos) / 3 + sin * cross
    colours: NDArray[np.float32] = np.einsum("nyxc,ndc->nyxd", images, rotations.astype(np.float32))
    return np.clip(np.round(colours), 0, 255).astype(np.uint8)
