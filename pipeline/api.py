"""`from pipeline import detect`: the airplanes of one scene as a GeoDataFrame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import InputError, RasterError
from model.common import logs
from pipeline import local, planning
from pipeline.config import DEFAULT_CONFIG, PipelineConfig, load_config
from pipeline.ledger import why_empty
from pipeline.model_loading import describe_model, load_model
from pipeline.records import to_frame
from pipeline.sources.resolve import has_stac_suffix, resolve_inputs, with_acquisition_time
from pipeline.values import SceneSource

if TYPE_CHECKING:
    import geopandas


def detect(
    scene: str | Path, *, config: str | Path | None = None, model: str | None = None, min_score: float | None = None
) -> geopandas.GeoDataFrame:
    """Detect the airplanes of one scene. The model is kept for the next call; see `model_loading.KEPT_MODELS`.

    Args:
        scene: a georeferenced raster, or a STAC file (`.json`, `.geojson`) with one Item.
        config: settings file as for `--config`; None: the default settings.
        model: name of a packaged model or path of a model folder; None: the model of the settings.
        min_score: minimum score of a detection, 0..1; None: the model's default.

    Returns:
        One row per airplane, highest score first, with the fields of every output; geometry in lon/lat (OGC:CRS84).

    Raises:
        FinderError: the scene, or a part of it, cannot be read, has no georeference, no valid pixel, or is too coarse;
            or the settings or the model are invalid.
    """
    logs.silence()
    settings = load_config(Path(config or DEFAULT_CONFIG), {"model": model, "min_score": min_score})
    spec = describe_model(settings)
    opened = planning.open_scene(_source(str(scene), settings), settings)
    result = local.detect_scene(opened, spec.config, load_model(spec), spec.identity)
    if result.entry.error is not None:
        # A table has no ledger beside it, so an incomplete one must not look complete.
        raise RasterError(result.entry.error)
    if result.entry.status == "empty":
        raise RasterError(f"{scene}: expected valid pixels, got none: {why_empty(result.entry)}: choose another scene")
    return to_frame(result.airplanes)


def _source(scene: str, config: PipelineConfig) -> SceneSource:
    if not has_stac_suffix(scene):
        return with_acquisition_time(SceneSource(scene), config.acquired_in_name)
    sources = resolve_inputs([scene], config.asset, config.acquired_in_name)
    if len(sources) != 1:
        raise InputError(
            f"{scene}: expected one scene, got {len(sources)}: name an item, or use python -m pipeline.run"
        )
    return sources[0]
