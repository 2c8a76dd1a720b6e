"""`--mosaic`: every input is a part of one scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geo.raster.header import read_header
from geo.raster.vrt import mosaic_vrt
from pipeline.config import PipelineConfig
from pipeline.sinks.whole import write_whole
from pipeline.sources.consistency import check_agrees
from pipeline.values import SceneSource


def write_mosaic(sources: Sequence[SceneSource], config: PipelineConfig, path: Path) -> SceneSource:
    """Writes a VRT of all files, and returns it as the one scene.

    Its time is that of the files, if all have the same.

    Raises:
        RasterError: a file cannot be read, or they do not fit together.
        GeoreferenceError: nothing says where a file lies, or its STAC item and the file contradict each other.
        OutputError: the VRT cannot be written.
    """
    headers = [read_header(source.uri, bands=config.bands or source.bands) for source in sources]
    for source, header in zip(sources, headers, strict=True):
        if header.georef is not None:
            check_agrees(source, header, header.georef)
    text = mosaic_vrt(headers)
    # The time of writing is part of a scene's version: the same mosaic is to be the same scene in the next run.
    if not path.is_file() or path.read_bytes() != text.encode():
        write_whole(path, [text])
    times = {source.acquired_at or header.acquired_at for source, header in zip(sources, headers, strict=True)}
    return SceneSource(
        str(path), acquired_at=times.pop() if len(times) == 1 else None, bands=headers[0].radiometry.bands
    )
