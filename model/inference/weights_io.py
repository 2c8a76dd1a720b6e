"""A trained detector on disk: `config.yaml` (what it is, and the digest of its weights) and `weights.safetensors`.

Loading runs no code from the files. Kernels are kept in float16, which halves them; the few other numbers in float32.
"""

import contextlib
import hashlib
import math
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
from model.common.config import ByKind, from_mapping, read_yaml
from model.detectors import registry as architecture
from model.detectors.anchor_free.network import DetectorConfig
from model.detectors.grid.network import GridConfig
from model.inference.calibration import Calibration
from model.inference.precision import Precision, resolved

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "weights.safetensors"
PACKAGED = Path(__file__).parents[1] / "weights"


class WeightsError(FinderError, ValueError):
    """A model folder that is missing, damaged, or holds another network than its config says."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What is recorded beside the weights.

    Attributes:
        name: of the model, without its digest.
        detector: its layers.
        min_score: default score (calibrated) from which a detection counts as an airplane, chosen on val.
        sha256: of the weights file.
        calibration: what makes probabilities of the detector's scores, fitted on val; None leaves them as they are.
    """

    name: str
    detector: Annotated[DetectorConfig | GridConfig, ByKind()]
    min_score: float
    sha256: str
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_score) and 0 <= self.min_score <= 1):
            raise ValueError(f"min_score: expected a number from 0 to 1, got {self.min_score}")

    @property
    def version(self) -> str:
        """The name with the first 12 characters of the digest, as every detection carries it."""
        return f"{self.name}@{self.sha256[:12]}"


def save(
    folder: Path, model: keras.Model, name: str, detector: DetectorConfig | GridConfig, min_score: float
) -> ModelConfig:
    """Writes a model folder."""
    config = ModelConfig(name, detector, min_score, save_weights(folder, model))
    write_config(folder, config)
    return config


def save_weights(folder: Path, model: keras.Model) -> str:
    """Writes the weights of any network into a folder, which is made, and returns their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {v.path: _stored(np.asarray(keras.ops.convert_to_numpy(v.value))) for v in model.weights}
    # In the order of names, so that the same numbers make the same bytes.
    raw = safetensors.numpy.save(dict(sorted(arrays.items())))
    (folder / WEIGHTS_FILE).write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def write_config(folder: Path, config: ModelConfig) -> None:
    """Writes the config beside the weights."""
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")


def resolve(name_or_folder: str) -> Path:
    """The folder of a packaged model by its name, or of any model by its path.

    Raises:
        WeightsError: neither.
    """
    for folder in (PACKAGED / name_or_folder, Path(name_or_folder)):
        if (folder / CONFIG_FILE).is_file():
            return folder
    packaged = ", ".join(sorted(path.parent.name for path in PACKAGED.glob(f"*/{CONFIG_FILE}")))
    raise WeightsError(
        f"model {name_or_folder}: expected a packaged model ({packaged}), a folder with a {CONFIG_FILE}, or a "
        "SavedModel, found none of these"
    )


def read_config(folder: Path) -> ModelConfig:
    """Reads the config of a model and checks its weights against their digest, without loading them.

    Raises:
        WeightsError: the weights are missing or not those that the config was written for; or a classifier's.
        ConfigError: the config is damaged.
    """
    content = read_yaml(folder / CONFIG_FILE)
    if "classifier" in content:
        raise WeightsError(
            f"{folder}: expected a detector, got a classifier of chips: export it with python -m model.export --config "
            "configs/export/classifier.yaml, and name the SavedModel"
        )
    config = from_mapping(ModelConfig, content, str(folder / CONFIG_FILE))
    check_weights(folder, config.sha256)
    return config


def check_weights(folder: Path, sha256: str) -> None:
    """Holds the weights in a folder against their digest, without loading them.

    Raises:
        WeightsError: they are missing, or others.
    """
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise WeightsError(f"{file}: expected the model's weights, found no such file: restore the model folder")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != sha256:
        raise WeightsError(
            f"{file}: expected the weights with sha256 {sha256[:12]}, got {digest[:12]}: "
            "the file is damaged or of another model, restore it or train anew"
        )


def load(folder: Path, precision: Precision = "float32") -> tuple[keras.Model, ModelConfig]:
    """Builds the detector of a model folder, folded (see `model.detectors.normalization`), with its weights.

    Args:
        folder: the model's.
        precision: what it computes in; its weights and what it says stay in 32 bits.

    Raises:
        WeightsError: weights that are missing, damaged, or of another network.
        ConfigError: the config is damaged.
    """
    config = read_config(folder)
    kind = architecture.of(config.detector)
    with _computing_in(resolved(precision)):
        model = kind.build_folded()
    file = folder / WEIGHTS_FILE
    try:
        arrays = kind.fold(_read(file))
    except KeyError as error:
        raise WeightsError(f"{file}: expected the weights of a detector, {error} is missing") from error
    _assign(model, arrays, file)
    return model, config


def load_into(model: keras.Model, file: Path) -> None:
    """Sets the weights of a network as it is trained to those in a safetensors file.

    Raises:
        WeightsError: no such file, a damaged one, or weights of another network.
    """
    _assign(model, _read(file), file)


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{file}: expected a safetensors file of weights: {error}") from error


def _assign(model: keras.Model, arrays: dict[str, np.ndarray], file: Path) -> None:
    expected = {v.path: tuple(v.shape) for v in model.weights}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise WeightsError(
            f"{file}: expected the weights of {model.name}, but {len(wrong)} differ, first {wrong[0]}: "
            f"expected shape {expected.get(wrong[0])}, got {found.get(wrong[0])}; check its layers in the config"
        )
    for variable in model.weights:
        variable.assign(arrays[variable.path].astype(np.float32))


@contextlib.contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Layers that are made in the block compute in this precision, those excepted that ask for another."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _stored(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16 if array.ndim > 1 else np.float32)
