"""The scenes that the service was started with: the only files it reads for a request that names one."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from geo.errors import FinderError
from geo.georef import BaseGeoReference
from geo.raster.uri import is_remote, redacted
from pipeline.config import PipelineConfig
from pipeline.planning import describe_scene
from pipeline.serve.requests import RequestError
from pipeline.values import Scene, SceneFailure, SceneSource


class ServedScene:
    """A scene under its id in the service; its header is read once, when it is first asked for.

    Args:
        id: in addresses.
        source: the scene.
        config: the settings it is planned with.
    """

    def __init__(self, id: str, source: SceneSource, config: PipelineConfig) -> None:  # noqa: A002
        self.id = id
        self.source = source
        self._config = config
        self._described: Scene | SceneFailure | None = None
        self._lock = threading.Lock()

    def described(self) -> Scene | SceneFailure:
        """Return the planned scene, or why it cannot be processed; reads its header."""
        with self._lock:
            if self._described is None:
                self._described = describe_scene(self.source, self._config)
            return self._described

    def opened(self) -> Scene:
        """Return the planned scene.

        Raises:
            RequestError: it cannot be processed (422).
        """
        scene = self.described()
        if isinstance(scene, SceneFailure):
            raise RequestError(422, scene.error)
        return scene

    def summary(self) -> dict[str, Any]:
        """Return what lists show of the scene, as JSON values; reads its header."""
        scene = self.described()
        summary: dict[str, Any] = {"id": self.id, "uri": redacted(self.source.uri)}
        if isinstance(scene, SceneFailure):
            return summary | {"error": scene.error}
        return summary | {
            "scene_id": scene.scene_id,
            "acquired_at": scene.acquired_at,
            "width_px": scene.header.width,
            "height_px": scene.header.height,
            "resolution_m": [round(metres, 4) for metres in scene.header.resolution_m],
            "bounds": lonlat_bounds(scene),
            "error": None,
        }


def lonlat_bounds(scene: Scene) -> list[float]:
    """Return west, south, east, north of a scene, degrees; east is beyond 180 across the antimeridian."""
    lonlat = outline_lonlat(scene.georef, (0, 0, scene.header.width, scene.header.height))
    return [round(float(side), 7) for side in (*lonlat.min(axis=0), *lonlat.max(axis=0))]


def outline_lonlat(georef: BaseGeoReference, box: tuple[float, float, float, float]) -> np.ndarray[Any, Any]:
    """Return the corners of a box in scene pixels, counter-clockwise on the ground, (4, 2) longitude and latitude.

    Longitudes are continuous, beyond 180 degrees where the box crosses the antimeridian.
    """
    xmin, ymin, xmax, ymax = box
    lonlat = georef.pixel_to_lonlat(np.array([[xmin, ymin], [xmin, ymax], [xmax, ymax], [xmax, ymin]], np.float64))
    lonlat[:, 0] = np.unwrap(lonlat[:, 0], period=360.0)
    return lonlat


@dataclasses.dataclass(frozen=True, slots=True)
class SceneCatalog:
    """The served scenes by id."""

    scenes: dict[str, ServedScene]

    def get(self, id: str) -> ServedScene:  # noqa: A002
        """Return a scene by its id in the service, its own id, or the name it was given with.

        Raises:
            RequestError: there is none (404).
        """
        if id in self.scenes:
            return self.scenes[id]
        for scene in self.scenes.values():
            if id in (scene.source.scene_id, scene.source.uri):
                return scene
        raise RequestError(404, f"expected the id of a served scene, got {id[:80]!r}: /scenes lists them")

    def find(self, id: str) -> ServedScene | None:  # noqa: A002
        """Return a scene as `get` does; None: there is none."""
        try:
            return self.get(id)
        except RequestError:
            return None


def catalog_of(sources: Iterable[SceneSource], config: PipelineConfig) -> SceneCatalog:
    """Return the catalog of scenes; ids are those of STAC Items, else file names without suffix, made unique."""
    scenes: dict[str, ServedScene] = {}
    for source in sources:
        path = urlsplit(source.uri).path if is_remote(source.uri) else source.uri
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.scene_id or PurePosixPath(path).stem).strip("-.") or "scene"
        number, unique = 1, name
        while unique in scenes:
            number += 1
            unique = f"{name}-{number}"
        scenes[unique] = ServedScene(unique, source, config)
    return SceneCatalog(scenes)


def read_headers(catalog: SceneCatalog, stop: threading.Event) -> None:
    """Read the headers of all scenes, so that the page need not wait for them; until `stop` is set."""
    for scene in catalog.scenes.values():
        if stop.is_set():
            return
        try:
            scene.described()
        except (FinderError, OSError):  # reported where the scene is asked for
            continue
