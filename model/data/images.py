"""An annotated picture: what every kind of labels is read into."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from geo.errors import RasterError
from geo.raster.reader import read_image
from geo.types import FloatArray, ImageArray

# Pictures of 8 bits, wherever they come from.
_PLAIN = (".png", ".jpg", ".jpeg")


def _no_boxes() -> FloatArray:
    return np.zeros((0, 4))


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One annotated picture.

    Attributes:
        path: the picture's file.
        group: the airport or area it shows, within its set: pictures of one group are never parted.
        boxes: airplanes (N, 4): xmin, ymin, xmax, ymax in pixels, corner origin, half-open, float64.
        resolution_m: metres per pixel, measured or, where `resolution_known` is false, typical of the set; None where
            the picture's own georeference tells.
        resolution_known: see there.
        ignored: boxes (M, 4) of what is neither to be found nor to be called wrong.
        split: `train`, `val` or `test`, as `model.data.sources` maps the labels' own; None where they have none.
    """

    path: Path
    group: str
    boxes: FloatArray
    resolution_m: float | None
    resolution_known: bool
    ignored: FloatArray = field(default_factory=_no_boxes)
    split: str | None = None

    def pixels(self) -> ImageArray:
        """The picture as the pipeline sees it, RGB, (height, width, 3).

        Raises:
            RasterError: no such file, no picture, a damaged one, or one whose bands do not fit.
        """
        # GDAL reads a PNG that is cut off without a word, so it reads only what Pillow cannot.
        if self.path.suffix.lower() not in _PLAIN:
            return read_image(str(self.path))
        try:
            with Image.open(self.path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise RasterError(f"{self.path}: expected a picture of the data set: {error}") from error
