"""GeoJSON labels: polygons around airplanes, drawn over scenes in a GIS, or our own detections, corrected there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geo.errors import ConfigError
from geo.georef import BaseGeoReference
from geo.outline import POINT_FIELDS, ground_rectangle
from geo.types import FloatArray
from model.data import labels
from model.data.labels import AnnotatedImage, ImageInfo, LabelsConfig

_IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg", ".jpeg")
_BOX_FIELDS = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
# An outline that differs by less than this share of its box is as it was written, but for rounding.
_UNCHANGED = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class _Outline:
    """One labelled airplane.

    Attributes:
        name: its name in error messages: the file and the number of the feature.
        lonlat: corners of its polygon (N, 2), degrees; None where it has no geometry.
        box: its sides in pixels of its scene (4,), as our own detections carry them; NaN where it has none.
        points: its nose, tail and wingtips in pixels of its scene (4, 2); NaN where it has none.
        is_oriented: its polygon was written as a rectangle turned with the airplane, larger than the upright box.
        scene: file name of its scene, as our own detections carry it; empty where it has none.
    """

    name: str
    lonlat: FloatArray | None
    box: FloatArray
    points: FloatArray
    is_oriented: bool
    scene: str


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """An image with its georeference, if it has one."""

    info: ImageInfo
    georef: BaseGeoReference | None

    @property
    def name(self) -> str:
        return self.info.path.name


def is_geojson(content: object) -> bool:
    """Whether this is the content of a GeoJSON file of labels."""
    return isinstance(content, dict) and content.get("type") == "FeatureCollection"


def read_geojson(contents: dict[Path, dict[str, Any]], folder: Path, settings: LabelsConfig) -> list[AnnotatedImage]:
    """Read the images of a folder and assign the labelled airplanes to them.

    A polygon precedes the pixel box that a feature may carry as well: the polygon is what a GIS edits.

    Args:
        contents: the content of one or more GeoJSON files. A file named like an image (`a.geojson`, `a.tif`) labels
            that image alone; the others label all images without a file of their own.
        folder: the folder of the images.
        settings: the settings of the folder.

    Raises:
        ConfigError: no airplanes, an image without labels, or an airplane outside all images.
        RasterError: an image cannot be read.
    """
    outlines = {file: _read_outlines(file, content) for file, content in contents.items()}
    if not any(outlines.values()):
        raise ConfigError(f"{next(iter(contents))}: expected polygons around airplanes, found none: save them again")
    scenes = _read_scenes(folder, next(iter(contents)))
    own_files = {scene: [file for file in contents if _is_file_of(file, scene, scenes)] for scene in scenes}
    shared_files = contents.keys() - set(chain.from_iterable(own_files.values()))
    for scene, files in own_files.items():
        _check_labelled(scene, bool(files or shared_files))
    shared = list(chain.from_iterable(outlines[file] for file in outlines if file in shared_files))
    assigned = {scene: _outlines_on(scene, shared, scenes) for scene, files in own_files.items() if not files}
    _check_assigned(shared, set(chain.from_iterable(assigned.values())), folder)
    return [
        _annotate(
            scene, list(chain.from_iterable(outlines[file] for file in files)) or assigned.get(scene, []), settings
        )
        for scene, files in own_files.items()
    ]


def _read_scenes(folder: Path, file: Path) -> list[_Scene]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise ConfigError(f"{file}: expected images beside it ({', '.join(_IMAGE_SUFFIXES)}), found none: add them")
    return [_Scene(labels.read_image_info(path, file), labels.read_georeference(path)) for path in paths]


def _is_file_of(file: Path, scene: _Scene, scenes: Sequence[_Scene]) -> bool:
    return len(scenes) == 1 or file.stem == scene.info.path.stem


def _check_labelled(scene: _Scene, labelled: bool) -> None:
    if not labelled:
        path = scene.info.path
        raise ConfigError(
            f"{path}: expected {path.stem}.geojson beside it, found none: label the image or move it away; if it "
            "shows no airplane, save a layer without polygons"
        )


def _outlines_on(scene: _Scene, outlines: Sequence[_Outline], scenes: Sequence[_Scene]) -> list[_Outline]:
    """Select the outlines that lie on a scene.

    An outline that names another of the scenes belongs to that scene even where the two overlap: they may be of
    different days. An outline without a polygon belongs to the scene that it names.
    """
    other_names = {other.name for other in scenes if other is not scene}
    candidates = [
        outline
        for outline in outlines
        if outline.scene == scene.name or (outline.scene not in other_names and outline.lonlat is not None)
    ]
    on_scene = _intersects(_pixel_boxes(candidates, scene), scene.info)
    return [outline for outline, lies_here in zip(candidates, on_scene, strict=True) if lies_here]


def _check_assigned(outlines: Sequence[_Outline], assigned: set[_Outline], folder: Path) -> None:
    for outline in outlines:
        if outline not in assigned:
            raise _misplaced(outline, f"one of the images in {folder}")


def _annotate(scene: _Scene, outlines: Sequence[_Outline], settings: LabelsConfig) -> AnnotatedImage:
    info, boxes = scene.info, _pixel_boxes(outlines, scene)
    for outline, on_scene in zip(outlines, _intersects(boxes, info), strict=True):
        if not on_scene:
            raise _misplaced(outline, f"{scene.name}{_describe_extent(scene)}")
    labels.check_boxes(boxes, [outline.name for outline in outlines], info)
    resolution = labels.choose_resolution(scene.georef, settings)
    return labels.annotate_image(info, scene.name, boxes, np.zeros((0, 4)), resolution)


def _pixel_boxes(outlines: Sequence[_Outline], scene: _Scene) -> FloatArray:
    """Return upright boxes (N, 4) in the scene's pixels; not finite where an outline cannot lie on the scene."""
    boxes = np.array([outline.box for outline in outlines]).reshape(len(outlines), 4)
    if scene.georef is None:
        return boxes
    for number, outline in enumerate(outlines):
        if outline.lonlat is not None:
            boxes[number] = _upright_box(outline, outline.lonlat, scene.georef)
    return boxes


def _upright_box(outline: _Outline, lonlat: FloatArray, georef: BaseGeoReference) -> FloatArray:
    """Return the upright box (4,) of an airplane, of its polygon (N, 2): pixels of the scene.

    The corners of an oriented outline lie outside the upright box. It gives the box it was detected with; if someone
    has moved it since, the box around the middles of its edges, where the airplane's ends are.
    """
    xy = georef.lonlat_to_pixel(lonlat)
    if not outline.is_oriented:
        return _bounds(xy)
    if np.isfinite(outline.points).all() and np.isfinite(outline.box).all():
        written = _bounds(georef.lonlat_to_pixel(ground_rectangle(outline.points, georef)))
        side = (outline.box[2:] - outline.box[:2]).max()
        if np.abs(written - _bounds(xy)).max() <= _UNCHANGED * side:
            return outline.box
    ring = xy[:-1]
    return _bounds((ring + np.roll(ring, 1, axis=0)) / 2 if len(ring) == 4 else xy)


def _bounds(xy: FloatArray) -> FloatArray:
    return np.array([*xy.min(axis=0), *xy.max(axis=0)])


def _intersects(boxes: FloatArray, info: ImageInfo) -> NDArray[np.bool_]:
    """Whether each box (N, 4) lies on the image, at least in part."""
    finite = np.isfinite(boxes).all(axis=1)
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.asarray(finite & (low < [info.width, info.height]).all(axis=1) & (high > 0).all(axis=1))


def _misplaced(outline: _Outline, expected: str) -> ConfigError:
    if outline.lonlat is None:
        return ConfigError(
            f"{outline.name}: expected a polygon on {expected}, got only a pixel box, of "
            f"{outline.scene or 'an unnamed scene'}: put the scene there, or draw the polygon"
        )
    lon, lat = outline.lonlat.mean(axis=0)
    return ConfigError(
        f"{outline.name}: expected a polygon on {expected}, got one at longitude {lon:.5f}, latitude {lat:.5f}: save "
        "the layer in EPSG:4326 (WGS 84), beside the images it was drawn on"
    )


def _describe_extent(scene: _Scene) -> str:
    """Describe the scene's extent for an error message."""
    if scene.georef is None:
        return " (which has no georeference)"
    width, height = scene.info.width, scene.info.height
    corners = scene.georef.pixel_to_lonlat(np.array([[0.0, 0.0], [width, 0], [width, height], [0, height]]))
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    return f" (longitude {west:.5f} to {east:.5f}, latitude {south:.5f} to {north:.5f})"


def _read_outlines(file: Path, content: dict[str, Any]) -> list[_Outline]:
    to_lonlat = _lonlat_transformer(file, content.get("crs"))
    features = enumerate(content["features"], start=1)
    return [_read_outline(f"{file}: feature {number}", feature, to_lonlat) for number, feature in features]


def _lonlat_transformer(file: Path, crs: dict[str, Any] | None) -> Transformer:
    """Return the transformer from the coordinates of a file to longitude and latitude.

    RFC 7946 allows no other coordinates, but a GIS may write them and name their CRS in the older member `crs`.
    """
    name = "OGC:CRS84" if crs is None else crs["properties"]["name"]
    try:
        return Transformer.from_crs(CRS.from_user_input(name), "OGC:CRS84", always_xy=True)
    except CRSError as error:
        raise ConfigError(
            f"{file}: expected a crs that PROJ knows, got {name!r}: save the layer in EPSG:4326 (WGS 84)"
        ) from error


def _read_outline(name: str, feature: dict[str, Any], to_lonlat: Transformer) -> _Outline:
    properties = feature.get("properties") or {}
    sides, points = ([properties.get(name) for name in names] for names in (_BOX_FIELDS, POINT_FIELDS))
    geometry = feature.get("geometry")
    if geometry is None and None in sides:
        raise ConfigError(
            f"{name}: expected a polygon, or a pixel box ({', '.join(_BOX_FIELDS)}), got neither: draw it or delete "
            "the feature"
        )
    return _Outline(
        name=name,
        lonlat=None if geometry is None else _read_corners(name, geometry, to_lonlat),
        box=np.array([np.nan] * 4 if None in sides else sides, np.float64),
        points=np.array([np.nan] * 8 if None in points else points, np.float64).reshape(4, 2),
        is_oriented=properties.get("outline") == "oriented",
        scene=Path(str(properties.get("scene_uri") or "")).name,
    )


def _read_corners(name: str, geometry: dict[str, Any], to_lonlat: Transformer) -> FloatArray:
    """Return the corners of a polygon (N, 2), longitude and latitude."""
    try:
        polygon = shapely.geometry.shape(geometry)
    except shapely.errors.ShapelyError as error:
        raise ConfigError(f"{name}: expected a polygon, got a damaged one ({error}): draw it again") from error
    if polygon.geom_type not in ("Polygon", "MultiPolygon") or polygon.area == 0:
        raise ConfigError(
            f"{name}: expected a polygon with an area, got a {polygon.geom_type} of area {polygon.area:g}: "
            "draw the airplane's outline, or a box around it"
        )
    corners = np.column_stack(to_lonlat.transform(*shapely.get_coordinates(polygon).T))
    if not (np.abs(corners) <= [360, 90]).all():
        x, y = shapely.get_coordinates(polygon)[0]
        raise ConfigError(
            f"{name}: expected longitude and latitude, got ({x:g}, {y:g}): save the layer in EPSG:4326 (WGS 84)"
        )
    return corners
