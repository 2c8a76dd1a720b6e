"""A scene's line in the ledger, from what became of its tiles."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from pyproj import CRS

from geo.aoi import tiles_in_area
from geo.grid import Level, Tile, Tiling, plan_tiles
from geo.raster.header import SceneHeader
from pipeline.ledger import PartFailure, SceneEntry, Status
from pipeline.values import Duplicate, Scene, SceneFailure, SceneSource, TileOutcome, TileStatus


def tiles_of(scene: Scene, tiling: Tiling) -> Iterator[Tile]:
    """Yields every tile of a scene that is looked at, level by level, finest first."""
    for level in scene.levels:
        tiles = plan_tiles(level, tiling)
        yield from tiles if scene.area is None else tiles_in_area(scene.area, tiles)


def core_km2(scene: Scene, tile: Tile, share: float) -> float:
    """Returns the ground of that share, 0..1, of a tile's core, square kilometres."""
    level, core = tile.level, tile.core
    x, y = (core.col + core.width / 2) * level.scale_x, (core.row + core.height / 2) * level.scale_y
    mx, my = scene.georef.ground_resolution_m(x, y)
    return share * core.width * level.scale_x * mx * core.height * level.scale_y * my / 1e6


def failed_entry(failure: SceneFailure) -> SceneEntry:
    """Returns the line of a scene that nothing could be done with."""
    return dataclasses.replace(_blank(failure.source, failure.header), status="failed", error=failure.error)


def duplicate_entry(duplicate: Duplicate) -> SceneEntry:
    """Returns the line of a scene that was looked at as another."""
    scene = duplicate.scene
    return dataclasses.replace(_blank(scene.source, scene.header), status="duplicate", duplicate_of=duplicate.first)


def scene_entry(
    scene: Scene, outcomes: Sequence[TileOutcome], tiling: Tiling, airplanes: int, error: str | None
) -> SceneEntry:
    """Returns the line of a scene that was looked at.

    Args:
        scene: the scene as it was planned.
        outcomes: what became of its tiles, in a fixed order.
        tiling: what it was planned with.
        airplanes: how many were found.
        error: what went wrong after the tiles, or None.
    """
    planned = sum(1 for _ in tiles_of(scene, tiling))
    counts = Counter(outcome.status for outcome in outcomes)
    failures = tuple(_part_failure(outcome) for outcome in outcomes if outcome.status == "failed")
    km2 = _km2(scene, outcomes, scene.levels[0])
    error = error or _missing(planned, counts.total()) or _first(failures, planned)
    return dataclasses.replace(
        _blank(scene.source, scene.header),
        status=_status(error, counts),
        error=error,
        parts_planned=planned,
        parts_done=counts["done"],
        parts_empty=counts["empty"],
        parts_failed=counts["failed"],
        parts_screened=counts["screened"],
        km2=round(km2, 6),
        km2_coarse=round(_km2_coarse(scene, outcomes, km2), 6) if counts["screened"] else 0.0,
        airplanes=airplanes,
        seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
        failures=failures,
        parts_taken_over=sum(outcome.taken_over for outcome in outcomes),
    )


def _blank(source: SceneSource, header: SceneHeader | None) -> SceneEntry:
    """What source and header tell, and nothing done."""
    return SceneEntry(
        scene_uri=source.uri,
        scene_id=source.scene_id or (header.scene_id if header else None),
        acquired_at=source.acquired_at or (header.acquired_at if header else None),
        status="complete",
        error=None,
        duplicate_of=None,
        width_px=header.width if header else None,
        height_px=header.height if header else None,
        crs=_crs_name(header.georef.crs) if header and header.georef else None,
        resolution_m=header.resolution_m if header else None,
        bands=header.radiometry.bands if header else None,
        stretch=_stretch(header) if header else None,
        parts_planned=0,
        parts_done=0,
        parts_empty=0,
        parts_failed=0,
        parts_screened=0,
        km2=0.0,
        km2_coarse=0.0,
        airplanes=0,
        seconds=0.0,
        failures=(),
    )


def _stretch(header: SceneHeader) -> tuple[float, float] | None:
    stretch = header.radiometry.stretch
    return (stretch.low, stretch.high) if stretch else None


def _crs_name(crs: CRS) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name


def _status(error: str | None, counts: Counter[TileStatus]) -> Status:
    if error is None:
        return "complete" if counts["done"] else "empty"
    return "incomplete" if counts["done"] else "failed"


def _missing(planned: int, accounted: int) -> str | None:
    """The error of a scene whose tiles did not all come back; no known fault does this, but it must not go unseen."""
    return None if planned == accounted else f"expected {planned} parts, got {accounted} back: run the scene again"


def _first(failures: Sequence[PartFailure], planned: int) -> str | None:
    if not failures:
        return None
    return f"{len(failures)} of {planned} parts could not be read; the first: {failures[0].error}"


def _part_failure(outcome: TileOutcome) -> PartFailure:
    window = outcome.tile.window
    return PartFailure(
        resolution_m=round(outcome.tile.level.resolution_m, 4),
        col=window.col,
        row=window.row,
        width=window.width,
        height=window.height,
        error=outcome.error or "",
    )


def _km2_coarse(scene: Scene, outcomes: Sequence[TileOutcome], km2: float) -> float:
    """Ground that the coarsest level has seen, without `km2` of it that the finest level has seen, too."""
    return max(0.0, _km2(scene, outcomes, scene.levels[-1]) - km2)


def _km2(scene: Scene, outcomes: Sequence[TileOutcome], level: Level) -> float:
    """Ground that was looked at on a level and is of interest, square kilometres."""
    looked = (one for one in outcomes if one.status == "done" and one.tile.level == level)
    return sum(core_km2(scene, one.tile, one.seen) for one in looked)
