"""Looks at damaged files as the job would, in a process of its own with limits; `python -m tests.geo.examiner`.

One path a line comes in; one line goes out: "read", "refused ..." (an error as it should be) or "wrong ...".
"""

import itertools
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np

from geo.errors import FinderError, ResolutionError
from geo.grid import Tiling, plan_levels, plan_tiles
from geo.raster.header import read_header
from geo.raster.reader import RasterReader

# Of the address space, of which libraries take a lot; and of processor time for all files together.
_MEMORY_BYTES, _SECONDS = 6 << 30, 120
TILING = Tiling((0.5, 1.0, 2.0), tile_px=256, halo_px=24, align_px=32)


class Examiner:
    """The process, and the memory it used at most, in bytes."""

    def __init__(self, process: "Popen[str]") -> None:
        self._process = process

    def examine(self, path: Path) -> str:
        """Returns what came of a file; "wrong ..." where the process did not survive it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip() or f"wrong: the process ended ({self._process.wait()})"

    def most_memory(self) -> int:
        """Returns the most bytes in memory so far."""
        return int(self.examine(Path("memory")))


@contextmanager
def examining() -> Iterator[Examiner]:
    """A process that examines files, until the end of the block."""
    with Popen([sys.executable, "-m", "tests.geo.examiner"], stdin=PIPE, stdout=PIPE, text=True) as process:
        yield Examiner(process)


def _examined(path: str) -> str:
    try:
        return _read(path)
    except FinderError as error:
        # The plan knows no name of a file: the job puts it in front.
        named = path in str(error) or isinstance(error, ResolutionError)
        sound = named and "\n" not in str(error)
        return f"refused: {error}" if sound else f"wrong: {str(error)!r}"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"wrong: {type(error).__name__}: {error!r}"


def _read(path: str) -> str:
    header = read_header(path)
    if not np.isfinite(header.resolution_m).all():
        return f"wrong: {header.resolution_m} m per pixel"
    with RasterReader(path, header.radiometry) as reader:
        for level in plan_levels(header.width, header.height, header.resolution_m, TILING):
            for tile in itertools.islice(plan_tiles(level, TILING), 3):
                image, valid = reader.read_tile(tile), reader.read_valid_mask(tile)
                if image.shape != (256, 256, 3) or image.dtype != np.uint8:
                    return f"wrong: pixels {image.shape} {image.dtype}"
                if valid is not None and valid.shape != (256, 256):
                    return f"wrong: validity {valid.shape}"
    return "read"


def _most_memory() -> str:
    # Not of getrusage: what the process that started this one had in memory counts there.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return str(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024)


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path = line.rstrip("\n")
        answer = _examined(path) if path != "memory" else _most_memory()
        sys.stdout.write(answer.replace("\n", "\\n") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
