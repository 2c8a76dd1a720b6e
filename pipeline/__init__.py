"""The main job: scenes in, airplanes on the map out.

From Python: `from pipeline import detect; detect("scene.tif")`. Importing this loads nothing heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import geopandas

__all__ = ["detect"]


def detect(
    scene: str | Path, *, config: str | Path | None = None, model: str | None = None, min_score: float | None = None
) -> geopandas.GeoDataFrame:
    """Finds the airplanes of one scene.

    Args:
        scene: a georeferenced raster, or a STAC file (`.json`, `.geojson`) that leads to one.
        config: a settings file as for `--config`; None: the default settings.
        model: a packaged model's name or a model's folder; None: the one in the settings.
        min_score: airplanes below this score are left out, 0..1; None: the model's own default.

    Returns:
        One row an airplane, the surest first, with the fields of every output; geometry in lon/lat (OGC:CRS84).

    Raises:
        FinderError: the scene, or a part of it, cannot be read, has no georeference, no valid pixel, or is too coarse;
            or the settings or the model are damaged.
    """
    from pipeline import api

    return api.detect(scene, config=config, model=model, min_score=min_score)
