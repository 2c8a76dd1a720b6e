"""Export a model for other programs: `python -m model.export --config configs/export/default.yaml`.

The formats, and how to use them, are described in docs/models.md.
"""

import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from geo.errors import ConfigError
from model.common import logs
from model.common.command import Parser, command, print_error
from model.common.config import load_yaml
from model.export.config import ExportConfig

_ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


@command("model.export")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 1 if the export differs from the model."""
    parser = Parser("model.export", description="Export a model for other programs.")
    parser.add_argument("--config", type=Path, default=Path("configs/export/default.yaml"))
    parser.add_argument("--model", help="name of a packaged model, or a model folder")
    parser.add_argument("--output", help="folder to write")
    parser.add_argument("--formats", nargs="+", help="saved_model, frozen_graph, litert, onnx")
    parser.add_argument("--data", help="folder of the data sets, for the check")
    options = vars(parser.parse_args(arguments))
    config = load_yaml(ExportConfig, options.pop("config"), options)
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
    exporter = logs.import_quietly("model.export.exporter")
    # tf2onnx uses functions that TensorFlow has deprecated, with a warning for each.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from model.inference import model_folder

    folder = model_folder.resolve(config.model)
    tiles = exporter.read_tiles(config.data, config.sets, config.tiles, config.tile_px)
    try:
        differences = exporter.export(folder, config.output, config.formats, tiles, config.chips)
    except exporter.ExportError as error:
        return print_error("model.export", error, 1)
    print(f"the Keras model and the export on {len(tiles)} tiles of {config.tile_px} px differ by at most")
    for name, difference in differences.items():
        print(f"{name:<24}  {difference.boxes_px:.1e} px  {difference.scores:.1e} of score")
    print(f"export: {config.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
