"""Commands in processes of their own: a folder for each, one supervisor at a time, and no process left behind.

As a command, `python -m model.common.process COMMAND ...` runs a command that is ended when standard input closes. So a
training ends when the search that started it stops it, and also when the search itself is killed.
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

from geo.errors import ConfigError
from model.common.atomic import write_atomically

# In the folder of a process.
CONFIG = "config.yaml"
RUN = "run"
OUTPUT = "output.txt"
# In the folder of all of them.
_LOCK = "lock"
# How long a command may take to end after SIGTERM before it gets SIGKILL.
_GRACE_S = 20


@contextmanager
def lock_folder(folder: Path) -> Iterator[int]:
    """Create a folder and hold its lock; waits for whoever holds it.

    Yields:
        The file descriptor of the lock. It is held until it is closed here and in every process that inherited it.

    Raises:
        ConfigError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise ConfigError(f"expected a folder that can be made, got {folder}: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder} is in use: waiting for the process there to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def write_config(folder: Path, content: dict[str, Any]) -> Path:
    """Write the config of a training whose run lies in the same folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CONFIG
    write_atomically(file, yaml.safe_dump(content | {"run": str(folder / RUN)}, sort_keys=False))
    return file


def start(command: Sequence[str], output: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start a command that ends with this process at the latest.

    Args:
        command: the program and its arguments.
        output: file to which its stdout and stderr are appended.
        lock: file descriptor that stays open until the command has ended.
    """
    with output.open("ab") as opened:
        return subprocess.Popen(  # noqa: S603  # the caller's own command
            [sys.executable, "-m", "model.common.process", *command],
            stdin=subprocess.PIPE,
            stdout=opened,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the command
        )


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Stop commands started by `start`, and wait until they have ended."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        process.wait()


def failure_reason(status: int, output: Path) -> str:
    """Return why a command failed: its exit status or signal, and the last line of its output."""
    lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    number = status - 128 if status > 128 else -status
    ended = f"signal {signal.Signals(number).name}" if number in list(signal.Signals) else f"exit status {status}"
    return f"{ended}: {last}"


def run_on_leash(command: Sequence[str], grace_s: float = _GRACE_S) -> int:
    """Run a command until it ends or standard input closes.

    Returns:
        Its exit status as a shell reports it: 128 plus the number of the signal, if one ended it.
    """
    # File descriptors that can be inherited are meant to be: the lock.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603  # the caller's own
    threading.Thread(target=_end_with_stdin, args=(process, grace_s), daemon=True).start()
    status = process.wait()
    return status if status >= 0 else 128 - status


def _end_with_stdin(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Wait until standard input closes, then end the process."""
    while os.read(0, 1):
        pass
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(run_on_leash(sys.argv[1:]))
