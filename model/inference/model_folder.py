"""The folder of a trained model: `config.yaml` (layers, digest of the weights) and `weights.safetensors`.

Describing a model needs no Keras; `model.inference.weights_io` loads its weights. A classifier of chips is stored in
the same way; its config has `classifier` in place of `detector`.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import yaml

from geo.errors import FinderError
from model.common.atomic import write_atomically
from model.common.config import ByKind, from_mapping, read_yaml
from model.detectors.config import ClassifierConfig, DetectorConfig, GridConfig
from model.inference.calibration import Calibration

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
        name: name of the model, without its digest.
        detector: its layers.
        min_score: default score (calibrated) from which a detection counts as an airplane, chosen on val.
        sha256: digest of the weights file.
        calibration: maps raw scores to probabilities, fitted on val; None leaves them raw.
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
        name: name of the model, without its digest.
        classifier: its layers.
        min_score: probability from which a chip counts as an airplane, where the classifier is used as a detector.
        sha256: digest of the weights file.
    """

    name: str
    classifier: Annotated[ClassifierConfig, ByKind()]
    min_score: float
    sha256: str


def write_config(folder: Path, config: ModelConfig | ClassifierModelConfig) -> None:
    """Write the config beside the weights."""
    write_atomically(folder / CONFIG_FILE, yaml.safe_dump(asdict(config), sort_keys=False))


def resolve(name_or_folder: str) -> Path:
    """Return the folder of a packaged model by its name, or of any model by its path.

    Raises:
        WeightsError: there is neither.
    """
    for folder in (PACKAGED / name_or_folder, Path(name_or_folder)):
        if (folder / CONFIG_FILE).is_file():
            return folder
    packaged = ", ".join(sorted(path.parent.name for path in PACKAGED.glob(f"*/{WEIGHTS_FILE}")))
    raise WeightsError(
        f"model {name_or_folder}: expected a packaged model ({packaged}), a folder with a {CONFIG_FILE}, or a "
        "SavedModel, found none of these"
    )


def is_classifier(folder: Path) -> bool:
    """Return whether this is the folder of a classifier, not of a detector.

    Raises:
        ConfigError: its config cannot be read.
    """
    return "classifier" in read_yaml(folder / CONFIG_FILE)


def read_config(folder: Path) -> ModelConfig:
    """Read the config of a detector and check its weights against their digest, without loading them.

    Raises:
        WeightsError: the weights are missing or not those of the config; or the model is a classifier.
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
    """Check the weights of a model folder against their digest, without loading them.

    Raises:
        WeightsError: they are missing or others.
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
