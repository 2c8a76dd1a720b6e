"""What travels between the steps. Small and frozen, pixels aside, which never leave the process that read them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from geo.aoi import Polygons
from geo.georef import BaseGeoReference
from geo.grid import Level, Tile
from geo.raster.header import SceneHeader
from geo.raster.radiometry import Radiometry
from geo.types import Detections, FloatArray, ImageArray
from pipeline.ledger import SceneEntry
from pipeline.records import Airplane


@dataclasses.dataclass(frozen=True, slots=True)
class SceneSource:
    """A scene that was asked for, and what is told of it before it is opened: by a STAC item, its name, or nothing.

    Attributes:
        uri: where it is read from; tells scenes apart.
        scene_id: the STAC item's id, or None.
        acquired_at: when the picture was taken, RFC 3339 UTC, or None.
        bands: which bands are red, green and blue, or which one is grey, counted from 1, or None.
        crs: the coordinate system, such as "EPSG:32632", or None. This and what follows is what the file itself says
            too: it is told here so that an item that belongs to another file is noticed.
        size: columns and rows, or None.
        affine: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f, in units of the CRS, or None.
    """

    uri: str
    scene_id: str | None = None
    acquired_at: str | None = None
    bands: tuple[int, ...] | None = None
    crs: str | None = None
    size: tuple[int, int] | None = None
    affine: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A scene that was opened and planned.

    Attributes:
        source: what was asked for.
        header: what the file says.
        georef: where it lies.
        levels: what it is looked at in, finest first.
        area: the part of it that is of interest, scene pixels; None: all of it.
    """

    source: SceneSource
    header: SceneHeader
    georef: BaseGeoReference
    levels: tuple[Level, ...]
    area: Polygons | None = None

    @property
    def scene_id(self) -> str:
        """The STAC item's id, or else the fingerprint."""
        return self.source.scene_id or self.header.scene_id

    @property
    def acquired_at(self) -> str | None:
        """When the picture was taken, by its STAC item, or else its name, or else its tags."""
        return self.source.acquired_at or self.header.acquired_at


@dataclasses.dataclass(frozen=True, slots=True)
class SceneFailure:
    """A scene that nothing can be done with, and why, in one line. The header is None if it could not be read."""

    source: SceneSource
    error: str
    header: SceneHeader | None


@dataclasses.dataclass(frozen=True, slots=True)
class Duplicate:
    """A scene that shows the same as another one of the run, pixel by pixel, and the URI of that one."""

    scene: Scene
    first: str


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Tiles of one scene and level that are read one after the other, left to right and top to bottom, and how.

    Attributes:
        scene_uri: their scene.
        fingerprint: of the scene, as its header says, whatever the scene is called.
        version: of the scene's file, as its header says.
        radiometry: how its values become colours.
        area: the part of it that is of interest, scene pixels; None: all of it.
        tiles: the tiles.
    """

    scene_uri: str
    fingerprint: str
    version: str | None
    radiometry: Radiometry
    area: Polygons | None
    tiles: tuple[Tile, ...]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TileImage:
    """A tile with its pixels.

    Attributes:
        scene_uri: its scene.
        tile: the tile.
        pixels: uint8 (tile_px, tile_px, 3).
        seen: share of its core that is of interest and not missing, 0..1.
        seconds: that it took to read them.
        kept_in: the folder that keeps what becomes of it; None: nowhere.
    """

    scene_uri: str
    tile: Tile
    pixels: ImageArray
    seen: float
    seconds: float
    kept_in: Path | None = None


TileStatus = Literal["done", "empty", "failed", "screened"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TileOutcome:
    """What became of one tile; every planned tile has one.

    Attributes:
        scene_uri: its scene.
        tile: the tile.
        status: "done" (the model looked at it), "empty" (no valid pixel), "failed" (could not be read) or "screened"
            (not worth a look, by what the coarsest level has seen there).
        detections: in scene pixels; those that the tile owns.
        seen: share of its core that is of interest and was looked at, 0..1.
        error: the cause of a failure, else None.
        seconds: spent on it.
        marks: where a finer look is worth it, (N, 2), scene pixels: middles of what may be an airplane.
        taken_over: an earlier run has looked at it, and this one has not (`--work-dir`).
    """

    scene_uri: str
    tile: Tile
    status: TileStatus
    detections: Detections
    seen: float
    error: str | None
    seconds: float
    marks: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2)))
    taken_over: bool = False


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
