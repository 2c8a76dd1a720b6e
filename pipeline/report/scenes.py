"""What the page shows of each scene: a small picture, and its airplanes as rows of numbers."""

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
from geo.raster import reader as raster
from pipeline.ledger import Ledger, PartFailure, SceneEntry, why_empty
from pipeline.records import PROPERTIES, Airplane

#: Fields that all airplanes of a scene share; the page holds them once.
SHARED_FIELDS = ("scene_id", "scene_uri", "acquired_at", "model")

#: Fields of one row of the page's data, in order: those of `Airplane`, and where it is.
FIELDS = (*(name for name in PROPERTIES if name not in SHARED_FIELDS), "longitude", "latitude")

PICTURE_PX = 1600
#: With many scenes each picture gets smaller, so that the page still opens: about 8 MB of pictures at most.
PICTURES_MPX = 20.0
SMALLEST_PICTURE_PX = 128
PICTURE_QUALITY = 80


def scene_views(airplanes: Sequence[Airplane], ledger: Ledger) -> list[dict[str, Any]]:
    """Returns one view for each scene that was opened and is no duplicate of another, in the ledger's order.

    Args:
        airplanes: all airplanes, in any order.
        ledger: with an entry, size included, for the scene of each of them.

    Returns:
        Values that go into JSON as they are: name, uri, status, width and height (scene pixels), picture (a data URI,
        or None), note (what the reader must know, or ""), shared (the `SHARED_FIELDS`), rows (each a list in the order
        of `FIELDS`, highest score first) and missed (parts not looked at: box in scene pixels, and the cause).

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
    longest = picture_px(len(entries))
    return [_view(entry, names[entry.scene_uri], by_scene[entry.scene_uri], longest, ledger) for entry in entries]


def picture_px(scenes: int) -> int:
    """Returns the longer side of each picture on a page of so many scenes, pixels."""
    fair_share = math.isqrt(int(PICTURES_MPX * 1e6 / max(scenes, 1)))
    return max(SMALLEST_PICTURE_PX, min(PICTURE_PX, fair_share))


def _view(entry: SceneEntry, name: str, airplanes: Sequence[Airplane], longest: int, ledger: Ledger) -> dict[str, Any]:
    picture, trouble = _picture(entry, longest)
    empty = f"Empty: {why_empty(entry)}." if entry.status == "empty" else ""
    notes = [entry.error, empty, trouble]
    return {
        "name": name,
        "uri": entry.scene_uri,
        "status": entry.status,
        "width": entry.width_px,
        "height": entry.height_px,
        "picture": picture,
        "note": " ".join(note for note in notes if note),
        "shared": _shared(entry, airplanes, ledger),
        "rows": [_row(airplane) for airplane in sorted(airplanes, key=lambda each: (-each.score, each.detection_id))],
        "missed": _missed(entry, ledger),
    }


def _shared(entry: SceneEntry, airplanes: Sequence[Airplane], ledger: Ledger) -> Mapping[str, str | None]:
    if airplanes:
        return {name: getattr(airplanes[0], name) for name in SHARED_FIELDS}
    known = {name: getattr(entry, name) for name in ("scene_id", "scene_uri", "acquired_at")}
    return known | {"model": ledger.run.model}


def _row(airplane: Airplane) -> list[str | float | None]:
    # Of an airplane in two parts (at the antimeridian) the middle of the larger part: it lies on the airplane.
    middle = max(shapely.get_parts(airplane.geometry), key=shapely.area).centroid
    place = {"longitude": round(middle.x, 7), "latitude": round(middle.y, 7)}
    return [place[name] if name in place else getattr(airplane, name) for name in FIELDS]


def _names(uris: Sequence[str]) -> dict[str, str]:
    """Returns a short name for each: the last part of the path, or the whole where that is not unique."""
    last = {uri: uri.rstrip("/").rsplit("/", 1)[-1] for uri in uris}
    used = collections.Counter(last.values())
    return {uri: name if used[name] == 1 else uri for uri, name in last.items()}


def _missed(entry: SceneEntry, ledger: Ledger) -> list[dict[str, Any]]:
    """Returns the parts that were not looked at, to draw them: box in scene pixels, and the cause."""
    if not (entry.failures and entry.width_px and entry.height_px and entry.resolution_m):
        return []
    # The ledger names parts in pixels of their level; the same settings give the same levels again.
    settings = ledger.run.settings
    size, tiling = (entry.width_px, entry.height_px), Tiling(**settings["tiling"])
    levels = plan_levels(*size, entry.resolution_m, tiling, force=settings["force"])
    by_resolution = {round(level.resolution_m, 4): level for level in levels}
    return [{"box": _scene_box(part, by_resolution[part.resolution_m]), "error": part.error} for part in entry.failures]


def _scene_box(part: PartFailure, level: Level) -> list[float]:
    """Returns a part's window, without what lies beyond the scene: xmin, ymin, xmax, ymax in scene pixels."""
    right, bottom = min(part.col + part.width, level.width), min(part.row + part.height, level.height)
    return [part.col * level.scale_x, part.row * level.scale_y, right * level.scale_x, bottom * level.scale_y]


def _picture(entry: SceneEntry, longest: int) -> tuple[str | None, str]:
    """Returns the scene in small as a data URI and "", or None and the reason."""
    try:
        return _data_uri(raster.read_thumbnail(entry.scene_uri, longest, entry.bands)), ""
    except FinderError as error:
        return None, f"No picture: {error}"


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    """Returns an image (H, W, 3) as the text that stands in a page in place of an address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=PICTURE_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
