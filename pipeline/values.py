"""What travels between the steps. Small and frozen, pixels aside, which never leave the process that read them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from geo.georef import GeoReference
from geo.grid import Level, Tile
from geo.raster import SceneHeader
from geo.types import Detections, ImageArray
from pipeline.ledger import SceneEntry
from pipeline.records import Airplane


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A scene that was opened and planned: its header, where it lies, and its levels, finest first."""

    header: SceneHeader
    georef: GeoReference
    levels: tuple[Level, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class SceneFailure:
    """A scene that nothing can be done with, and why, in one line. The header is None if it could not be read."""

    scene_uri: str
    error: str
    header: SceneHeader | None


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Tiles of one scene and level that are read one after the other, left to right and top to bottom."""

    scene_uri: str
    tiles: tuple[Tile, ...]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TileImage:
    """A tile with its pixels, uint8 (tile_px, tile_px, 3), and the seconds it took to read them."""

    scene_uri: str
    tile: Tile
    pixels: ImageArray
    seconds: float


TileStatus = Literal["done", "empty", "failed"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TileOutcome:
    """What became of one tile; every planned tile has one.

    Attributes:
        scene_uri: its scene.
        tile: the tile.
        status: "done" (the model looked at it), "empty" (no valid pixel) or "failed" (could not be read).
        detections: in scene pixels; those that the tile owns.
        error: the cause of a failure, else None.
        seconds: spent on it.
    """

    scene_uri: str
    tile: Tile
    status: TileStatus
    detections: Detections
    error: str | None
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class SceneResult:
    """A finished scene: its line in the ledger, and its airplanes, the surest first."""

    entry: SceneEntry
    airplanes: tuple[Airplane, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What goes into an airplane's id beside scene and box: the model's name with its hash, and the settings'."""

    model: str
    settings_id: str
