"""Ablation studies of the fake commands, and results that are made up."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from model.ablation import runs
from model.ablation.config import AblationConfig, ExperimentConfig
from model.ablation.results import DetectorCost, ExperimentResult, SeedResult
from model.common.config import load_yaml
from tests.model.ablation.fake_commands import EPOCHS

FAKE_COMMANDS = Path(__file__).with_name("fake_commands.py")
TRAINING = {
    "records": {"pattern": "nowhere/*.tfrecord"},
    "detector": {"kind": "grid", "grid": 4, "boxes": 1},
    "start": "random",
    "frozen_blocks": 0,
    "epochs": EPOCHS,
}


def command(module: str, options: Sequence[str]) -> list[str]:
    return [sys.executable, str(FAKE_COMMANDS), module, *options]


def write_study(folder: Path, **changes: Any) -> Path:
    """Write a study of two experiments, the first with two seeds, into the folder."""
    (folder / "data").mkdir(exist_ok=True)
    experiments = [
        {"name": "01-a", "summary": "the first", "seeds": [1, 2]},
        {"name": "02-b", "summary": "more", "seeds": [1], "baseline": "01-a", "overrides": {"detector.boxes": 4}},
    ]
    content = {
        "data": str(folder / "data"),
        "run": str(folder / "run"),
        "val_sets": ["one", "two"],
        "training": TRAINING,
        "experiments": experiments,
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content | changes))
    return file


def load_study(folder: Path, **changes: Any) -> AblationConfig:
    return load_yaml(AblationConfig, write_study(folder, **changes))


def run_study(config: AblationConfig, *experiments: ExperimentConfig) -> list[str]:
    """Run a study and return the calls of the fake commands."""
    calls = config.data / "calls.txt"
    calls.unlink(missing_ok=True)
    runs.run(config, experiments or config.experiments, command)
    return calls.read_text().splitlines() if calls.exists() else []


def made_result(name: str, *ap50: float, seeds: int | None = None, baseline: str | None = None) -> ExperimentResult:
    """Make up a result with the AP50 of each seed; `seeds`: how many are planned, if not as many."""
    planned = tuple(range(1, (seeds or len(ap50)) + 1))
    results = tuple(SeedResult(seed, ap / 2, 2.0, ap, 0.5, 0.25, 1.5, 600.0) for seed, ap in enumerate(ap50, 1))
    experiment = ExperimentConfig(name, "a change", planned, baseline)
    return ExperimentResult(experiment, DetectorCost(1234567, 3.25), results)
