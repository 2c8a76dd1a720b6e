"""The settings of a ladder, as the files of `configs/ladder/` hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from geo.errors import ConfigError
from model.common.config import load_yaml
from model.training.config import TrainConfig

# In the ladder's folder, beside those of the rungs: scenes that `model.evaluate` draws, once for all.
RENDERED = "rendered"


@dataclass(frozen=True, slots=True)
class RungConfig:
    """One rung.

    Attributes:
        name: of the rung, and of its folder.
        config: of its training, a file of `configs/train/`.
        idea: what is new, in a few words.
        seeds: it is trained once with each of them.
        against: the earlier rung that it is compared with, if any.
    """

    name: str
    config: Path
    idea: str
    seeds: tuple[int, ...]
    against: str | None = None

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in ("", "..", RENDERED):
            raise ValueError(f"rungs.name: expected a name that a folder can have, got {self.name!r}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"rungs.seeds: expected one or more different numbers for {self.name}, got {self.seeds}")


@dataclass(frozen=True, slots=True)
class LadderConfig:
    """A ladder.

    Attributes:
        data: folder of the data sets.
        run: the ladder's folder; a training and its figures are in RUN/NAME/SEED.
        val_sets: on whose val split threshold and calibration of every model are chosen.
        rungs: in the order in which they are trained.
    """

    data: Path
    run: Path
    val_sets: tuple[str, ...]
    rungs: tuple[RungConfig, ...]

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {"dev_sets": "val_sets"}

    def __post_init__(self) -> None:
        for name in ("val_sets", "rungs"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected one or more, got none")
        names = [rung.name for rung in self.rungs]
        if len(set(names)) < len(names):
            raise ValueError(f"rungs: expected every name once, got {', '.join(names)}")
        for place, rung in enumerate(self.rungs):
            if rung.against is not None and rung.against not in names[:place]:
                raise ValueError(f"rungs.against: expected a rung before {rung.name}, got {rung.against!r}")


def trainings(config: LadderConfig) -> dict[str, TrainConfig]:
    """The settings of every rung's training, by its name.

    Raises:
        ConfigError: a file that is not there, or that no training of a detector takes.
    """
    return {rung.name: load_yaml(TrainConfig, rung.config) for rung in config.rungs}


def chosen(config: LadderConfig, names: list[str]) -> tuple[RungConfig, ...]:
    """The rungs of these names, in the ladder's order; all where there is no name.

    Raises:
        ConfigError: there is no such rung.
    """
    known = [rung.name for rung in config.rungs]
    for name in names:
        if name not in known:
            raise ConfigError(f"--only: expected one of {', '.join(known)}, got {name}")
    return tuple(rung for rung in config.rungs if not names or rung.name in names)
