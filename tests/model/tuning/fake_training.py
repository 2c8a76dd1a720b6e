"""A fake training: it reads a config, writes tables epoch by epoch and resumes, all in no time.

Its loss is (x - 0.3)^2 + 1 / (epoch + 1), its accuracy one less that, over 10. What else it does is in its config:

`behaviour`: `normal`; or `crash`, `die` (by a signal), `silent` (no table), `nan` (at the end).
`hang_above`: with a larger x it hangs after two epochs.
`pause`: [trial, epoch]: that trial waits there when it is first started, and opens the pipe `gate`, if any, before.
`meet`: a pipe at which an even trial and an odd one wait for each other.
"""

import csv
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

# A mistake in a test should end in a failed trial, not in a test that never ends.
TIMEOUT_S = 120


def loss(x: float, epoch: int) -> float:
    return (x - 0.3) ** 2 + 1 / (epoch + 1)


def train(config: dict[str, Any]) -> None:
    run = Path(config["run"])
    run.mkdir(parents=True, exist_ok=True)
    with (run / "starts.txt").open("a") as starts:
        first = not starts.tell()
        starts.write(f"{os.getpid()}\n")
    trial = int(run.parent.name)
    if config["meet"]:
        Path(config["meet"]).open("r" if trial % 2 else "w").close()
    if config["behaviour"] != "silent":
        run_epochs(config, run, trial if first else None)


def run_epochs(config: dict[str, Any], run: Path, trial: int | None) -> None:
    """Run the epochs that are left; the trial's number is None if it is not its first start."""
    done = len((run / "log.csv").read_text().splitlines()) - 1 if (run / "log.csv").exists() else 0
    for epoch in range(done, config["epochs"] + 1):
        if config["pause"] == [trial, epoch]:
            if config["gate"]:
                Path(config["gate"]).open("w").close()
            signal.pause()
        if epoch == 2 and config["x"] > config["hang_above"]:
            signal.pause()
        if epoch < config["epochs"]:
            misbehave(config["behaviour"], epoch)
            write(config, run, epoch)


def misbehave(behaviour: str, epoch: int) -> None:
    if behaviour == "crash" and epoch == 1:
        raise RuntimeError("the data is gone")
    if behaviour == "die" and epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def write(config: dict[str, Any], run: Path, epoch: int) -> None:
    value = loss(config["x"], epoch)
    if config["behaviour"] == "nan" and epoch == config["epochs"] - 1:
        value = float("nan")
    append(run / "log.csv", {"epoch": epoch, "loss": value})
    append(run / "val.csv", {"epoch": epoch, "set": "other", "accuracy": 0.5})
    append(run / "val.csv", {"epoch": epoch, "set": "some", "accuracy": 1 - value / 10})


def append(file: Path, row: dict[str, object]) -> None:
    with file.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, list(row))
        if not opened.tell():
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    signal.alarm(TIMEOUT_S)
    config: dict[str, Any] = {"behaviour": "normal", "pause": None, "gate": None, "meet": None, "epochs": 3, "x": 0.0}
    config["hang_above"] = 9.0
    known = {*config, "run", "size", "name", "inner"}
    config |= yaml.safe_load(Path(sys.argv[2]).read_text())
    if config.keys() - known or not isinstance(config["x"], float):
        sys.exit(f"fake_training: {sys.argv[2]}: wrong settings {sorted(config)}, x {config['x']!r}")
    if "--check" not in sys.argv:
        train(config)


if __name__ == "__main__":
    main()
