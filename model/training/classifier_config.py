"""The settings of a classifier's training, as the files `configs/train/classifier-*.yaml` hold them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from model.common.config import ByKind
from model.data.chip_batches import ChangeConfig
from model.data.chips import Split
from model.detectors.classifier.network import ConvConfig, DenseConfig
from model.training.backend import Backend


@dataclass(frozen=True, slots=True)
class ClassifierTrainConfig:
    """Everything that the training of a classifier depends on.

    Attributes:
        task: `classifier`.
        name: of the model.
        data: folder of the data sets, with PlanesNet in it.
        run: the run's folder.
        classifier: the layers.
        split: how the chips to test on are chosen, see `model.data.chips.split`.
        change: how chips are changed before they are learned from.
        batch, steps_per_epoch, epochs: chips a step, steps between two checkpoints, and checkpoints.
        learning_rate, last_learning_rate, decay_steps: Adam's: it begins with the first and comes nearer to the last,
            to 1/e of the way in every so many steps.
        seed: of weights, dropout and batches; the chips to test on do not hang on it.
        min_score: recorded with the weights, see `model.inference.weights_io`.
        backend: what Keras runs on: `tensorflow`, `jax` or `torch`.
    """

    task: Literal["classifier"]
    name: str
    data: Path
    run: Path
    classifier: Annotated[DenseConfig | ConvConfig, ByKind()]
    split: Split = "random"
    change: ChangeConfig = field(default_factory=ChangeConfig)
    batch: int = 100
    steps_per_epoch: int = 250
    epochs: int = 20
    learning_rate: float = 0.01
    last_learning_rate: float = 1e-4
    decay_steps: int = 800
    seed: int = 1
    min_score: float = 0.5
    backend: Backend = "tensorflow"

    def __post_init__(self) -> None:
        for name in ("batch", "steps_per_epoch", "epochs", "decay_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")
