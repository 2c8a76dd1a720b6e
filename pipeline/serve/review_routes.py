"""The routes of reviewing: state of a scene's items, actions upon them, labels and rates."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import uuid
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import Response

from geo.polygons import geojson_mapping, ground_polygon
from pipeline.serve.labels import tile_box, to_coco, to_geojson, write_image, write_labels
from pipeline.serve.requests import RequestError, parse_json, parse_score, read_body
from pipeline.serve.review import VERDICTS, Action, ReviewStore, rates
from pipeline.serve.scenes import SceneCatalog, ServedScene
from pipeline.values import Scene

_MAX_TEXT = 100
Box = tuple[float, float, float, float]


def add_review(app: FastAPI, scenes: SceneCatalog, store: ReviewStore) -> None:
    """Add the routes of reviewing to the application."""
    # The labels are rewritten after each action; two writes must not overlap.
    writing = threading.Lock()

    def perform(content: dict[str, Any]) -> dict[str, Any]:
        served = scenes.get(_text(content, "scene"))
        scene = served.opened()
        if content.get("action") == "undo":
            action = store.undo(served.id, _reviewer(content))
        else:
            asked = _action(served, scene, content)
            if asked.verdict == "checked":
                # First, so that no label is without its image.
                write_image(store.folder, scene, asked)
            action = store.append(asked)
        with writing:
            write_labels(store.folder, store.items())
        return action.to_json()

    @app.post(
        "/review/actions",
        summary="Give a verdict on a detection, add a box, or mark a tile as checked",
        description=(
            f"JSON with `scene`, `action` ({', '.join(VERDICTS)} or undo), `reviewer`, and of a detection its `item` "
            "(detection_id), `box` (scene pixels), `score`, `model` and the `version` that the action is made upon "
            "(0: none). `add` takes the `lonlat` of its corners instead, `check` that of a point, and the `model` "
            "whose detections were reviewed there. 409: another reviewer was faster."
        ),
        tags=["review"],
    )
    async def act(request: Request) -> dict[str, Any]:
        content = parse_json(await read_body(request))
        return await asyncio.to_thread(perform, content)

    @app.get("/review/items", summary="The state of everything reviewed in a scene", tags=["review"])
    def scene_items(scene: str) -> dict[str, Any]:
        return {"items": [item.to_json() for item in store.items(scenes.get(scene).id)]}

    @app.get(
        "/review/rates",
        summary="Precision and recall of each model, over all reviewed scenes and scene by scene",
        description=(
            "With 95 % intervals (Wilson). Precision counts the detections with a verdict from `min_score` on, recall "
            "the airplanes on tiles that were checked with the model's detections."
        ),
        tags=["review"],
    )
    def all_rates(min_score: str | None = None) -> dict[str, Any]:
        return rates(store.items(), parse_score(min_score) or 0.0)

    def polygons(content: dict[str, Any]) -> dict[str, Any]:
        scene = scenes.get(_text(content, "scene")).opened()
        boxes = content.get("boxes")
        if not isinstance(boxes, list):
            raise RequestError(400, "boxes: expected a list of boxes, got something else")
        drawn = [ground_polygon(np.array(_box(scene, {"box": sides})), scene.georef) for sides in boxes]
        return {"geometries": [geojson_mapping(polygon) for polygon in drawn]}

    @app.post(
        "/review/boxes",
        summary="Boxes of a scene on the ground",
        description=(
            "JSON with `scene` and `boxes` (scene pixels): their polygons, in `geometries`. Reviews are of upright "
            "boxes, and the geometry of a detection that was measured is turned with the airplane."
        ),
        tags=["review"],
    )
    async def boxes_on_the_ground(request: Request) -> dict[str, Any]:
        content = parse_json(await read_body(request))
        return await asyncio.to_thread(polygons, content)

    @app.get("/review/tile", summary="The tile around a position: its box in scene pixels", tags=["review"])
    def tile(scene: str, lon: float, lat: float) -> dict[str, Any]:
        opened = scenes.get(scene).opened()
        x, y = _pixels(opened, [[lon, lat]])[0]
        return {"box": list(_checked_tile(opened, float(x), float(y)))}

    @app.get("/review/export.{kind}", summary="All reviews as labels: geojson or coco", tags=["review"])
    def export(kind: str) -> Response:
        if kind not in ("geojson", "coco"):
            raise RequestError(404, "expected export.geojson or export.coco, got another")
        content = to_geojson(store.items()) if kind == "geojson" else to_coco(store.items())
        name = "review.geojson" if kind == "geojson" else "review.coco.json"
        headers = {"Content-Disposition": f'inline; filename="{name}"'}
        return Response(json.dumps(content), media_type="application/json", headers=headers)


def _action(served: ServedScene, scene: Scene, content: dict[str, Any]) -> Action:
    """Return the action of a request.

    Raises:
        RequestError: a value is missing, or not what it should be.
    """
    name = content.get("action")
    if not isinstance(name, str) or name not in VERDICTS:
        raise RequestError(400, f"action: expected {', '.join(VERDICTS)} or undo, got something else")
    version = content.get("version", 0)
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 2**62:
        raise RequestError(400, "version: expected the version of the item, or 0, got something else")
    if name == "check":
        box = _tile(scene, content)
        item = f"tile-{round(box[0])}-{round(box[1])}"
    else:
        box = _box(scene, content)
        item = f"added-{uuid.uuid4().hex[:12]}" if name == "add" else _text(content, "item")
    is_detected = content.get("score") is not None and name not in ("add", "check")
    has_model = is_detected or (name == "check" and content.get("model") is not None)
    return Action(
        item=item,
        scene=served.id,
        scene_id=scene.scene_id,
        scene_uri=served.source.uri,
        action=name,
        verdict=VERDICTS[name],
        box=box,
        geometry=ground_polygon(np.array(box), scene.georef),
        score=_number(content, "score", 0, 1) if is_detected else None,
        model=_text(content, "model") if has_model else None,
        reviewer=_reviewer(content),
        previous=version,
    )


def _box(scene: Scene, content: dict[str, Any]) -> Box:
    """Return the box of a request in scene pixels, clipped to the scene: given so, or drawn as corners in lon/lat."""
    sides: Any = content.get("box")
    if "lonlat" in content:
        xy = _pixels(scene, content["lonlat"])
        sides = [*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist()]
    if not (isinstance(sides, list) and len(sides) == 4 and all(_is_number(side) for side in sides)):
        raise RequestError(400, "box: expected xmin, ymin, xmax, ymax in scene pixels, got something else")
    size = (scene.header.width, scene.header.height) * 2
    box = [round(min(max(float(side), 0.0), float(limit)), 2) for side, limit in zip(sides, size, strict=True)]
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise RequestError(400, "box: expected at least a pixel of the scene, got less: draw it on the scene")
    return box[0], box[1], box[2], box[3]


def _tile(scene: Scene, content: dict[str, Any]) -> Box:
    x, y = _pixels(scene, [content.get("lonlat")])[0]
    return _checked_tile(scene, float(x), float(y))


def _checked_tile(scene: Scene, x: float, y: float) -> Box:
    if not (0 <= x < scene.header.width and 0 <= y < scene.header.height):
        raise RequestError(400, "lonlat: expected a position on the scene, got another: pan back to it")
    return tile_box(scene, x, y)


def _pixels(scene: Scene, lonlat: Any) -> np.ndarray[Any, Any]:
    """Return the positions (N, 2) of a request, longitude and latitude, in scene pixels."""
    pairs = lonlat if isinstance(lonlat, list) and 0 < len(lonlat) <= 16 else [None]
    if not all(_is_lonlat(pair) for pair in pairs):
        raise RequestError(400, "lonlat: expected longitude and latitude in degrees, got something else")
    centre = scene.header.width / 2, scene.header.height / 2
    xy = scene.georef.lonlat_to_pixel(np.array(lonlat, np.float64), centre)
    if not np.isfinite(xy).all():
        raise RequestError(400, "lonlat: expected positions on the scene, got others: pan back to it")
    return np.asarray(xy)


def _is_lonlat(pair: Any) -> bool:
    if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))):
        return False
    return bool(abs(pair[0]) <= 540 and abs(pair[1]) <= 90)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _number(content: dict[str, Any], key: str, low: float, high: float) -> float:
    value = content.get(key)
    if not _is_number(value) or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise RequestError(400, f"{key}: expected a number from {low:g} to {high:g}, got something else")
    return float(value)  # type: ignore[arg-type]


def _text(content: dict[str, Any], key: str) -> str:
    value = content.get(key)
    if not (isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()):
        raise RequestError(400, f"{key}: expected text of 1 to {_MAX_TEXT} characters, got something else")
    return value


def _reviewer(content: dict[str, Any]) -> str:
    return _text(content, "reviewer")
