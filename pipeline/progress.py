"""The progress line of the job, on a terminal.

Beam's in-process runner blocks until it is done and gives its metrics only then. The transforms therefore also count
here, in the process they run in. Processes that a runner starts on this machine leave their counts in a folder, whose
name they inherit in the environment; of workers elsewhere nothing is shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TextIO

PERIOD_S = 0.5
#: Environment variable: the folder in which each process of a run leaves its counts, under its number.
FOLDER = "AIRPLANE_FINDER_PROGRESS"


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """The counts so far; scenes and tiles done include those that failed or were empty.

    Attributes:
        scenes: scenes opened or failed to open.
        scenes_done: scenes finished.
        parts: tiles planned.
        parts_done: tiles finished.
        airplanes: detections so far, before duplicates of one airplane are merged.
        pixels: pixels inferred.
    """

    scenes: int = 0
    scenes_done: int = 0
    parts: int = 0
    parts_done: int = 0
    airplanes: int = 0
    pixels: int = 0


_lock = threading.Lock()
_counter: Counter[str] = Counter()


def add(**amounts: int) -> None:
    """Add to the process's counts, by the names of the fields of `Counts`; thread-safe."""
    folder = os.environ.get(FOLDER)
    with _lock:
        _counter.update(amounts)
        if folder:
            _leave_counts(Path(folder) / f"{os.getpid()}.json")


def _leave_counts(path: Path) -> None:
    partial = path.with_suffix(".part")
    with contextlib.suppress(OSError):  # the run has ended, or its disk is full
        partial.write_text(json.dumps(_counter), encoding="utf-8")
        partial.replace(path)


def counts() -> Counts:
    """Return the counts of this process, and of others of the same run."""
    with _lock:
        total = Counter(_counter)
    folder = os.environ.get(FOLDER)
    for path in Path(folder).glob("*.json") if folder else ():
        if path.stem != str(os.getpid()):
            total.update(json.loads(path.read_text(encoding="utf-8")))
    return Counts(**total)


def reset() -> None:
    """Set the process's counts to zero."""
    with _lock:
        _counter.clear()


def line(now: Counts, seconds: float) -> str:
    """Return the progress line after `seconds` of work."""
    text = (
        f"scenes {now.scenes_done}/{now.scenes}  tiles {now.parts_done}/{now.parts}  "
        f"airplanes {now.airplanes}  {now.pixels / 1e6 / max(seconds, 1e-9):.1f} Mpx/s"
    )
    if 0 < now.parts_done < now.parts:
        left = round(seconds * (now.parts - now.parts_done) / now.parts_done)
        text += f"  {left // 60}:{left % 60:02d} left"
    return text


class Display:
    """Shows the progress line on a terminal, in a `with` block; silent on anything else."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> None:
        reset()
        if self._stream.isatty():
            with contextlib.suppress(OSError):  # without a folder to write to, only this process is shown
                folder = tempfile.TemporaryDirectory(prefix="airplanes-progress-", ignore_cleanup_errors=True)
                os.environ[FOLDER] = self._stack.enter_context(folder)
                self._stack.callback(os.environ.pop, FOLDER)
            self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._stop.set()
            self._thread.join()
            self._write("")
        self._stack.close()

    def _show(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(PERIOD_S):
            self._write(line(counts(), time.monotonic() - started))

    def _write(self, text: str) -> None:
        # Back to the start of the line, the text, and the rest of the line erased.
        self._stream.write(f"\r{text}\x1b[K")
        self._stream.flush()
