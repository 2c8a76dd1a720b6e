"""What went wrong, to look at: missed airplanes and false hits, cut out of their pictures."""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from geo.grid import Level
from geo.raster.reader import RasterReader
from geo.types import FloatArray, ImageArray, Window
from model.evaluation.images import Picture

# A crop shows this many times the box, but not less than so many pixels of the picture, and stores not more.
_TIMES = 3.0
_LEAST_PX = 72
_MOST_PX = 240
_QUALITY = 80


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of a picture with the boxes on it.

    Attributes:
        picture: it as a data URI.
        window: what it shows, pixels of the picture.
        truth: (M, 4) airplanes there, in pixels of the picture.
        found: (N, 4) detections there that score enough to count.
        box: (4,) what the crop is about.
        caption: what went wrong.
        place: the picture's name, and where the box is.
    """

    picture: str
    window: Window
    truth: FloatArray
    found: FloatArray
    box: FloatArray
    caption: str
    place: str


def misses(pictures: Sequence[Picture], min_score: float, count: int) -> list[Crop]:
    """The airplanes that are not found at a threshold: the largest ones, and the smallest, by falling size.

    Raises:
        RasterError: a picture cannot be read.
    """
    missed = []
    for picture in pictures:
        of = picture.compared
        for place in np.flatnonzero(~(of.found_at >= min_score)):
            missed.append((float(picture.sizes_px[place]), picture, of.airplanes[place], float(of.found_at[place])))
    missed.sort(key=lambda each: -each[0])
    chosen = missed if len(missed) <= count else missed[: count // 2] + missed[count // 2 - count :]
    return [
        _crop(picture, box, f"{size:.0f} px, {_found_at(score)}", min_score) for size, picture, box, score in chosen
    ]


def false_hits(pictures: Sequence[Picture], min_score: float, count: int) -> list[Crop]:
    """The detections that are no airplanes, by falling score; those below the threshold as well, and they say so.

    Raises:
        RasterError: a picture cannot be read.
    """
    wrong = []
    for picture in pictures:
        of = picture.compared.outcomes[0.5]
        for place in np.flatnonzero(~of.correct):
            wrong.append((float(of.scores[place]), picture, picture.compared.counted.boxes[place]))
    wrong.sort(key=lambda each: -each[0])
    return [
        _crop(picture, box, f"score {score:.2f}{'' if score >= min_score else ', below the threshold'}", min_score)
        for score, picture, box in wrong[:count]
    ]


def _found_at(score: float) -> str:
    return "not found" if math.isnan(score) else f"found at {score:.2f} alone"


def _crop(picture: Picture, box: FloatArray, caption: str, min_score: float) -> Crop:
    header = picture.subject.header
    window = _window(box, header.width, header.height)
    of = picture.compared
    shown = of.counted.boxes[of.outcomes[0.5].scores >= min_score]
    return Crop(
        picture=_data_uri(_pixels(picture, window)),
        window=window,
        truth=_within(picture.subject.photo.boxes, window),
        found=_within(shown, window),
        box=box,
        caption=caption,
        place=f"{picture.subject.photo.path.name}, column {box[0]:.0f}, row {box[1]:.0f}",
    )


def _window(box: FloatArray, width: int, height: int) -> Window:
    """A square around the box, moved into the picture, or all of a picture that is smaller."""
    side = math.ceil(max(_TIMES * float((box[2:] - box[:2]).max()), _LEAST_PX))
    columns, rows = min(side, width), min(side, height)
    col = round(float(box[0] + box[2]) / 2 - columns / 2)
    row = round(float(box[1] + box[3]) / 2 - rows / 2)
    return Window(min(max(col, 0), width - columns), min(max(row, 0), height - rows), columns, rows)


def _within(boxes: FloatArray, window: Window) -> FloatArray:
    edges = np.array([window.right, window.bottom, window.col, window.row])
    return boxes[(boxes[:, :2] < edges[:2]).all(axis=1) & (boxes[:, 2:] > edges[2:]).all(axis=1)]


def _pixels(picture: Picture, window: Window) -> ImageArray:
    header = picture.subject.header
    as_it_is = Level(math.nan, header.width, header.height, 1.0, 1.0)
    with RasterReader(header.uri, header.radiometry) as reader:
        return reader.read_window(window, as_it_is)


def _data_uri(pixels: ImageArray) -> str:
    """An image (H, W, 3) as the text that stands in a page in place of an address."""
    image = Image.fromarray(pixels)
    image.thumbnail((_MOST_PX, _MOST_PX))
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def boxes_of(crop: Crop) -> Iterable[tuple[str, list[float]]]:
    """What is drawn on a crop: the kind of each box, and its left, top, width and height in pixels of the picture."""
    for kind, boxes in (("truth", crop.truth), ("found", crop.found), ("about", crop.box[None])):
        for left, top, right, bottom in boxes.tolist():
            yield kind, [round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2)]
