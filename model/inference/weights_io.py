"""Trained models on disk: a folder with `config.yaml` (layers, digest of the weights) and `weights.safetensors`.

Loading runs no code from the files. Kernels are stored in float16, which halves them; the few other numbers in float32.
A classifier of chips is stored in the same way; its config has `classifier` in place of `detector`.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import safetensors
import safetensors.numpy
import yaml

from geo.errors import FinderError
from model.common.atomic import write_atomically
from model.common.config import ByKind, from_mapping, load_yaml, read_yaml
from model.detectors import classifier, registry
from model.detectors.anchor_free.network import DetectorConfig
from model.detectors.classifier.network import ClassifierConfig
from model.detectors.grid.network import GridConfig
from model.inference.calibration import Calibration
from model.inference.precision import Precision, resolve_precision

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "weights.safetensors"
PACKAGED = Path(__file__).parents[1] / "weights"


class WeightsError(FinderError, ValueError):
    """A model folder that is missing, damaged, or holds another network than its config describes."""


class _Versioned:
    """What the configs of all models have in common."""

    __slots__ = ()
    name: str
    min_score: float
    sha256: str

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: expected a number from 0 to 1, got {self.min_score}")

    @property
    def version(self) -> str:
        """The name with the first 12 characters of the digest, as every detection carries it."""
        return f"{self.name}@{self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class ModelConfig(_Versioned):
    """The config of a detector.

    Attributes:
        name: Of the model, without its digest.
        detector: Its layers.
        min_score: Default score (calibrated) from which a detection counts as an airplane, chosen on val.
        sha256: Of the weights file.
        calibration: Maps raw scores to probabilities, fitted on val; None leaves them raw.
    """

    name: str
    detector: Annotated[DetectorConfig | GridConfig, ByKind()]
    min_score: float
    sha256: str
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class ClassifierModelConfig(_Versioned):
    """The config of a classifier.

    Attributes:
        name: Of the model, without its digest.
        classifier: Its layers.
        min_score: Probability from which a chip counts as an airplane, where the classifier is used as a detector.
        sha256: Of the weights file.
    """

    name: str
    classifier: Annotated[ClassifierConfig, ByKind()]
    min_score: float
    sha256: str


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


def write_config(folder: Path, config: ModelConfig | ClassifierModelConfig) -> None:
    """Write the config beside the weights."""
    write_atomically(folder / CONFIG_FILE, yaml.safe_dump(asdict(config), sort_keys=False))


def resolve(name_or_folder: str) -> Path:
    """Return the folder of a packaged model by its name, or of any model by its path.

    Raises:
        WeightsError: There is neither.
    """
    for folder in (PACKAGED / name_or_folder, Path(name_or_folder)):
        if (folder / CONFIG_FILE).is_file():
            return folder
    packaged = ", ".join(sorted(path.parent.name for path in PACKAGED.glob(f"*/{CONFIG_FILE}")))
    raise WeightsError(
        f"model {name_or_folder}: expected a packaged model ({packaged}), a folder with a {CONFIG_FILE}, or a "
        "SavedModel, found none of these"
    )


def is_classifier(folder: Path) -> bool:
    """Return whether this is the folder of a classifier, not of a detector.

    Raises:
        ConfigError: Its config cannot be read.
    """
    return "classifier" in read_yaml(folder / CONFIG_FILE)


def read_config(folder: Path) -> ModelConfig:
    """Read the config of a detector and check its weights against their digest, without loading them.

    Raises:
        WeightsError: The weights are missing or not those of the config; or the model is a classifier.
        ConfigError: The config is damaged.
    """
    content = read_yaml(folder / CONFIG_FILE)
    if "classifier" in content:
        raise WeightsError(
            f"{folder}: expected a detector, got a classifier of chips: export it with python -m model.export --config "
            "configs/export/classifier.yaml, and name the SavedModel"
        )
    config = from_mapping(ModelConfig, content, str(folder / CONFIG_FILE))
    _check_weights(folder, config.sha256)
    return config


def load(folder: Path, precision: Precision = "float32") -> tuple[keras.Model, ModelConfig]:
    """Build the detector of a model folder, folded (see `model.detectors.normalization`), with its weights.

    Args:
        folder: The model's.
        precision: Number format of the computation; weights and outputs stay float32.

    Raises:
        WeightsError: The weights are missing, damaged, or of another network.
        ConfigError: The config is damaged.
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
        WeightsError: The weights are missing, damaged, or of another network.
        ConfigError: The config is damaged.
    """
    config = load_yaml(ClassifierModelConfig, folder / CONFIG_FILE)
    _check_weights(folder, config.sha256)
    model = classifier.network.build(config.classifier)
    load_into(model, folder / WEIGHTS_FILE)
    return model, config


def load_into(model: keras.Model, file: Path) -> None:
    """Set the weights of a network, not folded, to those in a safetensors file.

    Raises:
        WeightsError: No such file, a damaged one, or weights of another network.
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


def _check_weights(folder: Path, sha256: str) -> None:
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise WeightsError(f"{file}: expected the model's weights, found no such file: restore the model folder")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != sha256:
        raise WeightsError(
            f"{file}: expected the weights with sha256 {sha256[:12]}, got {digest[:12]}: "
            "the file is damaged or of another model, restore it or train anew"
        )


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
