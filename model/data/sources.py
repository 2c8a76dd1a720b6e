"""Sets of annotated pictures: a folder with pictures, and labels of any kind that is known, recognised by content."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from geo.errors import ConfigError, FinderError
from model.data.annotations import read_annotations
from model.data.coco import is_coco, read_coco
from model.data.geojson import is_geojson, read_geojson
from model.data.images import Photo
from model.data.labels import SETTINGS_FILE, LabelsConfig, read_json, read_settings

__all__ = ["Photo", "Split", "read_photos", "read_rendered", "val_groups"]

# What is fitted on, what chooses (thresholds, settings, the best of several models), what reports; and all three.
Split = Literal["train", "val", "test", "all"]
# How commands and configs called these before.
FORMER_SPLITS = {"fit": "train", "dev": "val"}
# The labels' own splits. The data sets know two: on their `val` we only report, so it is our test; our val is cut off
# their `train`, by groups. Labels that have a `test` of their own are taken by their word.
_LABELLED_SPLITS = {"train": "train", "dev": "val", "val": "test", "test": "test"}
# The share of a set's labelled train photos, at most, that becomes val.
_VAL_SHARE = 0.1
# The same of a set whose labels have no splits: it is small, and a tenth of it would measure little.
_UNSPLIT_VAL_SHARE = 0.2
# Our own labels are called this, and go before whatever else lies in the folder.
_ANNOTATIONS = "annotations.json"
# What the truth beside a rendered scene is called.
_TRUTH = ".truth.geojson"


def read_photos(folder: Path, split: str) -> list[Photo]:
    """Reads the photos of one set.

    Args:
        folder: holds our own `annotations.json`, or COCO labels, or GeoJSON labels, each with their pictures (then a
            `labels.yaml` may say more about them: `model.data.labels`), or scenes that `model.synthetic` has
            drawn (all of them `test`).
        split: `train`, `val`, `test`, or `all`. Where the labels have no val, whole groups of their train are.

    Raises:
        ConfigError: no such folder, split or labels, or damaged ones, or ones that do not fit their pictures.
        RasterError: a picture that cannot be read.
    """
    if split not in get_args(Split):
        raise ConfigError(f"split: expected {', '.join(get_args(Split))}, got {split!r}")
    settings = read_settings(folder)
    photos = _mapped(_read(folder, settings))
    if split == "all":
        return photos
    held_out = _held_out(photos, settings, folder)
    return [photo for photo in photos if split == _split(photo, held_out)]


def read_rendered(folder: Path) -> list[Photo]:
    """The scenes in a folder that `model.synthetic` has drawn.

    Raises:
        ConfigError: the truth of one is damaged.
    """
    return [_scene(truth) for truth in sorted(folder.glob(f"*{_TRUTH}"))]


def val_groups(groups: Sequence[str], share: float = _VAL_SHARE) -> set[str]:
    """The groups of train that become val: in an order drawn by their names, as many as a share of photos allows.

    Args:
        groups: the group of every train photo of one set.
        share: of the photos, at most.
    """
    sizes = Counter(groups)
    chosen: set[str] = set()
    room = int(share * len(groups))
    for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if sizes[group] <= room:
            chosen.add(group)
            room -= sizes[group]
    return chosen


def _scene(truth: Path) -> Photo:
    """A rendered scene with its truth."""
    try:
        found = [feature["properties"] for feature in json.loads(truth.read_text(encoding="utf-8"))["features"]]
        sides = [[airplane[side] for side in ("xmin_px", "ymin_px", "xmax_px", "ymax_px")] for airplane in found]
        boxes = np.array(sides, np.float64).reshape(-1, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{truth}: expected the truth of a rendered scene, this is damaged: {error!r}") from error
    return Photo(
        path=truth.with_name(truth.name.removesuffix(_TRUTH) + ".tif"),
        group=truth.name,
        boxes=boxes,
        resolution_m=None,
        resolution_known=True,
        split="test",
    )


def _read(folder: Path, settings: LabelsConfig) -> list[Photo]:
    """Every photo of a set, whatever kind of labels it has."""
    file = folder / _ANNOTATIONS
    if file.is_file():
        content = read_json(file)
        read = read_coco if is_coco(content) else read_annotations
        return _readable(file, lambda: read(file, folder, content, settings))
    rendered = read_rendered(folder)
    if rendered:
        return rendered
    contents = {path: read_json(path) for path in _json_files(folder)}
    coco = [path for path, content in contents.items() if is_coco(content)]
    geojson = {path: content for path, content in contents.items() if is_geojson(content)}
    _check_one_kind(folder, coco, list(geojson))
    if coco:
        return _readable(coco[0], lambda: read_coco(coco[0], folder, contents[coco[0]], settings))
    return _readable(folder, lambda: read_geojson(geojson, folder, settings))


def _json_files(folder: Path) -> list[Path]:
    """Where labels may be: CVAT puts them into a folder below."""
    return sorted([*folder.glob("*.json"), *folder.glob("*.geojson"), *folder.glob("annotations/*.json")])


def _check_one_kind(folder: Path, coco: Sequence[Path], geojson: Sequence[Path]) -> None:
    if not coco and not geojson:
        raise ConfigError(
            f"{folder}: expected a data set with an {_ANNOTATIONS}, with COCO or with GeoJSON labels, found none: "
            "check the path"
        )
    if len(coco) > 1 or (coco and geojson):
        one, other = [*coco, *geojson][:2]
        raise ConfigError(
            f"{folder}: expected one COCO file, or GeoJSON files, found {one.name} and {other.name}: give each a "
            "folder of its own, with its pictures"
        )


def _readable(name: Path, read: Callable[[], list[Photo]]) -> list[Photo]:
    """What `read` returns; labels that are not built as they should be are a ConfigError."""
    try:
        return read()
    except FinderError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: expected annotations of photos, these are damaged: {error!r}") from error


def _mapped(photos: Sequence[Photo]) -> list[Photo]:
    """The photos with our splits in place of their labels' own."""
    splits = _LABELLED_SPLITS | {"val": "val"} if any(photo.split == "test" for photo in photos) else _LABELLED_SPLITS
    return [replace(photo, split=splits.get(photo.split or "", photo.split)) for photo in photos]


def _held_out(photos: Sequence[Photo], settings: LabelsConfig, folder: Path) -> set[str]:
    """The groups of train that become val."""
    if settings.val is not None:
        unknown = sorted(set(settings.val) - {photo.path.name for photo in photos})
        if unknown:
            raise ConfigError(
                f"{folder / SETTINGS_FILE}: val: expected names of pictures, {unknown[0]} is none of them"
            )
        return {photo.group for photo in photos if photo.path.name in settings.val}
    if any(photo.split == "val" for photo in photos):
        return set()
    groups = [photo.group for photo in photos if photo.split in (None, "train")]
    if any(photo.split for photo in photos) or len(groups) < 2:
        return val_groups(groups)
    return val_groups(groups, max(_UNSPLIT_VAL_SHARE, 1 / len(groups)))


def _split(photo: Photo, held_out: set[str]) -> str:
    """The split that a photo belongs to."""
    if photo.split in (None, "train"):
        return "val" if photo.group in held_out else "train"
    return photo.split
