"""Data sets of annotated images: folders with labels in any known format, and rendered scenes; and their splits.

A data set has three splits: `train` is what a model is fitted on, `val` chooses (thresholds, settings, the best of
several models), `test` reports.
"""

import functools
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from geo.errors import ConfigError, FinderError
from geo.types import FloatArray
from model.common.atomic import make_folder
from model.data.coco import is_coco, read_coco
from model.data.geojson import is_geojson, read_geojson
from model.data.labels import (
    SETTINGS_FILE,
    AnnotatedImage,
    LabelsConfig,
    read_annotations,
    read_json,
    read_settings,
)

Split = Literal["train", "val", "test", "all"]
# Former names in commands and configs.
FORMER_SPLITS = {"fit": "train", "dev": "val"}
# From the splits that label files name to ours. The data sets have `train` and `val`; their `val` only ever reports,
# so it is our test, and our val is cut off their `train`, by groups. Labels that have a `test` mean val by `val`.
_LABEL_SPLITS = {"train": "train", "dev": "val", "val": "test", "test": "test"}
# The share of a set's labelled train images, at most, that becomes val.
_VAL_SHARE = 0.1
# The same for labels without splits: such a set is small, and a tenth of it would measure little.
_UNSPLIT_VAL_SHARE = 0.2
# Our own labels; they precede all others in a folder.
_ANNOTATIONS = "annotations.json"
_TRUTH_SUFFIX = ".truth.geojson"
# The points of an airplane in labels, in the order of `geo.outline`.
_POINTS = ("nose", "tail", "left", "right")


@dataclass(frozen=True, slots=True)
class RenderedSet:
    """Rendered scenes of one kind, one for each seed.

    Attributes:
        scene: what they show; those without an airport are background.
        seeds: one for each scene.
        size_px: side of a scene.
        resolution_m: metres per pixel.
    """

    scene: Literal["airport", "countryside", "town"]
    seeds: tuple[int, ...]
    size_px: int = 3000
    resolution_m: float = 0.5

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("rendered.seeds: expected one or more, got none")

    @property
    def name(self) -> str:
        """The name of the set in tables and results."""
        return f"rendered {self.scene} {self.resolution_m:g} m"


def read_annotated_images(folder: Path, split: str) -> list[AnnotatedImage]:
    """Read the annotated images of one split of a data set.

    Args:
        folder: the data set: our own `annotations.json`, or COCO labels, or GeoJSON labels, each with their images (a
            `labels.yaml` may hold settings, see `model.data.labels.LabelsConfig`), or scenes of `model.synthetic` (all
            of them `test`).
        split: `train`, `val`, `test`, or `all`. Where the labels name no val, whole groups of their train become val.

    Raises:
        ConfigError: folder, split or labels are missing or damaged, or the labels do not fit their images.
        RasterError: an image cannot be read.
    """
    if split not in get_args(Split):
        raise ConfigError(f"split: expected {', '.join(get_args(Split))}, got {split!r}")
    settings = read_settings(folder)
    images = _map_splits(_read_all(folder, settings))
    if split == "all":
        return images
    held_out = _held_out_groups(images, settings, folder)
    return [image for image in images if split == _split_of(image, held_out)]


def read_rendered_scenes(folder: Path) -> list[AnnotatedImage]:
    """Read the scenes that `model.synthetic` has rendered into a folder, with their truth.

    Raises:
        ConfigError: the truth of a scene is damaged.
    """
    return [_read_scene(truth) for truth in sorted(folder.glob(f"*{_TRUTH_SUFFIX}"))]


def render_scenes(rendered: RenderedSet, folder: Path) -> list[AnnotatedImage]:
    """Render the missing scenes of a set, and read all of them with their truth.

    Args:
        rendered: the set.
        folder: the set gets a subfolder of it; remove this to render the scenes anew.

    Raises:
        OutputError: the folder cannot be created.
        ConfigError: a truth in it is damaged.
        RasterError: a scene cannot be written.
    """
    from model import synthetic  # many modules: imported only where it is used

    subfolder = folder / f"{rendered.scene}-{rendered.size_px}px-{rendered.resolution_m:g}m"
    make_folder(subfolder)
    files = [subfolder / f"{seed}.tif" for seed in rendered.seeds]
    for seed, file in zip(rendered.seeds, files, strict=True):
        if not (file.is_file() and file.with_suffix(_TRUTH_SUFFIX).is_file()):
            scene = synthetic.render(rendered.size_px, seed, rendered.resolution_m, scene=rendered.scene)
            synthetic.write(scene, file)
    return [image for image in read_rendered_scenes(subfolder) if image.path in files]


def read_points(image: AnnotatedImage) -> tuple[FloatArray, FloatArray] | None:
    """Return boxes (N, 4) and points (N, 4, 2) of the airplanes of an image, in its pixels; None: its set has none.

    Points are nose, tail, left and right wingtip; NaN where hidden or outside. Helicopters and the like are left out.

    Args:
        image: of a data set with `airplanes` in its `annotations.json`, or a rendered scene.

    Raises:
        ConfigError: the points are damaged, or those of a scene are missing: it is of an older version.
    """
    truth = image.path.with_suffix(_TRUTH_SUFFIX)
    if truth.is_file():
        return image.boxes, _truth_points(truth)
    files = (folder / _ANNOTATIONS for folder in image.path.parents)
    by_path = next((_annotated_airplanes(file) for file in files if file.is_file()), {})
    if not any(by_path.values()):
        return None
    try:
        rows = [row for row in by_path.get(image.path, ()) if row.get("kind", "airplane") == "airplane"]
        points = [[row.get(name) or (math.nan, math.nan) for name in _POINTS] for row in rows]
        boxes = [row["box"] for row in rows]
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(points, np.float64).reshape(-1, 4, 2)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{image.path}: expected points of airplanes, these are damaged: {error!r}") from error


def _truth_points(truth: Path) -> FloatArray:
    """Return the points of the airplanes of a rendered scene."""
    try:
        airplanes = [feature["properties"] for feature in json.loads(truth.read_text(encoding="utf-8"))["features"]]
        points = [[airplane[f"{name}_px"] for name in _POINTS] for airplane in airplanes]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{truth}: expected the points of airplanes, got {error!r}: render the scene anew") from error
    return np.array(points, np.float64).reshape(-1, 4, 2)


@functools.lru_cache(maxsize=4)
def _annotated_airplanes(file: Path) -> dict[Path, list[dict[str, Any]]]:
    """Return the `airplanes` of each image in our own labels; COCO has none."""
    images = read_json(file)["images"]
    return {file.parent / image["image"]: image.get("airplanes", []) for image in images if "image" in image}


def val_groups(groups: Sequence[str], share: float = _VAL_SHARE) -> set[str]:
    """Select the groups that become val: in an order drawn by their names, as many as the share allows.

    Args:
        groups: the group of every train image of one set.
        share: the share of the images, at most.
    """
    sizes = Counter(groups)
    selected: set[str] = set()
    room = int(share * len(groups))
    for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if sizes[group] <= room:
            selected.add(group)
            room -= sizes[group]
    return selected


def _read_scene(truth: Path) -> AnnotatedImage:
    try:
        airplanes = [feature["properties"] for feature in json.loads(truth.read_text(encoding="utf-8"))["features"]]
        sides = [[airplane[side] for side in ("xmin_px", "ymin_px", "xmax_px", "ymax_px")] for airplane in airplanes]
        boxes = np.array(sides, np.float64).reshape(-1, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{truth}: expected the truth of a rendered scene, this is damaged: {error!r}") from error
    return AnnotatedImage(
        path=truth.with_name(truth.name.removesuffix(_TRUTH_SUFFIX) + ".tif"),
        group=truth.name,
        boxes=boxes,
        resolution_m=None,
        resolution_known=True,
        split="test",
    )


def _read_all(folder: Path, settings: LabelsConfig) -> list[AnnotatedImage]:
    """Read every image of a data set, whatever the format of its labels."""
    file = folder / _ANNOTATIONS
    if file.is_file():
        content = read_json(file)
        read = read_coco if is_coco(content) else read_annotations
        return _checked(file, lambda: read(file, folder, content, settings))
    rendered = read_rendered_scenes(folder)
    if rendered:
        return rendered
    contents = {path: read_json(path) for path in _json_files(folder)}
    coco = [path for path, content in contents.items() if is_coco(content)]
    geojson = {path: content for path, content in contents.items() if is_geojson(content)}
    _check_one_format(folder, coco, list(geojson))
    if coco:
        return _checked(coco[0], lambda: read_coco(coco[0], folder, contents[coco[0]], settings))
    return _checked(folder, lambda: read_geojson(geojson, folder, settings))


def _json_files(folder: Path) -> list[Path]:
    """List the files that may hold labels; CVAT writes them into a subfolder."""
    return sorted([*folder.glob("*.json"), *folder.glob("*.geojson"), *folder.glob("annotations/*.json")])


def _check_one_format(folder: Path, coco: Sequence[Path], geojson: Sequence[Path]) -> None:
    if not coco and not geojson:
        raise ConfigError(
            f"{folder}: expected a data set with an {_ANNOTATIONS}, with COCO or with GeoJSON labels, found none: "
            "check the path"
        )
    if len(coco) > 1 or (coco and geojson):
        first, second = [*coco, *geojson][:2]
        raise ConfigError(
            f"{folder}: expected one COCO file, or GeoJSON files, found {first.name} and {second.name}: give each a "
            "folder of its own, with its images"
        )


def _checked(name: Path, read: Callable[[], list[AnnotatedImage]]) -> list[AnnotatedImage]:
    """Return what `read` returns; labels of an unexpected structure raise a ConfigError."""
    try:
        return read()
    except FinderError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: expected annotations of images, these are damaged: {error!r}") from error


def _map_splits(images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """Replace the splits that the labels name by ours."""
    splits = _LABEL_SPLITS | {"val": "val"} if any(image.split == "test" for image in images) else _LABEL_SPLITS
    return [replace(image, split=splits.get(image.split or "", image.split)) for image in images]


def _held_out_groups(images: Sequence[AnnotatedImage], settings: LabelsConfig, folder: Path) -> set[str]:
    """Return the groups of the labelled train images that become val."""
    if settings.val is not None:
        unknown = sorted(set(settings.val) - {image.path.name for image in images})
        if unknown:
            raise ConfigError(f"{folder / SETTINGS_FILE}: val: expected names of images, {unknown[0]} is none of them")
        return {image.group for image in images if image.path.name in settings.val}
    if any(image.split == "val" for image in images):
        return set()
    groups = [image.group for image in images if image.split in (None, "train")]
    if any(image.split for image in images) or len(groups) < 2:
        return val_groups(groups)
    return val_groups(groups, max(_UNSPLIT_VAL_SHARE, 1 / len(groups)))


def _split_of(image: AnnotatedImage, held_out: set[str]) -> str | None:
    if image.split in (None, "train"):
        return "val" if image.group in held_out else "train"
    return image.split
