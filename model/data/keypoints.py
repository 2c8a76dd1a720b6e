"""Airplanes with keypoints to train on: patches of images and rendered scenes, and augmented crops of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from geo.outline import LEFT, RIGHT
from geo.types import FloatArray, ImageArray
from model.data import sources
from model.data.labels import AnnotatedImage
from model.detectors.keypoints.heat_maps import CONTEXT, CROP_PX, encode

#: Side of a patch, pixels, and in longer sides of the airplane's box: room to turn and to move a crop in it.
PATCH_PX = 128
PATCH_CONTEXT = 2.2
# Airplanes with a shorter box, longer side in pixels of the image, show too little.
_MIN_SIDE_PX = 14.0
# Longer sides of a box, pixels, to which the resolution of a patch is reduced at random.
_REDUCED_PX = (14.0, 70.0)


@dataclass(frozen=True, slots=True, eq=False)
class AirplanePatches:
    """Patches around airplanes, and where their points are.

    Attributes:
        pixels: uint8 (N, PATCH_PX, PATCH_PX, 3); black beyond the image.
        points: (N, 4, 2) nose, tail, left and right wingtip, pixels of the patch; NaN where hidden or outside.
        boxes: (N, 4) pixels of the patch.
        scales: (N,) pixels of the image per pixel of the patch.
    """

    pixels: ImageArray
    points: FloatArray
    boxes: FloatArray
    scales: FloatArray

    def __len__(self) -> int:
        return len(self.pixels)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the patches of all parts."""
        names = ("pixels", "points", "boxes", "scales")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def sides_px(self) -> FloatArray:
        """Longer sides of the boxes in their images, pixels (N,)."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1) * self.scales)


def read_patches(folder: Path, split: str) -> AirplanePatches:
    """Read the airplanes of one split of a data set whose `annotations.json` has points, under `airplanes`.

    Helicopters and the like are left out.

    Raises:
        ConfigError: the labels are missing or damaged, or have no points.
        RasterError: an image cannot be read.
    """
    chosen = list(_with_points(sources.read_annotated_images(folder, split)))
    if not chosen:
        raise ConfigError(f"{folder}: expected airplanes with points in annotations.json, got none: name another set")
    return _cut(chosen)


def rendered_patches(rendered: sources.RenderedSet, folder: Path) -> AirplanePatches:
    """Render the missing scenes of a set into a folder, and return the patches of their airplanes.

    Raises:
        OutputError, RasterError: a scene cannot be written.
        ConfigError: a truth in the folder is damaged, or has no points: it is of an older version.
    """
    return _cut(_with_points(sources.render_scenes(rendered, folder)))


def _with_points(images: Iterable[AnnotatedImage]) -> Iterator[tuple[AnnotatedImage, FloatArray, FloatArray]]:
    """Yield the images that have airplanes with points, with these and their boxes."""
    for image in images:
        annotated = sources.read_points(image)
        if annotated is not None and len(annotated[0]):
            boxes, points = annotated
            yield image, points, boxes


def _cut(airplanes: Iterable[tuple[AnnotatedImage, FloatArray, FloatArray]]) -> AirplanePatches:
    """Cut the patches of images, each with the points and the boxes of its airplanes."""
    patches = []
    for image, points, boxes in airplanes:
        pixels = Image.fromarray(image.pixels())
        for own_points, box in zip(points, boxes, strict=True):
            if (box[2:] - box[:2]).max() >= _MIN_SIDE_PX:
                patches.append(_patch(pixels, own_points, box))
    if not patches:
        raise ConfigError(f"expected airplanes of {_MIN_SIDE_PX:g} px and more, got none: add images with such")
    columns = [np.stack(column) for column in zip(*patches, strict=True)]
    return AirplanePatches(*columns)


def _patch(image: Image.Image, points: FloatArray, box: FloatArray) -> tuple[Any, ...]:
    centre, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() * PATCH_CONTEXT
    left, top = np.floor(centre - side / 2).astype(int).tolist()
    width = math.ceil(side)
    part = image.crop((left, top, left + width, top + width)).resize((PATCH_PX, PATCH_PX), Image.Resampling.LANCZOS)
    scale = width / PATCH_PX
    origin = np.array((left, top))
    return np.asarray(part), (points - origin) / scale, ((box.reshape(2, 2) - origin) / scale).reshape(4), scale


@dataclass(frozen=True, slots=True)
class View:
    """How a crop is taken of a patch.

    Attributes:
        angle: by which it is turned, radians, clockwise in the image.
        mirrored: left and right are exchanged.
        context: side of the crop in longer sides of the box.
        shift: of its centre from that of the box, in longer sides of the box, along x and y.
    """

    angle: float = 0.0
    mirrored: bool = False
    context: float = CONTEXT
    shift: tuple[float, float] = (0.0, 0.0)


def crop(pixels: Image.Image, points: FloatArray, box: FloatArray, view: View) -> tuple[ImageArray, FloatArray]:
    """Return a crop of a patch, uint8 (CROP_PX, CROP_PX, 3), and the points (4, 2) in it.

    Args:
        pixels: the patch.
        points: (4, 2) pixels of the patch.
        box: (4,) pixels of the patch.
        view: how it is taken.
    """
    side = (box[2:] - box[:2]).max()
    centre = (box[:2] + box[2:]) / 2 + np.array(view.shift) * side
    scale = view.context * side / CROP_PX
    cos, sin = math.cos(view.angle) * scale, math.sin(view.angle) * scale
    # From the crop to the patch.
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if view.mirrored else 1.0, 1.0])
    origin = centre - matrix @ np.full(2, CROP_PX / 2)
    coefficients = (*matrix[0], origin[0], *matrix[1], origin[1])
    turned = pixels.transform((CROP_PX, CROP_PX), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    moved = (points - origin) @ np.linalg.inv(matrix).T
    if view.mirrored:
        moved[[LEFT, RIGHT]] = moved[[RIGHT, LEFT]]
    return np.asarray(turned), moved


class KeypointBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of one epoch; set `epoch` before it begins. A batch depends on seed, epoch and its number alone.

    Args:
        sets: patches, and the share of the crops that are taken of them.
        batch: crops in a batch.
        steps: batches in an epoch.
        seed: seed.
    """

    def __init__(self, sets: Sequence[tuple[AirplanePatches, float]], batch: int, steps: int, seed: int) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.patches = [patches for patches, _ in sets]
        weights = np.array([weight for _, weight in sets])
        self.shares = weights / weights.sum()
        self.batch, self.steps, self.seed = batch, steps, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return pixels (B, CROP_PX, CROP_PX, 3), 0..255, and heat maps (B, CELLS * CELLS, 4)."""
        generator = np.random.default_rng([self.seed, self.epoch, index])
        crops = [self._draw(generator) for _ in range(self.batch)]
        return np.stack([pixels for pixels, _ in crops]), encode(np.stack([points for _, points in crops]))

    def _draw(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], FloatArray]:
        patches = self.patches[int(generator.choice(len(self.patches), p=self.shares))]
        number = int(generator.integers(len(patches)))
        side_px = float(patches.sides_px[number])
        return augment(patches.pixels[number], patches.points[number], patches.boxes[number], side_px, generator)


def augment(
    pixels: ImageArray, points: FloatArray, box: FloatArray, side_px: float, generator: np.random.Generator
) -> tuple[NDArray[np.float32], FloatArray]:
    """Return a random crop of a patch: turned, mirrored, blurred as by a coarser sensor, in other light, cut off.

    Args:
        pixels: the patch.
        points: (4, 2) pixels of the patch.
        box: (4,) pixels of the patch.
        side_px: longer side of the box in the image that the patch is of: its resolution.
        generator: source of what is random.

    Returns:
        Pixels (CROP_PX, CROP_PX, 3), 0..255, and points (4, 2).
    """
    patch = _reduced(Image.fromarray(pixels), side_px, generator)
    view = View(
        angle=float(generator.uniform(0, 2 * math.pi)),
        mirrored=bool(generator.random() < 0.5),
        context=CONTEXT * float(generator.uniform(0.85, 1.2)),
        shift=(float(generator.normal(0, 0.04)), float(generator.normal(0, 0.04))),
    )
    turned, moved = crop(patch, points, box, view)
    return _recoloured(turned.astype(np.float32), generator), moved


def _reduced(patch: Image.Image, side_px: float, generator: np.random.Generator) -> Image.Image:
    """Reduce the resolution of a patch to a random one, if that is lower."""
    target = math.exp(generator.uniform(*np.log(_REDUCED_PX)))
    if target >= min(side_px, PATCH_PX / PATCH_CONTEXT):
        return patch
    side = max(8, round(target * PATCH_CONTEXT))
    return patch.resize((side, side), Image.Resampling.BOX).resize(patch.size, Image.Resampling.BICUBIC)


def _recoloured(pixels: NDArray[np.floating], generator: np.random.Generator) -> NDArray[np.float32]:
    """Change light, saturation, contrast, tint and noise, and cut off a side, as at the edge of a scene."""
    pixels = pixels * generator.uniform(0.6, 1.35) + generator.uniform(-25, 25)
    grey = pixels.mean(axis=-1, keepdims=True)
    pixels = grey + (pixels - grey) * generator.uniform(0, 1.5)
    pixels = (pixels - pixels.mean()) * generator.uniform(0.6, 1.3) + pixels.mean()
    pixels = pixels * generator.uniform(0.92, 1.08, 3) + generator.normal(0, generator.uniform(0, 7), pixels.shape)
    if generator.random() < 0.15:
        turns = int(generator.integers(4))
        pixels = np.rot90(pixels, turns).copy()
        pixels[: int(generator.integers(CROP_PX // 3))] = generator.choice([0, 128, 255])
        pixels = np.rot90(pixels, -turns)
    return np.clip(pixels, 0, 255).astype(np.float32)
