"""Weights of model folders (`model.inference.model_folder`) to networks and back.

Loading runs no code from the files. Kernels are stored in float16, which halves them; the few other numbers in float32.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import safetensors
import safetensors.numpy

from model.common.atomic import write_atomically
from model.common.config import load_yaml
from model.detectors import classifier, registry
from model.detectors.config import ClassifierConfig, DetectorConfig, GridConfig
from model.inference.engine import Precision, resolve_precision
from model.inference.model_folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ClassifierModelConfig,
    ModelConfig,
    WeightsError,
    check_weights,
    read_config,
    write_config,
)


def save(
    folder: Path, model: keras.Model, name: str, detector: DetectorConfig | GridConfig, min_score: float
) -> ModelConfig:
    """Write the model folder of a detector."""
    config = ModelConfig(name, detector, min_score, _save_weights(folder, model))
    write_config(folder, config)
    return config


def save_classifier(
    folder: Path, model: keras.Model, name: str, layers: ClassifierConfig, min_score: float
) -> ClassifierModelConfig:
    """Write the model folder of a classifier."""
    config = ClassifierModelConfig(name, layers, min_score, _save_weights(folder, model))
    write_config(folder, config)
    return config


def load(folder: Path, precision: Precision = "float32") -> tuple[keras.Model, ModelConfig]:
    """Build the detector of a model folder, folded (see `model.detectors.backbones`), with its weights.

    Args:
        folder: the model's.
        precision: number format of the computation; weights and outputs stay float32.

    Raises:
        WeightsError: the weights are missing, damaged, or of another network.
        ConfigError: the config is damaged.
    """
    config = read_config(folder)
    kind = registry.get(config.detector)
    with _dtype_policy(resolve_precision(precision)):
        model = kind.build_folded()
    file = folder / WEIGHTS_FILE
    try:
        arrays = kind.fold(_read(file))
    except KeyError as error:
        raise WeightsError(f"{file}: expected the weights of a detector, {error} is missing") from error
    _assign(model, arrays, file)
    return model, config


def load_classifier(folder: Path) -> tuple[keras.Model, ClassifierModelConfig]:
    """Build the classifier of a model folder, with its weights.

    Raises:
        WeightsError: the weights are missing, damaged, or of another network.
        ConfigError: the config is damaged.
    """
    config = load_yaml(ClassifierModelConfig, folder / CONFIG_FILE)
    check_weights(folder, config.sha256)
    model = classifier.build(config.classifier)
    load_into(model, folder / WEIGHTS_FILE)
    return model, config


def load_into(model: keras.Model, file: Path) -> None:
    """Set the weights of a network, not folded, to those in a safetensors file.

    Raises:
        WeightsError: no such file, a damaged one, or weights of another network.
    """
    _assign(model, _read(file), file)


def _save_weights(folder: Path, model: keras.Model) -> str:
    """Write the weights of a network into a folder, which is made if absent, and return their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {v.path: _to_storage(np.asarray(keras.ops.convert_to_numpy(v.value))) for v in model.weights}
    # Sorted by name, so that the same numbers give the same bytes.
    raw = safetensors.numpy.save(dict(sorted(arrays.items())))
    write_atomically(folder / WEIGHTS_FILE, raw)
    return hashlib.sha256(raw).hexdigest()


def _to_storage(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16 if array.ndim > 1 else np.float32)


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{file}: expected a safetensors file of weights: {error}") from error


def _assign(model: keras.Model, arrays: dict[str, np.ndarray], file: Path) -> None:
    expected = {v.path: tuple(v.shape) for v in model.weights}
    actual = {name: array.shape for name, array in arrays.items()}
    if expected != actual:
        wrong = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
        raise WeightsError(
            f"{file}: expected the weights of {model.name}, but {len(wrong)} differ, first {wrong[0]}: "
            f"expected shape {expected.get(wrong[0])}, got {actual.get(wrong[0])}; check its layers in the config"
        )
    for variable in model.weights:
        variable.assign(arrays[variable.path].astype(np.float32))


@contextlib.contextmanager
def _dtype_policy(precision: str) -> Iterator[None]:
    """Make layers built in the block compute in this precision, except those with a dtype of their own."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
