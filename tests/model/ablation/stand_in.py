"""What stands in for `model.train` and `model.evaluate`: `stand_in.py MODULE OPTIONS`, all in no time.

In the folder of the data, `calls.txt` says what was asked for. A file `broken` there names a call that fails, `lost`
one that ends well but makes nothing, and `gate` one that interrupts the process of the number in it, and stays.
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import yaml

EPOCHS = 3


def figures(rung: str, seed: int) -> dict[str, float | None]:
    """What the stand-in measures."""
    value = int(rung[:2]) / 10 + seed / 100
    known: dict[str, float | None] = {"ap50": value, "tile_iou": value / 2, "mistakes_per_tile": 5 - value}
    return known | {"best_f1": None, "false_per_100km2": 100 * value}


def train(options: argparse.Namespace) -> None:
    config = yaml.safe_load(options.config.read_text())
    model = options.run / "model"
    for folder in (model, options.run / "state"):
        folder.mkdir(parents=True, exist_ok=True)
    weights = f"{options.run} {options.seed} {config['epochs']}".encode()
    (model / "weights.safetensors").write_bytes(weights)
    content = {"name": config["name"], "detector": config["detector"], "min_score": 0.5}
    content["sha256"] = hashlib.sha256(weights).hexdigest()
    (model / "config.yaml").write_text(yaml.safe_dump(content))
    with (options.run / "log.csv").open("w", newline="") as log:
        csv.writer(log).writerows([["epoch", "seconds"], *([epoch, 60] for epoch in range(config["epochs"]))])
    (options.run / "state" / "training_metadata.json").write_text(json.dumps({"epoch": config["epochs"]}))


def evaluate(options: argparse.Namespace) -> None:
    model = yaml.safe_load((options.model / "config.yaml").read_text())
    if options.record:
        model["min_score"] = 0.7
        (options.model / "config.yaml").write_text(yaml.safe_dump(model))
    own = figures(options.model.parents[1].name, int(options.model.parent.name))
    sets = dict.fromkeys([*(options.sets or ["airbus"]), "together"], own)
    version = f"{model['name']}@{model['sha256'][:12]}"
    content = {"model": version, "min_score": model["min_score"], "sets": sets}
    options.output.write_text(json.dumps(content))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("module")
    for name in ("--config", "--data", "--run", "--model", "--output", "--page"):
        made.add_argument(name, type=Path)
    made.add_argument("--seed", type=int)
    made.add_argument("--split", default="test")
    made.add_argument("--sets", nargs="+")
    made.add_argument("--record", action="store_true")
    return made


def main() -> None:
    signal.alarm(120)  # a mistake in a test should not make it last for ever
    options = parser().parse_args()
    own = options.run or options.model.parent
    call = f"{'train' if options.module == 'model.train' else options.split} {own.parent.name}/{own.name}"
    with (options.data / "calls.txt").open("a") as calls:
        calls.write(f"{call}\n")
    if is_meant(options.data / "broken", call):
        sys.exit(f"first words\n{call}: the data is gone")
    if is_meant(options.data / "gate", call):
        os.kill(int((options.data / "gate").read_text().split("\n")[1]), signal.SIGINT)
        signal.pause()
    if not is_meant(options.data / "lost", call):
        (train if options.module == "model.train" else evaluate)(options)


def is_meant(file: Path, call: str) -> bool:
    return file.exists() and file.read_text().split("\n")[0] == call


if __name__ == "__main__":
    main()
