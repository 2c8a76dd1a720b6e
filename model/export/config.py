"""Settings of an export."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.detectors import INPUT_MULTIPLE

Format = Literal["saved_model", "frozen_graph", "litert", "onnx"]


@dataclass(frozen=True, slots=True)
class ChipTiling:
    """How an image is cut into chips for a classifier.

    At each zoom the image is resampled to one zoom-th of its size and cut into overlapping chips of 20 px that lie
    inside it. In the image, the box of a chip has 20 px times the zoom.

    Attributes:
        zooms: above 0; 1 keeps the size of the image, 2 halves it.
        step_px: from one chip to the next, in pixels of the resampled image.
    """

    zooms: tuple[float, ...] = (0.5, 0.71, 1.0, 1.41)
    step_px: int = 4

    def __post_init__(self) -> None:
        if not (self.zooms and all(math.isfinite(zoom) and zoom > 0 for zoom in self.zooms)):
            raise ValueError(f"zooms: expected one or more numbers above 0, got {self.zooms}")
        if self.step_px < 1:
            raise ValueError(f"step_px: expected a whole number from 1 on, got {self.step_px}")


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What to export, and on which tiles to check it.

    Attributes:
        model: name of a packaged model, or a model folder.
        output: folder to write; an earlier export there is replaced.
        formats: formats to write.
        data: folder of the data sets; if it does not exist, a scene is rendered for the check.
        sets: names of the sets whose test images are used in the check.
        tiles: tiles per set.
        tile_px: side of a tile.
        chips: how a classifier, which takes chips of 20 px, is applied to images; not used for a detector.
    """

    model: str
    output: Path
    formats: tuple[Format, ...]
    data: Path
    sets: tuple[str, ...]
    tiles: int
    tile_px: int
    chips: ChipTiling = field(default_factory=ChipTiling)

    def __post_init__(self) -> None:
        for name in ("formats", "sets"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected one or more, got none")
        if self.tiles < 1:
            raise ValueError(f"tiles: expected a whole number from 1 on, got {self.tiles}")
        if self.tile_px < 1 or self.tile_px % INPUT_MULTIPLE:
            raise ValueError(f"tile_px: expected a multiple of {INPUT_MULTIPLE}, got {self.tile_px}")
