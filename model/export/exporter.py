"""Export a model: write every format, check it, and only then move all of them into place."""

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from geo.errors import ConfigError
from geo.types import ImageArray
from model.common.atomic import atomic_folder
from model.detectors import registry
from model.export import formats
from model.export.check import Difference, check, compare, keras_outputs
from model.export.classifier_graph import classifier_graph, predict_chips
from model.export.config import ChipTiling, Format
from model.export.formats import Outputs, Signature, detector_graph
from model.inference import model_folder, weights_io
from model.inference.model_folder import ClassifierModelConfig, ModelConfig

_SAVED_MODEL = "saved_model"
_FROZEN_GRAPH = "frozen_graph.pb"
_LITERT = "model.tflite"
_ONNX = "model.onnx"
_CARD = "README.md"
_DOCUMENTS = (model_folder.CONFIG_FILE, _CARD)


class _Model(NamedTuple):
    """A model to export.

    Attributes:
        config: config of its folder.
        graph: see `model.export.formats.detector_graph`.
        predict: outputs of the Keras model for images (B, H, W, 3).
    """

    config: ModelConfig | ClassifierModelConfig
    graph: Any
    predict: Callable[[ImageArray], Outputs]


def export(
    model_folder: Path,
    output: Path,
    export_formats: Sequence[Format],
    tiles: ImageArray,
    chips: ChipTiling | None = None,
) -> dict[str, Difference]:
    """Export a model.

    Args:
        model_folder: see `model.inference.model_folder.resolve`.
        output: folder to make, or an earlier export to replace.
        export_formats: formats to write.
        tiles: images (B, H, W, 3) to check each format on, H and W multiples of 32.
        chips: how a classifier is applied to images; the default if None.

    Returns:
        The difference between each signature of the export and the Keras model.

    Raises:
        OutputError: the output cannot be written.
        ConfigError: the output is not an export, the config of the model is damaged, or a format cannot hold it.
        WeightsError: the weights are missing or damaged.
        ExportError: a format differs from the Keras model; no output is left then.
    """
    check_replaceable(output.resolve())
    with atomic_folder(output) as folder:
        model = _load(model_folder, chips or ChipTiling())
        _copy_documents(model_folder, folder)
        signatures = [signature for name in export_formats for signature in _write(name, model, folder)]
        differences = {
            signature.name: compare(signature.detect(tiles), model.predict(signature.transmitted(tiles)))
            for signature in signatures
        }
        for name, difference in differences.items():
            check(name, difference)
    return differences


def _load(folder: Path, chips: ChipTiling) -> _Model:
    if model_folder.is_classifier(folder):
        classifier, classifier_config = weights_io.load_classifier(folder)
        predict = functools.partial(predict_chips, classifier, chips)
        return _Model(classifier_config, classifier_graph(classifier, chips), predict)
    detector, config = weights_io.load(folder)
    decode = registry.get(config.detector).decode
    predict = functools.partial(keras_outputs, detector, decode, config.calibration)
    return _Model(config, detector_graph(detector, decode, config.calibration), predict)


def check_replaceable(output: Path) -> None:
    """Check that a folder is new or an earlier export, and not a model folder, say.

    Raises:
        ConfigError: it is something else.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output: expected a folder, got the file {output}: name another")
    exported = {_SAVED_MODEL, _FROZEN_GRAPH, _LITERT, _ONNX, *_DOCUMENTS}
    foreign = sorted(path.name for path in output.glob("*") if path.name not in exported)
    if foreign:
        raise ConfigError(
            f"output: expected a new folder or an earlier export, but {output} holds {foreign[0]}: name another"
        )


def _write(name: Format, model: _Model, folder: Path) -> list[Signature]:
    """Write one format and read it back."""
    if name == "saved_model":
        formats.write_saved_model(model.graph, folder / _SAVED_MODEL)
        _copy_documents(folder, folder / _SAVED_MODEL / formats.EXTRA_FOLDER)
        return formats.read_saved_model(folder / _SAVED_MODEL)
    if name == "frozen_graph":
        formats.write_frozen_graph(model.graph, folder / _FROZEN_GRAPH)
        return [formats.read_frozen_graph(folder / _FROZEN_GRAPH)]
    if not isinstance(model.config, ModelConfig):
        raise ConfigError(
            f"formats: expected saved_model or frozen_graph for a classifier, got {name}, which cannot hold the loop "
            "over its chips: leave it out"
        )
    if name == "litert":
        formats.write_litert(model.graph, folder / _LITERT)
        return [formats.read_litert(folder / _LITERT)]
    card = folder / _CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    formats.write_onnx(model.graph, model.config, text, folder / _ONNX)
    return [formats.read_onnx(folder / _ONNX)]


def _copy_documents(source: Path, target: Path) -> None:
    """Copy the config and, if there is one, the model card; a newly trained model has none."""
    target.mkdir(exist_ok=True)
    for name in _DOCUMENTS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
