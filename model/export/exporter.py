"""An export as a whole: every format written, checked, and only then moved into place."""

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from geo.errors import ConfigError
from geo.types import ImageArray
from model.common.atomic import atomic_folder
from model.detectors import registry
from model.export import frozen_graph, saved_model
from model.export.check import Difference, check, difference, keras_outputs
from model.export.chip_tiling import ChipTiling
from model.export.classifier_graph import classifier_graph, tile_by_tile
from model.export.graph import detector_graph
from model.export.signatures import Outputs, Way
from model.inference import weights_io
from model.inference.weights_io import ClassifierModelConfig, ModelConfig

Format = Literal["saved_model", "frozen_graph", "onnx"]

_SAVED_MODEL = "saved_model"
_FROZEN_GRAPH = "frozen_graph.pb"
_ONNX = "model.onnx"
_CARD = "README.md"
_DOCUMENTS = (weights_io.CONFIG_FILE, _CARD)


class _Model(NamedTuple):
    """A model that is to be exported.

    Attributes:
        config: of its folder.
        graph: what goes into every format, see `model.export.graph.detector_graph`.
        says: what the Keras model says of pictures (B, H, W, 3).
    """

    config: ModelConfig | ClassifierModelConfig
    graph: Any
    says: Callable[[ImageArray], Outputs]


def export(
    model_folder: Path, output: Path, formats: Sequence[Format], tiles: ImageArray, chips: ChipTiling | None = None
) -> dict[str, Difference]:
    """Writes a model in other formats.

    Args:
        model_folder: see `model.inference.weights_io.resolve`.
        output: folder to be made, or an earlier export, which is replaced.
        formats: what to write.
        tiles: pictures (B, H, W, 3) to check each format on, H and W multiples of 32.
        chips: of a classifier, how it looks at pictures; as it does by default, if None.

    Returns:
        How far each way to call the export is from the Keras model, at most.

    Raises:
        OutputError: the output cannot be written.
        ConfigError: the output holds something else than an export, the config of the model is damaged, or a format
            cannot hold it.
        WeightsError: the weights are missing or damaged.
        ExportError: a format says something else than the Keras model. Then no output is left.
    """
    check_replaceable(output.resolve())
    with atomic_folder(output) as folder:
        model = _loaded(model_folder, chips or ChipTiling())
        _copy_documents(model_folder, folder)
        ways = [way for name in formats for way in _write(name, model, folder)]
        found = {way.name: difference(way.detect(tiles), model.says(way.seen(tiles))) for way in ways}
        for name, of in found.items():
            check(name, of)
    return found


def _loaded(folder: Path, chips: ChipTiling) -> _Model:
    if weights_io.is_classifier(folder):
        classifier, of_classifier = weights_io.load_classifier(folder)
        says = functools.partial(tile_by_tile, classifier, chips)
        return _Model(of_classifier, classifier_graph(classifier, chips), says)
    detector, config = weights_io.load(folder)
    decode = registry.get(config.detector).decode
    says = functools.partial(keras_outputs, detector, decode, config.calibration)
    return _Model(config, detector_graph(detector, decode, config.calibration), says)


def check_replaceable(output: Path) -> None:
    """Refuses to replace what is no export: a model folder, say, or a home."""
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output: expected a folder, got the file {output}: name another")
    ours = {_SAVED_MODEL, _FROZEN_GRAPH, _ONNX, *_DOCUMENTS}
    foreign = sorted(path.name for path in output.glob("*") if path.name not in ours)
    if foreign:
        raise ConfigError(
            f"output: expected a new folder or an earlier export, but {output} holds {foreign[0]}: name another"
        )


def _write(name: Format, model: _Model, folder: Path) -> list[Way]:
    """Writes one format and reads it back."""
    if name == "saved_model":
        saved_model.write(model.graph, folder / _SAVED_MODEL)
        _copy_documents(folder, folder / _SAVED_MODEL / saved_model.EXTRA)
        return saved_model.read(folder / _SAVED_MODEL)
    if name == "frozen_graph":
        frozen_graph.write(model.graph, folder / _FROZEN_GRAPH)
        return [frozen_graph.read(folder / _FROZEN_GRAPH)]
    if not isinstance(model.config, ModelConfig):
        raise ConfigError(
            "formats: expected saved_model or frozen_graph for a classifier, got onnx, which is not written with the "
            "loop over its tiles: leave it out"
        )
    from model.export import onnx_file  # needs packages that nothing else does

    card = folder / _CARD
    onnx_file.write(
        model.graph, model.config, card.read_text(encoding="utf-8") if card.is_file() else "", folder / _ONNX
    )
    return [onnx_file.read(folder / _ONNX)]


def _copy_documents(source: Path, target: Path) -> None:
    """The config and, where there is one, the card: a model that was just trained has none yet."""
    target.mkdir(exist_ok=True)
    for name in _DOCUMENTS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
