"""The training of a trial, in a process of its own and a folder of its own."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from geo.errors import ConfigError
from model.common.atomic import write_atomically

# In the folder of a trial.
CONFIG = "config.yaml"
RUN = "run"
OUTPUT = "output.txt"
# In the folder of a study.
_LOCK = "lock"


@contextmanager
def alone(study: Path) -> Iterator[int]:
    """Makes the folder of a study, or of a ladder, and keeps everyone else out of it; waits for those who are in it.

    Yields:
        The open file by which they are kept out: they are until it is closed here and in every process that has it.

    Raises:
        ConfigError: the folder cannot be made.
    """
    try:
        study.mkdir(parents=True, exist_ok=True)
        lock = (study / _LOCK).open("w")
    except OSError as error:
        raise ConfigError(f"expected a folder that can be made, got {study}: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{study} is in use: waiting for what runs there to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def write_config(folder: Path, content: dict[str, Any]) -> Path:
    """Writes the config of a trial, with a run in its folder, and returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CONFIG
    write_atomically(file, yaml.safe_dump(content | {"run": str(folder / RUN)}, sort_keys=False))
    return file


def start(command: Sequence[str], said: Path, lock: int) -> subprocess.Popen[bytes]:
    """Starts a command, such as a training.

    Args:
        command: that begins, or goes on.
        said: a file, to which what it says is added.
        lock: kept open until the command has ended.
    """
    with said.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  # as it was asked to
            [sys.executable, "-m", "model.tuning.leash", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C is for the one who started it alone, who lets go of it
        )


def end(*processes: subprocess.Popen[bytes]) -> None:
    """Lets go of commands, and waits for their end."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        process.wait()


def reason(status: int, said: Path) -> str:
    """Why a command failed: its exit status or the signal that ended it, and the last line that it said."""
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    number = status - 128 if status > 128 else -status
    ended = f"signal {signal.Signals(number).name}" if number in list(signal.Signals) else f"exit status {status}"
    return f"{ended}: {last}"
