"""A trained classifier on disk: a folder as in `model.inference.weights_io`, whose config tells of a classifier."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import keras
import yaml

from model.common.config import ByKind, load_yaml, read_yaml
from model.detectors.classifier import network as classifier
from model.detectors.classifier.network import ConvConfig, DenseConfig
from model.inference import weights_io


@dataclass(frozen=True, slots=True)
class ClassifierModelConfig:
    """What is recorded beside the weights.

    Attributes:
        name: of the model, without its digest.
        classifier: its layers.
        min_score: the probability from which a chip counts as an airplane, where the classifier is used as a detector.
        sha256: of the weights file.
    """

    name: str
    classifier: Annotated[DenseConfig | ConvConfig, ByKind()]
    min_score: float
    sha256: str

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: expected a number from 0 to 1, got {self.min_score}")

    @property
    def version(self) -> str:
        """The name with the first 12 characters of the digest."""
        return f"{self.name}@{self.sha256[:12]}"


def save(
    folder: Path, model: keras.Model, name: str, layers: DenseConfig | ConvConfig, min_score: float
) -> ClassifierModelConfig:
    """Writes a model folder."""
    config = ClassifierModelConfig(name, layers, min_score, weights_io.save_weights(folder, model))
    (folder / weights_io.CONFIG_FILE).write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
    return config


def is_classifier(folder: Path) -> bool:
    """Says whether this is the folder of a classifier; else it is a detector's.

    Raises:
        ConfigError: its config cannot be read.
    """
    return "classifier" in read_yaml(folder / weights_io.CONFIG_FILE)


def load(folder: Path) -> tuple[keras.Model, ClassifierModelConfig]:
    """Builds the classifier of a model folder, with its weights.

    Raises:
        WeightsError: weights that are missing, damaged, or of another network.
        ConfigError: the config is damaged.
    """
    config = load_yaml(ClassifierModelConfig, folder / weights_io.CONFIG_FILE)
    weights_io.check_weights(folder, config.sha256)
    model = classifier.build(config.classifier)
    weights_io.load_into(model, folder / weights_io.WEIGHTS_FILE)
    return model, config
