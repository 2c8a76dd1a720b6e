"""Ladders of the stand-in, and standings that are made up."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from model.ablation import runs as climb
from model.ablation.config import LadderConfig, RungConfig
from model.ablation.results import Cost, Measured, Standing
from model.common.config import load_yaml
from tests.model.ablation.stand_in import EPOCHS

STAND_IN = Path(__file__).with_name("stand_in.py")
TRAINING = {
    "name": "some",
    "data": "nowhere",
    "run": "nowhere",
    "records": {"pattern": "nowhere/*.tfrecord"},
    "detector": {"kind": "grid", "grid": 4, "boxes": 1},
    "start": "random",
    "frozen_blocks": 0,
    "epochs": EPOCHS,
}


def command(module: str, options: Sequence[str]) -> list[str]:
    return [sys.executable, str(STAND_IN), module, *options]


def settings(folder: Path, **changes: Any) -> Path:
    """Writes a ladder of two rungs, the first with two seeds, below the folder."""
    (folder / "data").mkdir(exist_ok=True)
    for name, boxes in (("01-a", 1), ("02-b", 4)):
        detector = {"kind": "grid", "grid": 4, "boxes": boxes}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(TRAINING | {"detector": detector}))
    rungs = [
        {"name": "01-a", "config": str(folder / "01-a.yaml"), "idea": "the first", "seeds": [1, 2]},
        {"name": "02-b", "config": str(folder / "02-b.yaml"), "idea": "more", "seeds": [1], "against": "01-a"},
    ]
    content = {"data": str(folder / "data"), "run": str(folder / "run"), "val_sets": ["one", "two"], "rungs": rungs}
    file = folder / "ladder.yaml"
    file.write_text(yaml.safe_dump(content | changes))
    return file


def read(folder: Path, **changes: Any) -> LadderConfig:
    return load_yaml(LadderConfig, settings(folder, **changes))


def go_up(config: LadderConfig, *rungs: RungConfig) -> list[str]:
    """Climbs, and returns what was asked for on the way."""
    calls = config.data / "calls.txt"
    calls.unlink(missing_ok=True)
    climb.climb(config, rungs or config.rungs, command)
    return calls.read_text().splitlines() if calls.exists() else []


def standing(name: str, *ap50: float, seeds: int | None = None, against: str | None = None) -> Standing:
    """A rung whose seeds have these; as many as there are, where `seeds` does not say."""
    asked = tuple(range(1, (seeds or len(ap50)) + 1))
    measured = tuple(Measured(seed, ap / 2, 2.0, ap, 0.5, 0.25, 1.5, 600.0) for seed, ap in enumerate(ap50, 1))
    return Standing(RungConfig(name, Path("some.yaml"), "an idea", asked, against), Cost(1234567, 3.25), measured)
