"""Reads damaged files as a run would, in a subprocess with limits: `python -m tests.geo.raster.fuzz_worker`.

Reads one path a line, and answers with one line: "read", "rejected ..." (a proper error) or "wrong ...".
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

# Limits of address space, of which the libraries take a lot, and of CPU time for all files together.
_MEMORY_BYTES, _SECONDS = 6 << 30, 120
TILING = Tiling((0.5, 1.0, 2.0), tile_px=256, halo_px=24, align_px=32)


class FuzzWorker:
    """The subprocess."""

    def __init__(self, process: "Popen[str]") -> None:
        self._process = process

    def read(self, path: Path) -> str:
        """Return the answer for a file; "wrong ..." if the process crashed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip() or f"wrong: the process ended ({self._process.wait()})"

    def peak_memory(self) -> int:
        """Return the peak memory of the process so far, bytes."""
        return int(self.read(Path("memory")))


@contextmanager
def run_worker() -> Iterator[FuzzWorker]:
    """Run the subprocess for the duration of the block."""
    with Popen([sys.executable, "-m", "tests.geo.raster.fuzz_worker"], stdin=PIPE, stdout=PIPE, text=True) as process:
        yield FuzzWorker(process)


def _answer(path: str) -> str:
    try:
        return _read(path)
    except FinderError as error:
        # `plan_levels` does not know the file: a run puts its name in front.
        names_file = path in str(error) or isinstance(error, ResolutionError)
        proper = names_file and "\n" not in str(error)
        return f"rejected: {error}" if proper else f"wrong: {str(error)!r}"
    except Exception as error:  # noqa: BLE001 -- this is what the test is for
        return f"wrong: {type(error).__name__}: {error!r}"


def _read(path: str) -> str:
    header = read_header(path)
    if not np.isfinite(header.resolution_m).all():
        return f"wrong: {header.resolution_m} m per pixel"
    with RasterReader(path, header.radiometry) as reader:
        for level in plan_levels(header.width, header.height, header.resolution_m, TILING):
            for tile in itertools.islice(plan_tiles(level, TILING), 3):
                image, valid = reader.read_tile(tile), reader.read_valid_mask(tile)
                shape = (tile.window.height, tile.window.width)
                if image.shape != (*shape, 3) or image.dtype != np.uint8:
                    return f"wrong: pixels {image.shape} {image.dtype}"
                if valid is not None and valid.shape != shape:
                    return f"wrong: validity {valid.shape}"
    return "read"


def _peak_memory() -> str:
    # Not getrusage, which includes the memory of the parent process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return str(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024)


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path = line.rstrip("\n")
        answer = _answer(path) if path != "memory" else _peak_memory()
        sys.stdout.write(answer.replace("\n", "\\n") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
