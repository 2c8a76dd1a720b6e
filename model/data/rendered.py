"""Scenes of the renderer, to train and to measure on; drawn where they are not there yet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.common.atomic import make_folder
from model.data.sources import Photo, read_rendered


@dataclass(frozen=True, slots=True)
class RenderedSet:
    """Scenes of one kind, one for each seed.

    Attributes:
        scene: what they show; those without an airport are background alone.
        seeds: one for each scene.
        size_px: side of a scene.
        resolution_m: of a pixel.
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
        """How the set is called."""
        return f"rendered {self.scene} {self.resolution_m:g} m"


def draw(scenes: RenderedSet, folder: Path) -> list[Photo]:
    """Draws those scenes that are not there yet, and reads their truth.

    Args:
        scenes: what to draw.
        folder: a folder in it is the set's. To have scenes drawn anew, remove it.

    Raises:
        OutputError: the folder cannot be made.
        ConfigError: a truth in it is damaged.
        RasterError: a scene cannot be written.
    """
    from model import synthetic as render  # many modules: only where they are used

    own = folder / f"{scenes.scene}-{scenes.size_px}px-{scenes.resolution_m:g}m"
    make_folder(own)
    files = [own / f"{seed}.tif" for seed in scenes.seeds]
    for seed, file in zip(scenes.seeds, files, strict=True):
        if not (file.is_file() and file.with_suffix(".truth.geojson").is_file()):
            render.write(render.render(scenes.size_px, seed, scenes.resolution_m, scene=scenes.scene), file)
    return [photo for photo in read_rendered(own) if photo.path in files]
