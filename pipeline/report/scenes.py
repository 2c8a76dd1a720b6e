"""The data of the page for each scene: its pixels, and its airplanes as rows of numbers."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from geo.outline import POINT_FIELDS, rectangle
from pipeline.ledger import Ledger, PartFailure, SceneEntry, why_empty
from pipeline.records import PROPERTIES, Airplane
from pipeline.report import pixels

#: Fields that all airplanes of a scene share; the page stores them once.
SHARED_FIELDS = ("scene_id", "scene_uri", "acquired_at", "model")

#: Fields of a row, in order: those of `Airplane`, its position, and the `corners` of its outline for its points.
FIELDS = (
    *(name for name in PROPERTIES if name not in (*SHARED_FIELDS, "outline", *POINT_FIELDS)),
    "longitude",
    "latitude",
    "corners",
)

#: Bytes of all scenes' data: with tiles of pixels the page grows up to this, and stays below 15 MB.
MAX_BYTES = 14_000_000


def scene_views(airplanes: Sequence[Airplane], ledger: Ledger, max_bytes: int = MAX_BYTES) -> list[dict[str, Any]]:
    """Return one view per scene that was opened and is not a duplicate, in the order of the ledger.

    Args:
        airplanes: all airplanes, in any order.
        ledger: has an entry with a size for the scene of every airplane.
        max_bytes: tiles of pixels are left out beyond this size of all views as JSON; those of the airplanes with the
            highest scores come first.

    Returns:
        JSON values: name, uri, status, width and height (scene pixels), resolution_m (of a
        pixel, or None), overview (base64 of a WebP image, or None),
        tiles (width and height of the level that they are cut from, the side of a tile in pixels of that level, and
        images as base64 by "column,row"; or None if the overview shows as much), sharp (how many airplanes are shown in
        as many pixels as the detector saw), note (errors and remarks, or ""), shared (the `SHARED_FIELDS`), rows (lists
        in the order of `FIELDS`, highest score first) and failures (parts that were not processed: box in scene pixels,
        and the cause).

    Raises:
        ValueError: an airplane's scene is not in the ledger.
    """
    by_scene: dict[str, list[Airplane]] = collections.defaultdict(list)
    for airplane in sorted(airplanes, key=_by_score):
        by_scene[airplane.scene_uri].append(airplane)
    entries = [entry for entry in ledger.scenes if entry.width_px and entry.height_px and not entry.duplicate_of]
    if unknown := by_scene.keys() - {entry.scene_uri for entry in entries}:
        raise ValueError(f"expected a ledger entry with a size for every airplane's scene, none for {min(unknown)}")
    names = _names([entry.scene_uri for entry in entries])
    max_px = pixels.overview_px(len(entries))
    views = [_view(entry, names[entry.scene_uri], by_scene[entry.scene_uri], max_px, ledger) for entry in entries]
    _add_tiles(views, entries, [by_scene[entry.scene_uri] for entry in entries], max_px, max_bytes)
    return views


def _add_tiles(
    views: Sequence[dict[str, Any]],
    entries: Sequence[SceneEntry],
    airplanes: Sequence[Sequence[Airplane]],
    max_px: int,
    max_bytes: int,
) -> None:
    """Add tiles of pixels to the views, as many as fit, and count the airplanes that they show."""
    levels = {
        index: pixels.detail_level(entry)
        for index, entry in enumerate(entries)
        if views[index]["overview"] and pixels.needs_tiles(entry, max_px)
    }
    for index, level in levels.items():
        views[index]["tiles"] = {"width": level.width, "height": level.height, "side": pixels.TILE_PX, "images": {}}
    of_scenes = [(index, airplane) for index, shown in enumerate(airplanes) for airplane in shown]
    free = max_bytes - len(json.dumps(views, separators=(",", ":")))
    images = pixels.read_tiles(entries, pixels.tiles_by_priority(of_scenes, levels), levels, free)
    for (index, col, row), image in images.items():
        views[index]["tiles"]["images"][f"{col},{row}"] = image
    for index, airplane in of_scenes:
        if index in levels:
            tiles = pixels.airplane_tiles(airplane, levels[index])
            views[index]["sharp"] += all((index, *tile) in images for tile in tiles)
        elif views[index]["overview"]:
            views[index]["sharp"] += 1


def _view(entry: SceneEntry, name: str, airplanes: Sequence[Airplane], max_px: int, ledger: Ledger) -> dict[str, Any]:
    overview, problem = pixels.read_overview(entry, max_px)
    empty = f"Empty: {why_empty(entry)}." if entry.status == "empty" else ""
    notes = [entry.error, empty, problem]
    return {
        "name": name,
        "uri": entry.scene_uri,
        "status": entry.status,
        "width": entry.width_px,
        "height": entry.height_px,
        "resolution_m": math.sqrt(math.prod(entry.resolution_m)) if entry.resolution_m else None,
        "overview": overview,
        "tiles": None,
        "sharp": 0,
        "note": " ".join(note for note in notes if note),
        "shared": _shared(entry, airplanes, ledger),
        "rows": [_row(airplane, entry) for airplane in airplanes],
        "failures": _failures(entry),
    }


def _shared(entry: SceneEntry, airplanes: Sequence[Airplane], ledger: Ledger) -> Mapping[str, str | None]:
    if airplanes:
        return {name: getattr(airplanes[0], name) for name in SHARED_FIELDS}
    known = {name: getattr(entry, name) for name in ("scene_id", "scene_uri", "acquired_at")}
    return known | {"model": ledger.run.model}


def _row(airplane: Airplane, entry: SceneEntry) -> list[str | float | list[float] | None]:
    # The centre of the larger part, where the antimeridian splits an airplane: it lies on the airplane.
    centre = max(shapely.get_parts(airplane.geometry), key=shapely.area).centroid
    more = {"longitude": round(centre.x, 7), "latitude": round(centre.y, 7), "corners": _corners(airplane, entry)}
    return [more[name] if name in more else getattr(airplane, name) for name in FIELDS]


def _corners(airplane: Airplane, entry: SceneEntry) -> list[float] | None:
    """Return the corners of an outline, x and y in scene pixels, first and last beside the nose; None: a box."""
    points = np.array([getattr(airplane, name) for name in POINT_FIELDS], np.float64).reshape(4, 2)
    if np.isnan(points).any():
        return None
    # The geometry is a rectangle on the ground: in pixels it is one only if they are square.
    pixel_m = np.array(entry.resolution_m or (1.0, 1.0))
    return [round(float(side), 1) for side in (rectangle(points * pixel_m) / pixel_m).ravel()]


def _by_score(airplane: Airplane) -> tuple[float, str]:
    return -airplane.score, airplane.detection_id


def _names(uris: Sequence[str]) -> dict[str, str]:
    """Return a short name for each URI: the last part of its path, or the URI where that is ambiguous."""
    names = {uri: uri.rstrip("/").rsplit("/", 1)[-1] for uri in uris}
    counts = collections.Counter(names.values())
    return {uri: name if counts[name] == 1 else uri for uri, name in names.items()}


def _failures(entry: SceneEntry) -> list[dict[str, Any]]:
    """Return the parts that could not be processed: box in scene pixels, and the cause."""
    return [{"box": _scene_box(part, entry), "error": part.error} for part in entry.failures]


def _scene_box(part: PartFailure, entry: SceneEntry) -> list[float]:
    """Return the window of a part, clipped to the scene: xmin, ymin, xmax, ymax in scene pixels."""
    (level,) = (level for level in entry.levels if level.resolution_m == part.resolution_m)
    scale_x, scale_y = (entry.width_px or 0) / level.width, (entry.height_px or 0) / level.height
    right, bottom = min(part.col + part.width, level.width), min(part.row + part.height, level.height)
    return [part.col * scale_x, part.row * scale_y, right * scale_x, bottom * scale_y]
