"""Trainings in processes of their own: a locked folder for all of them, and a folder with config and log for each.

`python -m model.common.process COMMAND ...` runs a command and terminates it when its own standard input is closed,
which happens when the parent process ends. So a training ends when its study stops it, and when the study dies.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from model.common.atomic import make_folder, write_atomically

# In the folder of a training.
CONFIG = "config.yaml"
RUN = "run"
OUTPUT = "output.txt"
# In the folder that they share.
_LOCK = "lock"
# How long a command may take to end before it is killed.
_PATIENCE_S = 20


@contextmanager
def lock_folder(folder: Path) -> Iterator[int]:
    """Make a folder and hold its lock, as one process at a time can; waits while another holds it.

    Yields:
        The file descriptor of the lock, which is held until it is closed here and in every process that inherits it.

    Raises:
        OutputError: the folder cannot be made.
    """
    make_folder(folder)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder} is in use: waiting for the other run to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def write_config(folder: Path, content: dict[str, Any]) -> Path:
    """Write the config of a training whose run lies in the same folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CONFIG
    write_atomically(file, yaml.safe_dump(content | {"run": str(folder / RUN)}, sort_keys=False))
    return file


def start(command: Sequence[str], output: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start a command, such as a training.

    Args:
        command: the words of the command.
        output: a file to which its stdout and stderr are appended.
        lock: a file descriptor that stays open until the command has ended.
    """
    with output.open("ab") as file:
        return subprocess.Popen(  # noqa: S603  # as it was asked to
            [sys.executable, "-m", "model.common.process", *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the command
        )


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Stop commands that `start` has started, and wait for their end."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        process.wait()


def failure_reason(status: int, output: Path) -> str:
    """Return why a command failed: its exit status or the signal that ended it, and the last line of its output."""
    lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    number = status - 128 if status > 128 else -status
    ended = f"signal {signal.Signals(number).name}" if number in list(signal.Signals) else f"exit status {status}"
    return f"{ended}: {last}"


def run_on_leash(command: list[str], patience_s: float = _PATIENCE_S) -> int:
    """Run a command until it ends or stdin is closed.

    Returns:
        Its exit status, as a shell gives it: 128 plus the signal, if a signal ended it.
    """
    # What is open here and can be inherited is meant to be: the lock.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603  # as it was asked to
    threading.Thread(target=_terminate_after_stdin, args=(process, patience_s), daemon=True).start()
    status = process.wait()
    return status if status >= 0 else 128 - status


def _terminate_after_stdin(process: subprocess.Popen[bytes], patience_s: float) -> None:
    while os.read(0, 1):
        pass
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(run_on_leash(sys.argv[1:]))
