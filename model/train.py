"""Trains the detector: `python -m model.train --config configs/train/default.yaml`.

The same command goes on where a training was broken off.
"""

import argparse
import sys
from pathlib import Path

from geo.errors import FinderError
from model import backend, quiet
from model import config as config_file


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        "model.train",
        description="Trains the airplane detector, or goes on training it.",
        epilog="Any other key of the config is an option too: --learning_rate=0.001, --distribution.devices=2.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/train/")
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--run", help="folder of the run")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--steps-per-epoch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--backend", help="what Keras runs on: tensorflow (the default), jax or torch")
    known, others = parser.parse_known_args(arguments)
    options = vars(known)
    path = options.pop("config")
    quiet.silence()
    try:
        options |= config_file.overrides(others)
        backend.choose(options["backend"] or config_file.read(path).get("backend", "tensorflow"))
        training = quiet.load("model.training")
        folder = training.train(config_file.load(training.TrainConfig, path, options))
    except FinderError as error:
        print(f"model.train: {error}", file=sys.stderr)
        return 2
    print(f"model: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
