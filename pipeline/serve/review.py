"""Reviews: the verdicts of people on detections, one row for each action, stored in a GeoPackage.

Nothing is ever overwritten. Each row holds the state that its action led to, so the last row of an item is its state,
and two reviewers see each other's. An action names the row it was made upon: if another one came in between, it is
refused.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import sqlite3
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely

from geo.boxes import box_tree, iou_pairs
from geo.errors import OutputError
from model.common.atomic import make_folder
from pipeline.records import CRS
from pipeline.serve.requests import RequestError

FILE_NAME = "review.gpkg"
LAYER = "reviews"

#: `right`: an airplane, and its box is right (now). `wrong`: no airplane. `checked`: a tile whose airplanes are all
#: known. `none`: no verdict (any more).
Verdict = Literal["right", "wrong", "checked", "none"]
#: The verdict after each action; `undo` restores the one before.
VERDICTS: dict[str, Verdict] = {
    "right": "right",
    "wrong": "wrong",
    "change": "right",
    "add": "right",
    "remove": "wrong",
    "check": "checked",
}

_COLUMNS = {
    "item": "str",
    "scene": "str",
    "scene_id": "str",
    "scene_uri": "str",
    "action": "str",
    "verdict": "str",
    "xmin_px": "float64",
    "ymin_px": "float64",
    "xmax_px": "float64",
    "ymax_px": "float64",
    "score": "float64",
    "model": "str",
    "reviewer": "str",
    "at": "str",
    "previous": "int64",
    "undoes": "int64",
}
_NAMES = ", ".join(_COLUMNS)
_ITEM = re.compile(r"[A-Za-z0-9-]{1,64}")
_Z95 = 1.959964
#: Intersection over union from which on boxes of two models, or of a model and a person, are of one airplane.
_SAME_IOU = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """A row of the table.

    Attributes:
        item: detection_id, or the id of an added box or of a tile.
        scene: id in the service.
        scene_id: as in the outputs.
        scene_uri: as in the outputs.
        action: see `VERDICTS`, or `undo`.
        verdict: the verdict after it.
        box: xmin, ymin, xmax, ymax in scene pixels after it.
        geometry: the box on the ground, lon/lat.
        score: of the detection; None: added by hand, or a tile.
        model: of the detection; of a tile, the model whose detections were reviewed on it; or None.
        reviewer: who did it.
        previous: the row it was made upon; 0: none.
        undoes: the row it undoes; 0: none.
        at: when, RFC 3339 UTC.
        row: its number, which grows; 0 before it is stored.
    """

    item: str
    scene: str
    scene_id: str
    scene_uri: str
    action: str
    verdict: Verdict
    box: tuple[float, float, float, float]
    geometry: shapely.Geometry
    score: float | None
    model: str | None
    reviewer: str
    previous: int = 0
    undoes: int = 0
    at: str = ""
    row: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields that the page shows, as JSON values."""
        return {
            "item": self.item,
            "verdict": self.verdict,
            "box": list(self.box),
            "geometry": shapely.geometry.mapping(self.geometry),
            "score": self.score,
            "model": self.model,
            "reviewer": self.reviewer,
            "version": self.row,
        }


class ReviewStore:
    """The table of actions; every action is on the disk before it is answered.

    Args:
        folder: for the GeoPackage, made where it is missing.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.folder = folder
        self._lock = threading.Lock()
        path = folder / FILE_NAME
        try:
            if not path.is_file():
                _create(path)
            self._database = sqlite3.connect(path, check_same_thread=False)
            # A crash of the machine, too, must not lose a row that was answered.
            self._database.execute("PRAGMA synchronous = FULL")
            (self._srs_id,) = self._database.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone()
        except (OSError, sqlite3.Error, TypeError) as error:
            raise OutputError(
                f"{path}: expected a GeoPackage of reviews, got {error}: choose another folder"
            ) from error

    def append(self, action: Action) -> Action:
        """Store an action, and return it with its number and its time.

        Raises:
            RequestError: another action came in between (409), or the item's name is invalid (400).
        """
        if not _ITEM.fullmatch(action.item):
            raise RequestError(400, "item: expected letters, digits and -, got something else")
        with self._lock:
            last = self._last(action.scene, action.item)
            if (last.row if last else 0) != action.previous:
                by = last.reviewer if last else "nobody"
                raise RequestError(409, f"{action.item}: expected its last version, got an older one: {by} was faster")
            return self._insert(action)

    def undo(self, scene: str, reviewer: str) -> Action:
        """Undo the last action of a reviewer that is not undone yet: append the state before it.

        Raises:
            RequestError: there is none, or someone else has acted on the item since (409).
        """
        with self._lock:
            rows = self._select("scene = ? AND reviewer = ?", (scene, reviewer))
            undone = {row.undoes for row in rows}
            mine = [row for row in rows if row.action != "undo" and row.row not in undone]
            if not mine:
                raise RequestError(409, "expected an action of yours to undo, got none")
            target = mine[-1]
            last = self._last(scene, target.item)
            if last is None or last.reviewer != reviewer:
                raise RequestError(409, f"{target.item}: expected your action to be the last, got another's since")
            before = self._select("fid = ?", (target.previous,))
            state = before[0] if before else dataclasses.replace(target, verdict="none")
            undo = dataclasses.replace(state, action="undo", reviewer=reviewer, previous=last.row, undoes=target.row)
            return self._insert(undo)

    def items(self, scene: str | None = None) -> list[Action]:
        """Return the last action of each item of a scene, or of all; the verdict of those that are undone is `none`."""
        with self._lock:
            rows = self._select("scene = ?", (scene,)) if scene else self._select("1 = 1", ())
        return list({(row.scene, row.item): row for row in rows}.values())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _last(self, scene: str, item: str) -> Action | None:
        rows = self._select("scene = ? AND item = ?", (scene, item))
        return rows[-1] if rows else None

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[Action]:
        query = f"SELECT fid, geometry, {_NAMES} FROM {LAYER} WHERE {condition} ORDER BY fid"  # noqa: S608 -- our own names
        return [_action(row) for row in self._database.execute(query, values)]

    def _insert(self, action: Action) -> Action:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        fields = dataclasses.asdict(dataclasses.replace(action, at=at)) | dict(
            zip(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), action.box, strict=True)
        )
        blob = b"GP\x00\x01" + struct.pack("<i", self._srs_id) + shapely.to_wkb(action.geometry, byte_order=1)
        placeholders = ", ".join("?" * (len(_COLUMNS) + 1))
        with self._database:
            cursor = self._database.execute(
                f"INSERT INTO {LAYER} (geometry, {_NAMES}) VALUES ({placeholders})",  # noqa: S608 -- our own names
                (blob, *(fields[name] for name in _COLUMNS)),
            )
        return dataclasses.replace(action, at=at, row=int(cursor.lastrowid or 0))


def _create(path: Path) -> None:
    """Write an empty table, as GDAL would."""
    import geopandas
    import pyogrio

    frame = geopandas.GeoDataFrame({name: [] for name in _COLUMNS}, geometry=[], crs=CRS).astype(_COLUMNS)
    # Without the index, whose triggers call functions that only GDAL has; the rows are few.
    pyogrio.write_dataframe(
        frame, path, layer=LAYER, driver="GPKG", geometry_type="Unknown", SPATIAL_INDEX="NO", GEOMETRY_NAME="geometry"
    )


def _action(row: tuple[Any, ...]) -> Action:
    number, blob, *values = row
    fields = dict(zip(_COLUMNS, values, strict=True))
    box = tuple(float(fields.pop(name)) for name in ("xmin_px", "ymin_px", "xmax_px", "ymax_px"))
    return Action(box=box, geometry=shapely.from_wkb(blob[8:]), row=number, **fields)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval (Wilson); NaN of nothing.

    Attributes:
        hits: of those that count.
        total: how many count.
    """

    hits: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """Return value, low and high, 0..1 or None, with the counts."""
        if not self.total:
            return {"hits": 0, "total": 0, "value": None, "low": None, "high": None}
        share, z2 = self.hits / self.total, _Z95**2 / self.total
        middle = (share + z2 / 2) / (1 + z2)
        half = _Z95 * math.sqrt(share * (1 - share) / self.total + z2 / (4 * self.total)) / (1 + z2)
        return {
            "hits": self.hits,
            "total": self.total,
            "value": round(share, 4),
            "low": round(max(0.0, middle - half), 4),
            "high": round(min(1.0, middle + half), 4),
        }


def rates(items: Iterable[Action], min_score: float) -> dict[str, Any]:
    """Return precision and recall of each model on what was reviewed, over all scenes and scene by scene.

    Precision counts every detection with a verdict. Recall counts airplanes on tiles that were checked with the model's
    detections: elsewhere nobody has searched for missed ones. A detection below the threshold is a missed airplane
    there.

    Args:
        items: the last action of each item, of one scene or of many.
        min_score: detections below it do not count, 0..1.

    Returns:
        JSON values: `min_score`, and `models`, each with `model`, `all` and `scenes` (by id).
    """
    reviewed = [item for item in items if item.verdict != "none"]
    airplanes = known_airplanes(reviewed)
    models = []
    for model in sorted({item.model for item in reviewed if item.model}):
        own = [item for item in reviewed if item.model == model]
        scenes = {
            scene: _model_rates(
                model,
                [item for item in own if item.scene == scene],
                [airplane for airplane in airplanes if airplane[0].scene == scene],
                min_score,
            )
            for scene in sorted({item.scene for item in own})
        }
        models.append({"model": model, "all": _model_rates(model, own, airplanes, min_score), "scenes": scenes})
    return {"min_score": min_score, "models": models}


def _model_rates(
    model: str, own: Sequence[Action], airplanes: Sequence[Sequence[Action]], min_score: float
) -> dict[str, Any]:
    """Return the rates of a model: of its detections and tiles, among the airplanes that are known."""
    tiles = [item for item in own if item.verdict == "checked"]
    detections = [item for item in own if item.verdict != "checked" and (item.score or 0.0) >= min_score]
    known = [boxes for boxes in airplanes if any(_centred(boxes[0], tile) for tile in tiles)]
    detected = [any(item.model == model and (item.score or 0.0) >= min_score for item in boxes) for boxes in known]
    return {
        "checked_tiles": len(tiles),
        "precision": Rate(sum(item.verdict == "right" for item in detections), len(detections)).to_json(),
        "recall": Rate(sum(detected), len(known)).to_json(),
    }


def known_airplanes(items: Iterable[Action]) -> list[list[Action]]:
    """Return the airplanes of a review: each as its boxes of verdict `right`, the latest first.

    An airplane has several boxes where more than one model detected it, or a model detects what was drawn by hand
    before. Boxes of the same model are of different airplanes.
    """
    by_scene: dict[str, list[Action]] = defaultdict(list)
    for item in items:
        if item.verdict == "right":
            by_scene[item.scene].append(item)
    airplanes: list[list[Action]] = []
    for right in by_scene.values():
        latest = sorted(right, key=lambda item: -item.row)
        boxes = np.array([item.box for item in latest], np.float64)
        tree = box_tree(boxes)
        later, earlier = tree.query(tree.geometries)
        same = (later < earlier) & (iou_pairs(boxes[later], boxes[earlier]) >= _SAME_IOU)
        candidates: dict[int, list[int]] = defaultdict(list)
        for first, second in zip(later[same].tolist(), earlier[same].tolist(), strict=True):
            candidates[second].append(first)
        groups: dict[int, list[Action]] = {}
        for number, item in enumerate(latest):
            others = [groups[other] for other in sorted(candidates[number]) if other in groups]
            group = next((each for each in others if item.model not in {box.model for box in each}), None)
            if group is None:
                groups[number] = [item]
            else:
                group.append(item)
        airplanes += groups.values()
    return airplanes


def _centred(item: Action, tile: Action) -> bool:
    """Return whether the centre of an item lies on a tile of the same scene."""
    x, y = (item.box[0] + item.box[2]) / 2, (item.box[1] + item.box[3]) / 2
    xmin, ymin, xmax, ymax = tile.box
    return item.scene == tile.scene and xmin <= x < xmax and ymin <= y < ymax
