"""The values that travel between the steps: small and frozen. Pixels never leave the process that read them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from geo.aoi import Polygons
    from geo.georef import BaseGeoReference
    from geo.grid import Level, Tile
    from geo.raster.header import SceneHeader
    from geo.raster.radiometry import Radiometry
    from geo.types import Detections, FloatArray, ImageArray


@dataclasses.dataclass(frozen=True, slots=True)
class SceneSource:
    """A scene as it was asked for, with what its STAC item or its file name says before it is opened.

    Attributes:
        uri: where it is read from; identifies the scene.
        scene_id: the STAC item's id, or None.
        acquired_at: acquisition time, RFC 3339 UTC, or None.
        bands: which bands are red, green and blue, or which one is grey, counted from 1, or None.
        crs: the coordinate system, such as "EPSG:32632", or None. This and the following are in the file too; they
            are compared with it, so that an item that belongs to another file is noticed.
        size: columns and rows, or None.
        affine: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f, in units of the CRS, or None.
        nodata: the nodata value of its bands, or None.
        error: why no raster is known for it, such as a STAC item without one; None: there is one.
    """

    uri: str
    scene_id: str | None = None
    acquired_at: str | None = None
    bands: tuple[int, ...] | None = None
    crs: str | None = None
    size: tuple[int, int] | None = None
    affine: tuple[float, ...] | None = None
    nodata: float | None = None
    error: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level of a planned scene.

    Attributes:
        level: the level.
        tile_count: its tiles; with an area of interest only those that touch it.
    """

    level: Level
    tile_count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A scene that was opened and planned.

    Attributes:
        source: the scene as it was asked for.
        header: metadata of the file.
        georef: its georeference.
        plan: its levels with their tile counts, finest first.
        area: the area of interest in scene pixels; None: all of the scene.
    """

    source: SceneSource
    header: SceneHeader
    georef: BaseGeoReference
    plan: tuple[LevelPlan, ...]
    area: Polygons | None = None

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels, finest first."""
        return tuple(planned.level for planned in self.plan)

    @property
    def tile_count(self) -> int:
        """The tiles of all levels."""
        return sum(planned.tile_count for planned in self.plan)

    @property
    def scene_id(self) -> str:
        """The STAC item's id, or else the fingerprint."""
        return self.source.scene_id or self.header.scene_id

    @property
    def acquired_at(self) -> str | None:
        """The acquisition time from the STAC item, else from the file name, else from the file's tags."""
        return self.source.acquired_at or self.header.acquired_at


@dataclasses.dataclass(frozen=True, slots=True)
class SceneFailure:
    """A scene that cannot be processed, and why, in one line. The header is None if it could not be read."""

    source: SceneSource
    error: str
    header: SceneHeader | None


@dataclasses.dataclass(frozen=True, slots=True)
class Duplicate:
    """A scene with the same pixels as another scene of the run, and the URI of that one."""

    scene: Scene
    first: str


@dataclasses.dataclass(frozen=True, slots=True)
class TileBlock:
    """Tiles of one scene that one worker reads in order: level by level, row by row.

    Attributes:
        scene_uri: their scene.
        fingerprint: the scene's fingerprint, from its header.
        version: the version of the scene's file, from its header.
        radiometry: how pixel values become colours.
        area: the area of interest in scene pixels; None: all of the scene.
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
        pixels: uint8 (height, width, 3) of its window.
        valid_fraction: share of its core that is valid and of interest, 0..1.
        seconds: time it took to read.
        cache_folder: folder in which its outcome is to be cached; None: nowhere.
    """

    scene_uri: str
    tile: Tile
    pixels: ImageArray
    valid_fraction: float
    seconds: float
    cache_folder: str | None = None


TileStatus = Literal["done", "empty", "failed", "screened"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TileOutcome:
    """The outcome of one tile; every planned tile has exactly one.

    Attributes:
        scene_uri: its scene.
        tile: the tile.
        status: "done" (inferred), "empty" (no valid pixel), "failed" (could not be read) or "screened" (skipped,
            because the coarsest level has no candidate nearby).
        detections: the detections that the tile owns, in scene pixels.
        valid_fraction: share of its core that was inferred, valid and of interest, 0..1.
        error: the cause of a failure, else None.
        seconds: time spent on it.
        candidates: (N, 2) scene pixels: centres of possible airplanes, near which the finer levels are inferred, too.
        cached: the outcome is that of an earlier run (`--work-dir`).
    """

    scene_uri: str
    tile: Tile
    status: TileStatus
    detections: Detections
    valid_fraction: float
    error: str | None
    seconds: float
    candidates: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2)))
    cached: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What goes into a detection's id beside scene and box: the model's name with its hash, and the settings' hash."""

    model: str
    settings_id: str
