"""An export as a whole: every format written, checked, and only then moved into place."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from geo.errors import ConfigError
from geo.types import ImageArray
from model import weights_io
from model.exporting import frozen_graph, saved_model
from model.exporting.check import Difference, check, difference, keras_outputs
from model.exporting.graph import detector_graph
from model.exporting.ways import Way
from model.weights_io import ModelConfig

Format = Literal["saved_model", "frozen_graph", "onnx"]

_SAVED_MODEL = "saved_model"
_FROZEN_GRAPH = "frozen_graph.pb"
_ONNX = "model.onnx"
_CARD = "README.md"
_DOCUMENTS = (weights_io.CONFIG_FILE, _CARD)


def export(model_folder: Path, output: Path, formats: Sequence[Format], tiles: ImageArray) -> dict[str, Difference]:
    """Writes a model in other formats.

    Args:
        model_folder: see `model.weights_io.resolve`.
        output: folder to be made, or an earlier export, which is replaced.
        formats: what to write.
        tiles: pictures (B, H, W, 3) to check each format on, H and W multiples of 32.

    Returns:
        How far each way to call the export is from the Keras model, at most.

    Raises:
        ConfigError: the output cannot be written, or the config of the model is damaged.
        WeightsError: the weights are missing or damaged.
        ExportError: a format says something else than the Keras model. Then no output is left.
    """
    with whole_folder(output) as folder:
        model, config = weights_io.load(model_folder)
        graph = detector_graph(model, config.calibration)
        _copy_documents(model_folder, folder)
        ways = [way for name in formats for way in _write(name, graph, config, folder)]
        found = {
            way.name: difference(way.detect(tiles), keras_outputs(model, config.calibration, way.seen(tiles)))
            for way in ways
        }
        for name, of in found.items():
            check(name, of)
    return found


@contextlib.contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """A new folder to write in; it becomes `output` when the block ends, unless that is by an error.

    Raises:
        ConfigError: nothing can be written there, or there is something that no export has written.
    """
    output = output.resolve()
    _check_replaceable(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        part = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.", suffix=".part")
    except OSError as error:
        raise ConfigError(f"output: expected a folder that can be made, got {output}: {error}") from error
    with part:
        folder = Path(part.name) / "new"
        folder.mkdir()
        yield folder
        _replace(output, folder, Path(part.name) / "old")


def _check_replaceable(output: Path) -> None:
    """Refuses to replace what is no export: a model folder, say, or a home."""
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output: expected a folder, got the file {output}: name another")
    ours = {_SAVED_MODEL, _FROZEN_GRAPH, _ONNX, *_DOCUMENTS}
    foreign = sorted(path.name for path in output.glob("*") if path.name not in ours)
    if foreign:
        raise ConfigError(
            f"output: expected a new folder or an earlier export, but {output} holds {foreign[0]}: name another"
        )


def _replace(output: Path, new: Path, old: Path) -> None:
    try:
        if output.exists():
            output.rename(old)
        new.rename(output)
    except OSError as error:  # a mounted folder, say
        raise ConfigError(f"output: expected a folder that can be replaced, got {output}: {error}") from error


def _write(name: Format, graph: Any, config: ModelConfig, folder: Path) -> list[Way]:
    """Writes one format and reads it back."""
    if name == "saved_model":
        saved_model.write(graph, folder / _SAVED_MODEL)
        _copy_documents(folder, folder / _SAVED_MODEL / saved_model.EXTRA)
        return saved_model.read(folder / _SAVED_MODEL)
    if name == "frozen_graph":
        frozen_graph.write(graph, folder / _FROZEN_GRAPH)
        return [frozen_graph.read(folder / _FROZEN_GRAPH)]
    from model.exporting import onnx_file  # needs packages that nothing else does

    card = folder / _CARD
    onnx_file.write(graph, config, card.read_text(encoding="utf-8") if card.is_file() else "", folder / _ONNX)
    return [onnx_file.read(folder / _ONNX)]


def _copy_documents(source: Path, target: Path) -> None:
    """The config and, where there is one, the card: a model that was just trained has none yet."""
    target.mkdir(exist_ok=True)
    for name in _DOCUMENTS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
