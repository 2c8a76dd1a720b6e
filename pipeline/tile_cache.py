"""What a run has done already, kept in a folder (`--work-dir`), so that a run that was broken off is gone on with.

Each tile has a small file of its own, written as soon as the model has looked at it: a JSON text under its digest. It
appears whole; one that is damaged all the same counts as missing. Tiles that could not be read are not kept: they are
tried again.

The file's name says everything that the outcome depends on: folders for the run (model, settings, versions of the
programs) and for the scene (what is known of its content without reading it whole, how its values become colours, the
area of interest), and in them a name for the tile. What differs in any of it is another file, so nothing is ever
compared, and nothing outdated is found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from geo.grid import Tile
from geo.types import Detections
from model.common.atomic import make_folder, write_atomically
from model.inference.predictor import Predictor
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.model_loading import Engine
from pipeline.values import Block, TileImage, TileOutcome

# Another number wherever the text of a tile's file changes: what an earlier version has kept is then not found.
_FORMAT = 1

_DIGITS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class WorkFolder:
    """Where the outcomes of tiles are kept, by one model with one set of settings; `work_folder` makes it."""

    path: Path


def work_folder(folder: Path, engine: Engine, versions: Mapping[str, str]) -> WorkFolder:
    """Returns the place in `folder` for what a model finds; makes nothing.

    Args:
        folder: what the user calls it.
        engine: model and settings. `batch_size` counts here: it may change the last bits of a result.
        versions: version by package, of those that can change a result.
    """
    identity = engine.identity
    known = (_FORMAT, identity.model, identity.settings_id, engine.config.batch_size, sorted(versions.items()))
    return WorkFolder(folder / _digest(repr(known)))


def read(work: WorkFolder | None, block: Block) -> Iterator[TileImage | TileOutcome]:
    """Yields what `steps.read` does; of tiles that are known already the outcome, without opening the scene for them.

    Raises:
        OutputError: the folder cannot be written.
    """
    if work is None:
        yield from steps.read(block)
        return
    folder = scene_folder(work, block)
    missing = []
    for tile in block.tiles:
        outcome = kept(folder, block.scene_uri, tile)
        if outcome is None:
            missing.append(tile)
        else:
            yield outcome
    if not missing:
        return
    for item in steps.read(dataclasses.replace(block, tiles=tuple(missing))):
        if isinstance(item, TileOutcome):
            keep(folder, item)
            yield item
        else:
            yield dataclasses.replace(item, kept_in=folder)


def detect(predictor: Predictor, images: Sequence[TileImage], config: PipelineConfig) -> list[TileOutcome]:
    """Looks at a batch of tiles as `steps.detect` does, and keeps what becomes of those that name a folder for it.

    Raises:
        OutputError: the folder cannot be written.
    """
    outcomes = steps.detect(predictor, images, config)
    for image, outcome in zip(images, outcomes, strict=True):
        if image.kept_in is not None:
            keep(image.kept_in, outcome)
    return outcomes


def scene_folder(work: WorkFolder, block: Block) -> Path:
    """Returns the folder for the tiles of a scene as it is now, looked at as the block says."""
    area = None if block.area is None else block.area.wkb
    return work.path / _digest(repr((block.fingerprint, block.version, block.radiometry, area)))


def tile_file(folder: Path, tile: Tile) -> Path:
    """Returns the file for a tile of the scene whose folder this is."""
    return folder / f"{_digest(repr(tile))}.json"


def keep(folder: Path, outcome: TileOutcome) -> None:
    """Writes the outcome of a tile, whole or not at all; not that of one that could not be read.

    Args:
        folder: of its scene; made where it is missing.
        outcome: what became of the tile.

    Raises:
        OutputError: it cannot be written.
    """
    if outcome.status != "failed":
        make_folder(folder)
        write_atomically(tile_file(folder, outcome.tile), [encode(outcome)])


def kept(folder: Path, scene_uri: str, tile: Tile) -> TileOutcome | None:
    """Returns what became of a tile in an earlier run; None where that is not known, or its file is damaged."""
    try:
        text = tile_file(folder, tile).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return decode(text, scene_uri, tile)


def encode(outcome: TileOutcome) -> str:
    """Returns an outcome, scene and tile aside, as text: the digest of a line, and that line; floats are exact."""
    found = outcome.detections
    line = json.dumps(
        {
            "status": outcome.status,
            "seen": outcome.seen,
            "seconds": outcome.seconds,
            "boxes": found.boxes.tolist(),
            "scores": found.scores.tolist(),
            "resolution_m": found.resolution_m.tolist(),
            "marks": outcome.marks.tolist(),
        }
    )
    return f"{_digest(line)}\n{line}\n"


def decode(text: str, scene_uri: str, tile: Tile) -> TileOutcome | None:
    """Returns the outcome that `encode` has made the text of; None where the text is damaged."""
    digest, _, rest = text.partition("\n")
    line = rest.removesuffix("\n")
    if text != f"{digest}\n{line}\n" or digest != _digest(line):
        return None
    told = json.loads(line)
    boxes = np.array(told["boxes"], np.float64).reshape(-1, 4)
    found = Detections(boxes, told["scores"], told["resolution_m"])
    marks = np.array(told["marks"], np.float64).reshape(-1, 2)
    return TileOutcome(
        scene_uri, tile, told["status"], found, told["seen"], None, told["seconds"], marks=marks, taken_over=True
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
