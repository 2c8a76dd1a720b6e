"""Writes a detector for other programs: `python -m model.export --config configs/export/default.yaml`.

What comes out, and how to call it, is in docs/models.md.
"""

import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geo.errors import ConfigError
from model.common import logs
from model.common.command import Parser, command, print_error
from model.common.config import load_yaml
from model.detectors import INPUT_MULTIPLE
from model.export.chip_tiling import ChipTiling

_ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What is exported, and on what it is checked.

    Attributes:
        model: name of a packaged model, or a model folder.
        output: folder to write; an earlier export there is replaced.
        formats: what to write.
        data: folder of the data sets; where there is none, a sample scene is drawn for the check.
        sets: names of the sets whose test photos are looked at in the check.
        tiles: how many tiles of each set.
        tile_px: their side.
        chips: how a classifier, which knows chips of 20 px, looks at pictures; a detector has no use for it.
    """

    model: str
    output: Path
    formats: tuple[Literal["saved_model", "frozen_graph", "onnx"], ...]
    data: Path
    sets: tuple[str, ...]
    tiles: int
    tile_px: int
    chips: ChipTiling = field(default_factory=ChipTiling)

    def __post_init__(self) -> None:
        for name in ("formats", "sets"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected one or more, got none")
        if self.tiles < 1:
            raise ValueError(f"tiles: expected a whole number from 1 on, got {self.tiles}")
        if self.tile_px < 1 or self.tile_px % INPUT_MULTIPLE:
            raise ValueError(f"tile_px: expected a multiple of {INPUT_MULTIPLE}, got {self.tile_px}")


@command("model.export")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 1 if the export differs from the model."""
    parser = Parser("model.export", description="Writes a detector for other programs.")
    parser.add_argument("--config", type=Path, default=Path("configs/export/default.yaml"))
    parser.add_argument("--model", help="name of a packaged model, or a model folder")
    parser.add_argument("--output", help="folder to write")
    parser.add_argument("--formats", nargs="+", help="saved_model, frozen_graph, onnx")
    parser.add_argument("--data", help="folder of the data sets, for the check")
    options = vars(parser.parse_args(arguments))
    path = options.pop("config")
    config = load_yaml(ExportConfig, path, options)
    _check_packages(config)
    return _export(config)


def _check_packages(config: ExportConfig) -> None:
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in config.formats and missing:
        raise ConfigError(
            f"formats: onnx needs the package {missing[0]}, which is not installed: "
            "install airplane-finder[onnx], or leave onnx out"
        )


def _export(config: ExportConfig) -> int:
    logs.silence()
    whole = logs.import_quietly("model.export.exporter")
    # tf2onnx calls what TensorFlow warns of.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from model.export.check import ExportError
    from model.export.tiles import tiles_of_sets
    from model.inference import weights_io

    folder = weights_io.resolve(config.model)
    tiles = tiles_of_sets(config.data, config.sets, config.tiles, config.tile_px)
    try:
        found = whole.export(folder, config.output, config.formats, tiles, config.chips)
    except ExportError as error:
        return print_error("model.export", error, 1)
    print(f"the Keras model and the export on {len(tiles)} tiles of {config.tile_px} px differ by at most")
    for name, of in found.items():
        print(f"{name:<24}  {of.boxes_px:.1e} px  {of.scores:.1e} of score")
    print(f"export: {config.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
