"""The tile cache (`--work-dir`): outcomes of tiles, kept in a folder, so that an interrupted run can be resumed.

Each tile has a small file of its own, written as soon as the model has run on it: JSON under its digest. Files are
written atomically; a damaged one counts as missing. Tiles that could not be read are not cached, so they are retried.

The path of a file names everything that the outcome depends on: a folder for the run (model, settings, package
versions), in it one for the scene (what is known of its content without reading it whole, its radiometry, the area of
interest), and in that a name for the tile. A change in any of it leads to another file, so an outdated outcome is never
found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import numpy as np

from geo.grid import Tile
from geo.raster.uri import is_remote
from geo.types import Detections
from model.common.atomic import make_folder
from model.inference.predictor import Predictor
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.model_loading import ModelSpec
from pipeline.sinks import storage
from pipeline.values import TileBlock, TileImage, TileOutcome

# To be raised when the text of a file changes, so that files of earlier versions are not found.
_FORMAT = 2

_DIGITS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class TileCache:
    """The cache of one model with one set of settings.

    Attributes:
        folder: where the scenes' folders are.
    """

    folder: str

    @classmethod
    def for_model(cls, folder: str, spec: ModelSpec, versions: Mapping[str, str]) -> TileCache:
        """Return the cache of a model; creates nothing.

        Args:
            folder: the work folder that the user named, local or `gs://`.
            spec: model and settings. `batch_size` counts here: it may change the last bits of a result.
            versions: version by package, of those that can change a result.
        """
        identity = spec.identity
        key = (_FORMAT, identity.model, identity.settings_id, spec.config.batch_size, sorted(versions.items()))
        return cls(f"{folder}/{_digest(repr(key))}")

    def scene_folder(self, block: TileBlock) -> str:
        """Return the folder for the tiles of a block's scene in its present version."""
        area = None if block.area is None else block.area.wkb
        return f"{self.folder}/{_digest(repr((block.fingerprint, block.version, block.radiometry, area)))}"


def read_tiles(cache: TileCache | None, block: TileBlock) -> Generator[TileImage | TileOutcome, None, None]:
    """Yield what `steps.read_tiles` yields; for cached tiles their outcome, without opening the scene for them.

    Raises:
        OutputError: the cache cannot be written.
    """
    if cache is None:
        yield from steps.read_tiles(block)
        return
    folder = cache.scene_folder(block)
    missing = []
    for tile in block.tiles:
        outcome = load(folder, block.scene_uri, tile)
        if outcome is None:
            missing.append(tile)
        else:
            yield outcome
    if not missing:
        return
    for item in steps.read_tiles(dataclasses.replace(block, tiles=tuple(missing))):
        if isinstance(item, TileOutcome):
            store(folder, item)
            yield item
        else:
            yield dataclasses.replace(item, cache_folder=folder)


def detect_tiles(predictor: Predictor, images: Sequence[TileImage], config: PipelineConfig) -> list[TileOutcome]:
    """Run the model on tiles of one shape as `steps.detect_tiles` does, and cache the outcomes of those with a folder.

    Raises:
        OutputError: the cache cannot be written.
    """
    outcomes = steps.detect_tiles(predictor, images, config)
    for image, outcome in zip(images, outcomes, strict=True):
        if image.cache_folder is not None:
            store(image.cache_folder, outcome)
    return outcomes


def tile_file(folder: str, tile: Tile) -> str:
    """Return the file of a tile in the folder of its scene."""
    return f"{folder}/{_digest(repr(tile))}.json"


def store(folder: str, outcome: TileOutcome) -> None:
    """Write the outcome of a tile atomically; an outcome that failed is not written.

    Args:
        folder: the scene's folder; created where it is missing.
        outcome: the outcome.

    Raises:
        OutputError: it cannot be written.
    """
    if outcome.status == "failed":
        return
    if not is_remote(folder):
        make_folder(Path(folder))
    storage.write_text(tile_file(folder, outcome.tile), encode(outcome))


def load(folder: str, scene_uri: str, tile: Tile) -> TileOutcome | None:
    """Return the cached outcome of a tile; None if there is none, or its file is damaged."""
    text = storage.read_text(tile_file(folder, tile))
    return None if text is None else decode(text, scene_uri, tile)


def encode(outcome: TileOutcome) -> str:
    """Return an outcome, without scene and tile, as text: the digest of a line, and that line; floats are exact."""
    detections = outcome.detections
    line = json.dumps(
        {
            "status": outcome.status,
            "valid_fraction": outcome.valid_fraction,
            "seconds": outcome.seconds,
            "boxes": detections.boxes.tolist(),
            "scores": detections.scores.tolist(),
            "resolution_m": detections.resolution_m.tolist(),
            "candidates": outcome.candidates.tolist(),
        }
    )
    return f"{_digest(line)}\n{line}\n"


def decode(text: str, scene_uri: str, tile: Tile) -> TileOutcome | None:
    """Return the outcome that `encode` made the text of; None if the text is damaged."""
    digest, _, rest = text.partition("\n")
    line = rest.removesuffix("\n")
    if text != f"{digest}\n{line}\n" or digest != _digest(line):
        return None
    fields = json.loads(line)
    boxes = np.array(fields["boxes"], np.float64).reshape(-1, 4)
    return TileOutcome(
        scene_uri=scene_uri,
        tile=tile,
        status=fields["status"],
        detections=Detections(boxes, fields["scores"], fields["resolution_m"]),
        valid_fraction=fields["valid_fraction"],
        error=None,
        seconds=fields["seconds"],
        candidates=np.array(fields["candidates"], np.float64).reshape(-1, 2),
        cached=True,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
