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
from geo.types import FloatArray
from model.data import labels
from model.data.labels import AnnotatedImage, LabelsConfig, Picture

_PICTURES = (".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg", ".jpeg")
_SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")


@dataclass(frozen=True, slots=True, eq=False)
class _Outline:
    """One labelled airplane.

    Attributes:
        name: what to call it in a message: its file, and its place there.
        lonlat: corners of its polygon (N, 2), degrees; None where it has no geometry.
        box: its sides in pixels of its scene (4,), as our own detections carry them; NaN where it does not.
        scene: name of its scene's file, as our own detections carry it; empty where it does not.
    """

    name: str
    lonlat: FloatArray | None
    box: FloatArray
    scene: str


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A picture, and where it lies, if it says so."""

    picture: Picture
    georef: BaseGeoReference | None

    @property
    def name(self) -> str:
        return self.picture.path.name


def is_geojson(content: object) -> bool:
    """Says whether this is what a GeoJSON file of labels holds."""
    return isinstance(content, dict) and content.get("type") == "FeatureCollection"


def read_geojson(contents: dict[Path, dict[str, Any]], folder: Path, settings: LabelsConfig) -> list[AnnotatedImage]:
    """The pictures of a folder, with the airplanes that lie on them.

    A polygon goes before the pixels that a feature may carry as well: it is what a GIS corrects.

    Args:
        contents: the GeoJSON files, one or more. One that is named as a picture (`a.geojson`, `a.tif`) is that
            picture's alone; the others are of all pictures that have none of their own.
        folder: of the pictures.
        settings: of the folder.

    Raises:
        ConfigError: no airplanes, a picture without labels, or an airplane that lies on none.
        RasterError: a picture that cannot be read.
    """
    outlines = {file: _outlines(file, content) for file, content in contents.items()}
    if not any(outlines.values()):
        raise ConfigError(f"{next(iter(contents))}: expected polygons around airplanes, found none: save them again")
    scenes = _scenes(folder, next(iter(contents)))
    own = {scene: [file for file in contents if _is_of(file, scene, scenes)] for scene in scenes}
    shared = contents.keys() - set(chain.from_iterable(own.values()))
    for scene, files in own.items():
        _check_labelled(scene, bool(files or shared))
    common = list(chain.from_iterable(some for file, some in outlines.items() if file in shared))
    lying = {scene: _lying_on(scene, common, scenes) for scene, files in own.items() if not files}
    _check_placed(common, set(chain.from_iterable(lying.values())), folder)
    return [
        _photo(scene, list(chain.from_iterable(outlines[file] for file in files)) or lying.get(scene, []), settings)
        for scene, files in own.items()
    ]


def _scenes(folder: Path, file: Path) -> list[_Scene]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        raise ConfigError(f"{file}: expected pictures beside it ({', '.join(_PICTURES)}), found none: put them there")
    return [_Scene(labels.open_picture(path, file), labels.georeference(path)) for path in paths]


def _is_of(file: Path, scene: _Scene, scenes: Sequence[_Scene]) -> bool:
    return len(scenes) == 1 or file.stem == scene.picture.path.stem


def _check_labelled(scene: _Scene, labelled: bool) -> None:
    if not labelled:
        path = scene.picture.path
        raise ConfigError(
            f"{path}: expected {path.stem}.geojson beside it, found none: label the picture or move it away; if it "
            "shows no airplane, save a layer without polygons"
        )


def _lying_on(scene: _Scene, outlines: Sequence[_Outline], scenes: Sequence[_Scene]) -> list[_Outline]:
    """Those of the outlines that lie on a scene.

    One that names another of the scenes is that one's, even where the two overlap: they may be of different days. One
    of pixels alone is of the scene that it names.
    """
    others = {other.name for other in scenes if other is not scene}
    candidates = [
        outline
        for outline in outlines
        if outline.scene == scene.name or (outline.scene not in others and outline.lonlat is not None)
    ]
    on = _on(_pixel_boxes(candidates, scene), scene.picture)
    return [outline for outline, here in zip(candidates, on, strict=True) if here]


def _check_placed(outlines: Sequence[_Outline], placed: set[_Outline], folder: Path) -> None:
    for outline in outlines:
        if outline not in placed:
            raise _misplaced(outline, f"one of the pictures in {folder}")


def _photo(scene: _Scene, outlines: Sequence[_Outline], settings: LabelsConfig) -> AnnotatedImage:
    picture, boxes = scene.picture, _pixel_boxes(outlines, scene)
    for outline, on in zip(outlines, _on(boxes, picture), strict=True):
        if not on:
            raise _misplaced(outline, f"{scene.name}{_extent(scene)}")
    labels.check_boxes(boxes, [outline.name for outline in outlines], picture)
    return labels.photo(picture, scene.name, boxes, np.zeros((0, 4)), labels.resolution_m(scene.georef, settings))


def _pixel_boxes(outlines: Sequence[_Outline], scene: _Scene) -> FloatArray:
    """Upright boxes (N, 4) in the scene's pixels; not finite for one that the scene cannot show."""
    boxes = np.array([outline.box for outline in outlines]).reshape(len(outlines), 4)
    if scene.georef is None:
        return boxes
    for number, outline in enumerate(outlines):
        if outline.lonlat is not None:
            xy = scene.georef.lonlat_to_pixel(outline.lonlat)
            boxes[number] = [*xy.min(axis=0), *xy.max(axis=0)]
    return boxes


def _on(boxes: FloatArray, picture: Picture) -> NDArray[np.bool_]:
    """Says which boxes (N, 4) lie on a picture, if only in part."""
    finite = np.isfinite(boxes).all(axis=1)
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.asarray(finite & (low < [picture.width, picture.height]).all(axis=1) & (high > 0).all(axis=1))


def _misplaced(outline: _Outline, place: str) -> ConfigError:
    if outline.lonlat is None:
        return ConfigError(
            f"{outline.name}: expected a polygon on {place}, got pixels alone, of "
            f"{outline.scene or 'no scene that it names'}: put the scene there, or draw the polygon"
        )
    lon, lat = outline.lonlat.mean(axis=0)
    return ConfigError(
        f"{outline.name}: expected a polygon on {place}, got one at longitude {lon:.5f}, latitude {lat:.5f}: save the "
        "layer in EPSG:4326 (WGS 84), beside the pictures it was drawn on"
    )


def _extent(scene: _Scene) -> str:
    """Where the scene lies, for a message."""
    if scene.georef is None:
        return " (which has no georeference)"
    width, height = scene.picture.width, scene.picture.height
    corners = scene.georef.pixel_to_lonlat(np.array([[0.0, 0.0], [width, 0], [width, height], [0, height]]))
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    return f" (longitude {west:.5f} to {east:.5f}, latitude {south:.5f} to {north:.5f})"


def _outlines(file: Path, content: dict[str, Any]) -> list[_Outline]:
    to_lonlat = _to_lonlat(file, content.get("crs"))
    features = enumerate(content["features"], start=1)
    return [_outline(f"{file}: feature {number}", feature, to_lonlat) for number, feature in features]


def _to_lonlat(file: Path, crs: dict[str, Any] | None) -> Transformer:
    """From the coordinates of a file to longitude and latitude.

    RFC 7946 knows nothing else, but a GIS may write other coordinates, and then says so in the older member `crs`.
    """
    name = "OGC:CRS84" if crs is None else crs["properties"]["name"]
    try:
        return Transformer.from_crs(CRS.from_user_input(name), "OGC:CRS84", always_xy=True)
    except CRSError as error:
        raise ConfigError(
            f"{file}: expected a crs that PROJ knows, got {name!r}: save the layer in EPSG:4326 (WGS 84)"
        ) from error


def _outline(name: str, feature: dict[str, Any], to_lonlat: Transformer) -> _Outline:
    properties = feature.get("properties") or {}
    sides = [properties.get(side) for side in _SIDES]
    geometry = feature.get("geometry")
    if geometry is None and None in sides:
        raise ConfigError(
            f"{name}: expected a polygon, or pixels ({', '.join(_SIDES)}), got neither: draw it or delete the feature"
        )
    return _Outline(
        name=name,
        lonlat=None if geometry is None else _corners(name, geometry, to_lonlat),
        box=np.array([np.nan] * 4 if None in sides else sides, np.float64),
        scene=Path(str(properties.get("scene_uri") or "")).name,
    )


def _corners(name: str, geometry: dict[str, Any], to_lonlat: Transformer) -> FloatArray:
    """The corners of a polygon (N, 2), longitude and latitude."""
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
