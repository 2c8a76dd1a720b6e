"""Outlines of detected airplanes: crops of a scene around their boxes, their keypoints, and measures on the ground."""

import dataclasses

import numpy as np

from geo.errors import RasterError
from geo.georef import BaseGeoReference
from geo.grid import Level
from geo.outline import LEFT, NOSE, RIGHT, TAIL, Dimensions, measure, ordered, rectangle
from geo.raster.reader import RasterReader
from geo.types import FloatArray, ImageArray, Window
from model.detectors.keypoints.heat_maps import CONTEXT, CROP_PX
from model.inference.keypoints import load_keypoints

#: Airplanes with a shorter box, longer side in pixels of the scene, are not measured.
MIN_SIDE_PX = 12.0
#: From this probability on that nose and tail are the other way round, the heading is unknown.
MAX_REVERSED = 0.1
#: An outline whose middle lies farther from that of the box, in longer sides of the box, is not that of the airplane:
#: another one stands beside it, or the scene's edge cuts it off.
MAX_OFF_CENTRE = 0.25
_CROPS_PER_CALL = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Outline:
    """Where an airplane's ends are, and what they measure on the ground.

    Attributes:
        points: (4, 2) nose, tail, left and right wingtip, scene pixels; where the heading is None, nose and tail may be
            exchanged, and the wingtips with them.
        length_m: nose to tail, metres.
        length_sd_m: its expected error: the standard deviation.
        wingspan_m: tip to tip, metres.
        wingspan_sd_m: its expected error.
        heading_deg: of the nose, degrees clockwise from true north, or None where nose and tail cannot be told apart.
        heading_sd_deg: its expected error, or None.
    """

    points: FloatArray
    length_m: float
    length_sd_m: float
    wingspan_m: float
    wingspan_sd_m: float
    heading_deg: float | None
    heading_sd_deg: float | None


def measure_outlines(
    reader: RasterReader, georef: BaseGeoReference, boxes: FloatArray, model: str
) -> list[Outline | RasterError | None]:
    """Return the outline of each airplane; None where it is too small or contradicts the box, an error if unreadable.

    Args:
        reader: the open scene.
        georef: its georeference.
        boxes: (N, 4) scene pixels.
        model: name or folder of the keypoint model, which is loaded once in a process.

    Raises:
        WeightsError: there is no such model, or it is damaged.
        GeoreferenceError: a point is outside the domain of the CRS.
    """
    predictor = load_keypoints(model)
    outlines: list[Outline | RasterError | None] = [None] * len(boxes)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    # Neighbours one after the other, so that blocks of the file are decoded once.
    order = sorted(np.flatnonzero(sides >= MIN_SIDE_PX), key=lambda number: tuple(boxes[number, [1, 0]] // 512))
    for start in range(0, len(order), _CROPS_PER_CALL):
        crops = []
        for number in order[start : start + _CROPS_PER_CALL]:
            try:
                crops.append((number, _read_crop(reader, georef, boxes[number])))
            except RasterError as error:
                outlines[number] = error
        if crops:
            keypoints = predictor(np.stack([crop.pixels for _, crop in crops]))
            columns = (keypoints.points, predictor.sd_px(keypoints), keypoints.reversed_probability)
            for (number, crop), points, sd_px, reverse in zip(crops, *columns, strict=True):
                if np.linalg.norm(rectangle(points).mean(axis=0) - CROP_PX / 2) <= MAX_OFF_CENTRE * CROP_PX / CONTEXT:
                    outlines[number] = _outline(georef, crop, points, sd_px, float(reverse))
    return outlines


@dataclasses.dataclass(frozen=True, slots=True)
class _Crop:
    """A crop of the scene: its pixels, and the window and level that they are of."""

    pixels: ImageArray
    window: Window
    level: Level

    def to_scene(self, points: FloatArray) -> FloatArray:
        """Return points (N, 2) of the crop in scene pixels."""
        origin, scale = (self.window.col, self.window.row), (self.level.scale_x, self.level.scale_y)
        return np.asarray((points + np.array(origin)) * np.array(scale))


def _read_crop(reader: RasterReader, georef: BaseGeoReference, box: FloatArray) -> _Crop:
    """Read the surroundings of a box, scaled to the size that the model expects; black beyond the scene."""
    (left, top), (right, bottom) = box[:2], box[2:]
    x, y = (left + right) / 2, (top + bottom) / 2
    metres_x, metres_y = georef.ground_resolution_m(x, y)
    # Square on the ground, also where pixels are not.
    pixel_m = max((right - left) * metres_x, (bottom - top) * metres_y) * CONTEXT / CROP_PX
    width, height = reader.size
    columns, rows = max(1, round(width * metres_x / pixel_m)), max(1, round(height * metres_y / pixel_m))
    level = Level(pixel_m, columns, rows, width / columns, height / rows)
    window = Window(round(x / level.scale_x - CROP_PX / 2), round(y / level.scale_y - CROP_PX / 2), CROP_PX, CROP_PX)
    inside = window.intersection(Window(0, 0, columns, rows))
    pixels = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
    row, col = inside.row - window.row, inside.col - window.col
    pixels[row : row + inside.height, col : col + inside.width] = reader.read_window(inside, level)
    return _Crop(pixels, window, level)


def _outline(
    georef: BaseGeoReference, crop: _Crop, points: FloatArray, sd_px: FloatArray, reversed_probability: float
) -> Outline:
    scene_points = crop.to_scene(points)
    dimensions = measure(scene_points, georef)
    sd_m = sd_px * crop.level.resolution_m
    length_sd, wingspan_sd = float(np.hypot(*sd_m[[NOSE, TAIL]])), float(np.hypot(*sd_m[[LEFT, RIGHT]]))
    is_known = reversed_probability < MAX_REVERSED
    return Outline(
        points=ordered(scene_points, georef),
        length_m=dimensions.length_m,
        length_sd_m=length_sd,
        wingspan_m=dimensions.wingspan_m,
        wingspan_sd_m=wingspan_sd,
        heading_deg=dimensions.heading_deg if is_known else None,
        heading_sd_deg=_heading_sd_deg(dimensions, length_sd, wingspan_sd) if is_known else None,
    )


def _heading_sd_deg(dimensions: Dimensions, length_sd_m: float, wingspan_sd_m: float) -> float:
    """Return the expected error of the mean of two directions that count by the squares of their lengths."""
    length, wingspan = dimensions.length_m, dimensions.wingspan_m
    error = np.hypot(length * length_sd_m, wingspan * wingspan_sd_m) / (length**2 + wingspan**2)
    return float(np.degrees(error))
