"""COCO annotations: airplanes as boxes in the pixels of their scenes, to be corrected in a labelling tool."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo.outline import POINT_FIELDS, POINT_NAMES
from geo.raster.uri import is_remote
from pipeline import records
from pipeline.records import Airplane
from pipeline.sinks.features import FeatureText, features

if TYPE_CHECKING:
    from pipeline.ledger import SceneEntry

SUFFIX = ".coco.json"
CATEGORY = {
    "id": 1,
    "name": "airplane",
    "supercategory": "vehicle",
    "keypoints": list(POINT_NAMES),
    "skeleton": [[1, 2], [3, 4]],
}
# In COCO's words: not labelled; visible.
_UNKNOWN, _VISIBLE = 0, 2


def write_coco(path: Path, airplanes: Sequence[Airplane], scenes: Sequence[SceneEntry], uri: str) -> None:
    """Write a COCO file: an image for each processed scene, an annotation for each airplane.

    A scene without airplanes is an image without annotations. `segmentation` is the upright box, also where the
    airplane was measured: tools that make a box of it must not make a larger one. `keypoints` are unknown where nose
    and tail cannot be told apart. All fields of an airplane are in its `attributes`, and its outline on the ground in
    `geometry`; tools that do not know these ignore them.

    Args:
        path: the file.
        airplanes: in order of scene and falling score.
        scenes: ledger entries, one for the scene of each airplane, in any order.
        uri: where the file will be; local scenes are named relative to its folder.
    """
    processed = sorted(
        (scene for scene in scenes if scene.parts_done and scene.status in ("complete", "incomplete")),
        key=lambda scene: scene.scene_uri,
    )
    image_ids = {scene.scene_uri: number for number, scene in enumerate(processed, start=1)}
    info = {"description": "Airplanes detected by airplane-finder, to be corrected"}
    images = [_image(scene, image_ids[scene.scene_uri], uri) for scene in processed]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f'{{"info": {_json(info)}, "categories": {_json([CATEGORY])}, "images": {_json(images)},')
        file.write(' "annotations": [')
        separator = "\n"
        for number, (airplane, feature) in enumerate(zip(airplanes, features(airplanes), strict=True), start=1):
            file.write(separator + _annotation(airplane, number, image_ids[airplane.scene_uri], feature))
            separator = ",\n"
        file.write("\n]}\n")


def read_coco(path: Path) -> list[Airplane]:
    """Return the airplanes of a file written by `write_coco`, in file order."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        records.from_feature({"geometry": annotation["geometry"], "properties": annotation["attributes"]})
        for annotation in content["annotations"]
    ]


def _image(scene: SceneEntry, number: int, uri: str) -> Mapping[str, Any]:
    return {
        "id": number,
        "file_name": _file_name(scene.scene_uri, uri),
        "width": scene.width_px,
        "height": scene.height_px,
        "scene_uri": scene.scene_uri,
        "scene_id": scene.scene_id,
        "date_captured": scene.acquired_at or "",
    }


def _file_name(scene_uri: str, uri: str) -> str:
    """Return the name of a scene relative to the folder of the file, or its URI where one of them is remote."""
    if is_remote(scene_uri) or is_remote(uri):
        return scene_uri
    return Path(os.path.relpath(scene_uri, Path(uri).parent)).as_posix()


def _annotation(airplane: Airplane, number: int, image_id: int, feature: FeatureText) -> str:
    xmin, ymin, xmax, ymax = airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px
    # Differences of values with two decimals have two decimals.
    width, height = round(xmax - xmin, 2), round(ymax - ymin, 2)
    return (
        f'{{"id": {number}, "image_id": {image_id}, "category_id": {CATEGORY["id"]}, '
        f'"bbox": {_json([xmin, ymin, width, height])}, "area": {round(width * height, 4)}, "iscrowd": 0, '
        f'"segmentation": [{_json([xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax])}], {_keypoints(airplane)}, '
        f'"score": {airplane.score}, '
        f'"attributes": {feature.properties}, "geometry": {feature.geometry}}}'
    )


def _keypoints(airplane: Airplane) -> str:
    points = [getattr(airplane, name) for name in POINT_FIELDS]
    is_known = airplane.heading_deg is not None and None not in points
    rows = [(*points[start : start + 2], _VISIBLE) if is_known else (0, 0, _UNKNOWN) for start in range(0, 8, 2)]
    return f'"keypoints": {_json([value for row in rows for value in row])}, "num_keypoints": {4 * is_known}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
