"""The settings of data generation, as the files of `configs/datagen/` hold them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from model.data.sources import FORMER_SPLITS, Split
from model.data.tiles import SetConfig, TileConfig


@dataclass(frozen=True, slots=True)
class DatagenConfig:
    """Everything that the tiles depend on.

    Attributes:
        data: folder of the data sets, local or of a scheme that Beam knows, such as `gs://`.
        sets: the sets, and how many tiles are cut from each.
        output: folder for the TFRecord files and the manifest, likewise.
        split: the photos to cut: `train`, unless tiles are wanted that no training may see.
        tiles: how they are placed.
        jpeg_quality: of the tiles, 1 to 95.
        shards: files to write; fewer where there are fewer photos.
        seed: of every draw.
    """

    data: str
    sets: tuple[SetConfig, ...]
    output: str
    split: Split = "train"
    tiles: TileConfig = field(default_factory=TileConfig)
    jpeg_quality: int = 90
    shards: int = 16
    seed: int = 1

    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"split": FORMER_SPLITS}

    def __post_init__(self) -> None:
        names = [wanted.set for wanted in self.sets]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"sets: expected one or more, each once, got {', '.join(names) or 'none'}")
        if not 1 <= self.jpeg_quality <= 95:
            raise ValueError(f"jpeg_quality: expected a whole number from 1 to 95, got {self.jpeg_quality}")
        if self.shards < 1:
            raise ValueError(f"shards: expected a whole number from 1 on, got {self.shards}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a whole number from 0 on, got {self.seed}")
