"""The settings of a training, as the files of `configs/train/` hold them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from model.common.config import ByKind
from model.data.crops import CropConfig
from model.data.rendered import RenderedSet
from model.detectors.anchor_free.network import DetectorConfig
from model.detectors.grid.network import GridConfig
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
    """Scenes of the renderer to train on beside the photos; drawn into the run's folder where they are not there yet.

    Attributes:
        weight: share of the crops, on the scale of the sets' weights.
    """

    weight: float

    def __post_init__(self) -> None:
        RenderedSet.__post_init__(self)  # slots leave `super` without its class
        if not self.weight > 0:
            raise ValueError(f"weight: expected a number above 0, got {self.weight}")


@dataclass(frozen=True, slots=True)
class RecordsConfig:
    """Tiles that `model.datagen` has cut, to train on in place of photos.

    Attributes:
        pattern: of the TFRecord files, local or `gs://`, e.g. `out/tiles/*.tfrecord`.
        shuffle_buffer: tiles among which the next one is drawn, held in memory as JPEGs; 0: they come in the order of
            the files, all tiles of one photo one after the other.
        cache: keep all records in memory, as JPEGs, and read the files only once.
        augment: change each tile every time that it comes, as crops are changed.
    """

    pattern: str
    shuffle_buffer: int = 5000
    cache: bool = False
    augment: bool = True

    def __post_init__(self) -> None:
        if self.shuffle_buffer < 0:
            raise ValueError(f"shuffle_buffer: expected a whole number from 0 on, got {self.shuffle_buffer}")


@dataclass(frozen=True, slots=True)
class MistakesConfig:
    """More crops from where the model that training starts from is wrong (hard examples).

    Attributes:
        share: of the crops of every set.
        min_score: detections from this score on are false hits where there is no airplane.
    """

    share: float
    min_score: float = 0.55

    def __post_init__(self) -> None:
        for name in ("share", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """How the model in training is looked at.

    Attributes:
        every: epochs from one look to the next; the last epoch is always looked at.
        sets: names of the sets whose val photos are looked at; those trained on where there is none.
        pictures: of each set, drawn with their airplanes and what was found.
        batch: tiles in one call of the model.
    """

    every: int = 5
    sets: tuple[str, ...] = ()
    pictures: int = 2
    batch: int = 2

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("pictures", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected a whole number from {least} on, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that a training depends on.

    Attributes:
        name: of the model.
        data: folder of the data sets.
        run: the run's folder.
        sources: the sets whose photos are trained on, and their weights.
        records: tiles to train on; either these or `sources`.
        rendered: scenes of the renderer to train on as well.
        start: `imagenet` (weights of the backbone), `random`, or a model to go on from: the name of a packaged one, or
            a model's folder.
        mistakes: train more on what that model gets wrong in the same photos and scenes.
        scan: the pipeline's settings, by which a model looks at photos.
        frozen_blocks: leading blocks of the backbone that stay as they are.
        batch, steps_per_epoch, epochs: crops a step, steps between two checkpoints, and checkpoints.
        learning_rate, warmup_steps, weight_decay: AdamW's; the highest rate, and how many steps it rises to it.
        schedule: how the rate falls from there.
        ema: momentum of the running mean of all weights over steps; this mean is the model that is kept.
        seed: of weights and crops.
        min_score: recorded with the weights until `model.evaluate` chooses one on val.
        watch: how the model is looked at meanwhile; not at all if None.
        backend: what Keras runs on: `tensorflow`, `jax` or `torch`.
        distribution: the devices that share the training: one, several, or those of several machines.
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
    mistakes: MistakesConfig | None = None
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
    watch: WatchConfig | None = None
    backend: Backend = "tensorflow"
    distribution: DistributionConfig = field(default_factory=DistributionConfig)

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
        if self.mistakes and self.start in ("imagenet", "random"):
            raise ValueError(f"mistakes: expected a model to start from, whose mistakes they are, got {self.start}")
        if isinstance(self.detector, GridConfig) and (self.start == "imagenet" or self.frozen_blocks):
            raise ValueError(
                "start, frozen_blocks: expected random or a model, and 0, for a detector on a grid, which has no "
                f"weights of ImageNet, got {self.start}, {self.frozen_blocks}"
            )

    def _check_data(self) -> None:
        if bool(self.sources) == bool(self.records):
            raise ValueError(f"sources, records: expected one of the two, got {'both' if self.records else 'none'}")
        if self.records and (self.rendered or self.mistakes):
            raise ValueError("records: expected no rendered and no mistakes beside them: these are drawn with sources")
        if self.records and self.watch and not self.watch.sets:
            raise ValueError("watch.sets: expected the names of sets to look at, since records have no val split")
