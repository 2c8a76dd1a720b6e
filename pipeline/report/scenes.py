"""The data of the page for each scene: a thumbnail, and its airplanes as rows of numbers."""

from __future__ import annotations

import base64
import collections
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from geo.errors import FinderError
from geo.grid import Level, Tiling, plan_levels
from geo.raster import reader
from pipeline.ledger import Ledger, PartFailure, SceneEntry, why_empty
from pipeline.records import PROPERTIES, Airplane

#: Fields that all airplanes of a scene share; the page stores them once.
SHARED_FIELDS = ("scene_id", "scene_uri", "acquired_at", "model")

#: Fields of a row, in order: those of `Airplane`, and its position.
FIELDS = (*(name for name in PROPERTIES if name not in SHARED_FIELDS), "longitude", "latitude")

#: Longer side of a thumbnail, pixels. With many scenes it shrinks, so that the page stays small: at most about 8 MB.
MAX_THUMBNAIL_PX = 1600
MIN_THUMBNAIL_PX = 128
#: Budget of all thumbnails of a page, megapixels.
THUMBNAILS_MPX = 20.0
WEBP_QUALITY = 80


def scene_views(airplanes: Sequence[Airplane], ledger: Ledger) -> list[dict[str, Any]]:
    """Return one view per scene that was opened and is not a duplicate, in the order of the ledger.

    Args:
        airplanes: all airplanes, in any order.
        ledger: has an entry with a size for the scene of every airplane.

    Returns:
        JSON values: name, uri, status, width and height (scene pixels), thumbnail (a data URI, or None), note (errors
        and remarks, or ""), shared (the `SHARED_FIELDS`), rows (lists in the order of `FIELDS`, highest score first)
        and failures (parts that were not processed: box in scene pixels, and the cause).

    Raises:
        ValueError: an airplane's scene is not in the ledger.
    """
    by_scene: dict[str, list[Airplane]] = collections.defaultdict(list)
    for airplane in airplanes:
        by_scene[airplane.scene_uri].append(airplane)
    entries = [entry for entry in ledger.scenes if entry.width_px and entry.height_px and not entry.duplicate_of]
    if unknown := by_scene.keys() - {entry.scene_uri for entry in entries}:
        raise ValueError(f"expected a ledger entry with a size for every airplane's scene, none for {min(unknown)}")
    names = _names([entry.scene_uri for entry in entries])
    max_px = thumbnail_px(len(entries))
    return [_view(entry, names[entry.scene_uri], by_scene[entry.scene_uri], max_px, ledger) for entry in entries]


def thumbnail_px(scenes: int) -> int:
    """Return the longer side of each thumbnail on a page of that many scenes, pixels."""
    side = math.isqrt(int(THUMBNAILS_MPX * 1e6 / max(scenes, 1)))
    return max(MIN_THUMBNAIL_PX, min(MAX_THUMBNAIL_PX, side))


def _view(entry: SceneEntry, name: str, airplanes: Sequence[Airplane], max_px: int, ledger: Ledger) -> dict[str, Any]:
    thumbnail, problem = _thumbnail(entry, max_px)
    empty = f"Empty: {why_empty(entry)}." if entry.status == "empty" else ""
    notes = [entry.error, empty, problem]
    return {
        "name": name,
        "uri": entry.scene_uri,
        "status": entry.status,
        "width": entry.width_px,
        "height": entry.height_px,
        "thumbnail": thumbnail,
        "note": " ".join(note for note in notes if note),
        "shared": _shared(entry, airplanes, ledger),
        "rows": [_row(airplane) for airplane in sorted(airplanes, key=_by_score)],
        "failures": _failures(entry, ledger),
    }


def _shared(entry: SceneEntry, airplanes: Sequence[Airplane], ledger: Ledger) -> Mapping[str, str | None]:
    if airplanes:
        return {name: getattr(airplanes[0], name) for name in SHARED_FIELDS}
    known = {name: getattr(entry, name) for name in ("scene_id", "scene_uri", "acquired_at")}
    return known | {"model": ledger.run.model}


def _row(airplane: Airplane) -> list[str | float | None]:
    # The centre of the larger part, where the antimeridian splits an airplane: it lies on the airplane.
    centre = max(shapely.get_parts(airplane.geometry), key=shapely.area).centroid
    position = {"longitude": round(centre.x, 7), "latitude": round(centre.y, 7)}
    return [position[name] if name in position else getattr(airplane, name) for name in FIELDS]


def _by_score(airplane: Airplane) -> tuple[float, str]:
    return -airplane.score, airplane.detection_id


def _names(uris: Sequence[str]) -> dict[str, str]:
    """Return a short name for each URI: the last part of its path, or the URI where that is ambiguous."""
    names = {uri: uri.rstrip("/").rsplit("/", 1)[-1] for uri in uris}
    counts = collections.Counter(names.values())
    return {uri: name if counts[name] == 1 else uri for uri, name in names.items()}


def _failures(entry: SceneEntry, ledger: Ledger) -> list[dict[str, Any]]:
    """Return the parts that could not be processed: box in scene pixels, and the cause."""
    if not (entry.failures and entry.width_px and entry.height_px and entry.resolution_m):
        return []
    # The ledger has the windows of parts in pixels of their level; the same settings give the same levels.
    settings = ledger.run.settings
    size, tiling = (entry.width_px, entry.height_px), Tiling(**settings["tiling"])
    levels = plan_levels(*size, entry.resolution_m, tiling, force=settings["force"])
    by_resolution = {round(level.resolution_m, 4): level for level in levels}
    return [{"box": _scene_box(part, by_resolution[part.resolution_m]), "error": part.error} for part in entry.failures]


def _scene_box(part: PartFailure, level: Level) -> list[float]:
    """Return the window of a part, clipped to the scene: xmin, ymin, xmax, ymax in scene pixels."""
    right, bottom = min(part.col + part.width, level.width), min(part.row + part.height, level.height)
    return [part.col * level.scale_x, part.row * level.scale_y, right * level.scale_x, bottom * level.scale_y]


def _thumbnail(entry: SceneEntry, max_px: int) -> tuple[str | None, str]:
    """Return the thumbnail as a data URI and "", or None and the reason."""
    try:
        return _data_uri(reader.read_thumbnail(entry.scene_uri, max_px, entry.bands)), ""
    except FinderError as error:
        return None, f"No thumbnail: {error}"


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image, uint8 (H, W, 3), as a data URI of WebP."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=WEBP_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
