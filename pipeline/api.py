"""What `from pipeline import detect` runs."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import RasterError
from model.inference.predictor import Predictor
from pipeline import config as settings
from pipeline import local, planning
from pipeline.config import PipelineConfig
from pipeline.errors import InputError
from pipeline.ledger import why_empty
from pipeline.model_loading import ModelSpec, describe_model, load_model
from pipeline.sinks.frame import to_frame
from pipeline.sources import stac
from pipeline.sources.resolve import dated, scene_sources
from pipeline.values import SceneSource

if TYPE_CHECKING:
    import geopandas


def detect(
    scene: str | Path, *, config: str | Path | None, model: str | None, min_score: float | None
) -> geopandas.GeoDataFrame:
    """See `pipeline.detect`."""
    chosen = settings.load_config(Path(config or settings.DEFAULT_CONFIG), {"model": model, "min_score": min_score})
    spec = describe_model(chosen)
    opened = planning.open_scene(_one(str(scene), chosen), chosen)
    result = local.detect_scene(opened, spec.config, _loaded(spec), spec.identity)
    if result.entry.error is not None:
        # A table has no ledger beside it: what is not whole must not look whole.
        raise RasterError(result.entry.error)
    if result.entry.status == "empty":
        raise RasterError(f"{scene}: expected something to look at, got none: {why_empty(result.entry)}: name another")
    return to_frame(result.airplanes)


def _one(scene: str, config: PipelineConfig) -> SceneSource:
    if not stac.has_suffix(scene):
        return dated(SceneSource(scene), config.acquired_in_name)
    found = scene_sources([scene], config.asset, config.acquired_in_name)
    if len(found) != 1:
        raise InputError(f"{scene}: expected one scene, got {len(found)}: name an item, or use python -m pipeline.run")
    return found[0]


@functools.lru_cache(maxsize=1)
def _loaded(spec: ModelSpec) -> Predictor:
    """Kept, since whoever looks at one scene from Python soon looks at the next."""
    return load_model(spec)
