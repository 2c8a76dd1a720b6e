"""The main job: scenes in, airplanes on the map out.

From Python: `from pipeline import detect; detect("scene.tif")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import detect

__all__ = ["detect"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import pipeline` must not load TensorFlow or geopandas.
    if name == "detect":
        from pipeline.api import detect

        return detect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
