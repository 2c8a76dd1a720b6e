"""How long a large result takes to write: `python -m tests.benchmarks.sinks`.

Each format in a process of its own, as in a run: the time includes the import of the libraries that write it, and the
sorting. Prints a table of docs/results.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = (".geojson", ".geojsonl", ".parquet", ".fgb", ".gpkg", ".coco.json")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--airplanes", type=int, default=100_000, metavar="N")
    parser.add_argument("--suffix", choices=SUFFIXES, help="measure this one, in this process")
    options = parser.parse_args()
    if options.suffix:
        print(measured(options.suffix, options.airplanes))
        return 0
    print("| format | seconds | MB |")
    print("|---|---|---|")
    for suffix in SUFFIXES:
        command = [sys.executable, "-m", __spec__.name, "--suffix", suffix, "--airplanes", str(options.airplanes)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip())
    return 0


def measured(suffix: str, count: int) -> str:
    """Return the table's line of one format."""
    from pipeline.sinks.files import write_file
    from tests.pipeline.airplanes import sample
    from tests.pipeline.report.factories import entry

    airplanes = sample(count)
    scenes = [entry("a.tif")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"airplanes{suffix}")
        start = time.perf_counter()
        write_file(str(path), airplanes, scenes)
        seconds = time.perf_counter() - start
        return f"| `{suffix}` | {seconds:.1f} | {path.stat().st_size / 1e6:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
