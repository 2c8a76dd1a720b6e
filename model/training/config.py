"""The settings of trainings, of detectors and of classifiers, as the files of `configs/train/` hold them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from model.common.config import ByKind
from model.data.chips import AugmentConfig, SplitMethod
from model.data.crops import CropConfig
from model.data.sources import RenderedSet
from model.detectors.config import ConvConfig, DenseConfig, DetectorConfig, GridConfig
from model.training.backend import Backend
from model.training.distribution import DistributionConfig
from model.training.schedules import CosineConfig, ScheduleConfig


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One data set: the folder's name below `data`, and the share of crops that come from it."""

    set: str
    weight: float

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight: expected a number above 0, got {self.weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedConfig(RenderedSet):
    """Rendered scenes to train on beside the images; rendered into the run's folder where they are missing.

    Attributes:
        weight: share of the crops, on the scale of the sets' weights.
    """

    weight: float

    def __post_init__(self) -> None:
        RenderedSet.__post_init__(self)  # dataclasses with slots break `super()`
        if not self.weight > 0:
            raise ValueError(f"weight: expected a number above 0, got {self.weight}")


@dataclass(frozen=True, slots=True)
class RecordsConfig:
    """Tiles of `model.datagen` to train on in place of images.

    Attributes:
        pattern: pattern of the TFRecord files, local or `gs://`, e.g. `out/tiles/*.tfrecord`.
        shuffle_buffer: number of tiles from which the next one is drawn, held in memory as JPEGs; 0 keeps the order of
            the files, all tiles of one image in succession.
        cache: keep all records in memory, as JPEGs, and read the files only once.
        augment: augment each tile every time, as crops are augmented.
    """

    pattern: str
    shuffle_buffer: int = 5000
    cache: bool = False
    augment: bool = True

    def __post_init__(self) -> None:
        if self.shuffle_buffer < 0:
            raise ValueError(f"shuffle_buffer: expected a whole number from 0 on, got {self.shuffle_buffer}")


@dataclass(frozen=True, slots=True)
class HardExamplesConfig:
    """More crops from where the model that training starts from is wrong.

    Attributes:
        share: share of the crops of every set.
        min_score: detections from this score on are false positives where there is no airplane.
    """

    share: float
    min_score: float = 0.55

    def __post_init__(self) -> None:
        for name in ("share", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class CallbacksConfig:
    """How the model is validated during training.

    Attributes:
        every: epochs between validations; the last epoch is always validated.
        sets: names of the sets whose val images are used; by default those trained on.
        pictures: images of each set that are drawn with their airplanes and detections.
        batch: tiles in one call of the model.
    """

    every: int = 5
    sets: tuple[str, ...] = ()
    pictures: int = 2
    batch: int = 2

    def __post_init__(self) -> None:
        for name, minimum in (("every", 1), ("pictures", 0), ("batch", 1)):
            if getattr(self, name) < minimum:
                raise ValueError(f"{name}: expected a whole number from {minimum} on, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The settings of a detector's training.

    Attributes:
        name: name of the model.
        data: folder of the data sets.
        run: the run's folder.
        sources: the sets whose images are trained on, and their weights.
        records: tiles to train on; either these or `sources`.
        rendered: rendered scenes to train on as well.
        detector: the network.
        crops: sizes and positions of the crops.
        start: `imagenet` (weights of the backbone), `random`, or a model to continue from: the name of a packaged one,
            or a model's folder.
        hard_examples: train more on what that model gets wrong in the same images and scenes.
        scan: the pipeline's settings, by which a model is run on images.
        frozen_blocks: leading blocks of the backbone that are not trained.
        batch, steps_per_epoch, epochs: crops a step, steps between two checkpoints, and checkpoints.
        learning_rate, warmup_steps, weight_decay: AdamW's; the highest rate, and the steps in which it rises to it.
        schedule: how the rate falls from there.
        ema: momentum of the exponential moving average of all weights; this average is the model that is saved.
        seed: seed of weights and crops.
        min_score: recorded with the weights until `model.evaluate` chooses one on val.
        callbacks: how the model is validated during training; not at all if None.
        backend: backend of Keras: `tensorflow`, `jax` or `torch`.
        distribution: the devices that share the training.
    """

    name: str
    data: Path
    run: Path
    sources: tuple[SourceConfig, ...] = ()
    records: RecordsConfig | None = None
    rendered: tuple[RenderedConfig, ...] = ()
    detector: Annotated[DetectorConfig | GridConfig, ByKind()] = field(default_factory=DetectorConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    start: str = "imagenet"
    hard_examples: HardExamplesConfig | None = None
    scan: Path = Path("configs/pipeline/default.yaml")
    frozen_blocks: int = 3
    batch: int = 32
    steps_per_epoch: int = 100
    epochs: int = 10
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    schedule: ScheduleConfig = field(default_factory=CosineConfig)
    weight_decay: float = 1e-4
    ema: float = 0.998
    seed: int = 1
    min_score: float = 0.5
    callbacks: CallbacksConfig | None = None
    backend: Backend = "tensorflow"
    distribution: DistributionConfig = field(default_factory=DistributionConfig)

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {"mistakes": "hard_examples", "watch": "callbacks"}

    def __post_init__(self) -> None:
        self._check_data()
        self._check_start()
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: expected a number from 0 on and below 1, got {self.ema}")
        names = [source.set for source in self.sources] + [scenes.name for scenes in self.rendered]
        if len(set(names)) < len(names):
            raise ValueError(f"sources, rendered: expected every set once, got {', '.join(names)}")
        for name in ("batch", "steps_per_epoch", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")

    def _check_start(self) -> None:
        if self.hard_examples and self.start in ("imagenet", "random"):
            raise ValueError(f"hard_examples: expected a model to start from, which errs on them, got {self.start}")
        if isinstance(self.detector, GridConfig) and (self.start == "imagenet" or self.frozen_blocks):
            raise ValueError(
                "start, frozen_blocks: expected random or a model, and 0, for a detector on a grid, which has no "
                f"ImageNet weights, got {self.start}, {self.frozen_blocks}"
            )

    def _check_data(self) -> None:
        if bool(self.sources) == bool(self.records):
            raise ValueError(f"sources, records: expected one of the two, got {'both' if self.records else 'none'}")
        if self.records and (self.rendered or self.hard_examples):
            raise ValueError("records: expected no rendered and no hard_examples with them: these need sources")
        if self.records and self.callbacks and not self.callbacks.sets:
            raise ValueError(
                "callbacks.sets: expected the names of sets to validate on, since records have no val split"
            )


@dataclass(frozen=True, slots=True)
class ClassifierTrainConfig:
    """The settings of a classifier's training.

    Attributes:
        task: `classifier`.
        name: name of the model.
        data: folder of the data sets, with PlanesNet in it.
        run: the run's folder.
        classifier: the network.
        split: how the chips are split, see `model.data.chips.split_chips`.
        change: how chips are augmented.
        batch, steps_per_epoch, epochs: chips a step, steps between two checkpoints, and checkpoints.
        learning_rate, last_learning_rate, decay_steps: Adam's; the rate falls exponentially from the first to the last,
            to 1/e of the difference in `decay_steps`.
        seed: seed of weights, dropout and batches; the splits do not depend on it.
        min_score: recorded with the weights, see `model.inference.weights_io`.
        backend: backend of Keras: `tensorflow`, `jax` or `torch`.
    """

    task: Literal["classifier"]
    name: str
    data: Path
    run: Path
    classifier: Annotated[DenseConfig | ConvConfig, ByKind()]
    split: SplitMethod = "random"
    change: AugmentConfig = field(default_factory=AugmentConfig)
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


@dataclass(frozen=True, slots=True)
class KeypointTrainConfig:
    """The settings of the training of the keypoint network.

    Attributes:
        task: `keypoints`.
        name: name of the model.
        data: folder of the data sets.
        run: the run's folder.
        sources: the sets whose airplanes have points, and their weights.
        rendered: rendered scenes to train on as well.
        val: rendered scenes that choose together with the val airplanes of the sets: their seeds are others.
        batch, steps_per_epoch, epochs: crops a step, steps between two checkpoints, and checkpoints.
        learning_rate, warmup_steps, weight_decay: AdamW's; the highest rate, from which it falls as a cosine, and the
            steps in which it rises to it.
        seed: seed of weights and crops.
    """

    task: Literal["keypoints"]
    name: str
    data: Path
    run: Path
    sources: tuple[SourceConfig, ...]
    rendered: tuple[RenderedConfig, ...] = ()
    val: tuple[RenderedSet, ...] = ()
    batch: int = 64
    steps_per_epoch: int = 200
    epochs: int = 15
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-3
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "steps_per_epoch", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")
        both = {item.name: set(item.seeds) for item in self.rendered}
        for item in self.val:
            if both.get(item.name, set()) & set(item.seeds):
                raise ValueError(f"val: expected seeds that {item.name} is not trained on, got some of them")
