"""The airplanes of one scene over pixel types, formats and georeferences: `python -m tests.benchmarks.imagery`.

Prints two tables of docs/results.md: of georeferences alone, and of airplanes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from model.common import logs


def main() -> int:
    logs.silence()
    from pipeline.config import load_config
    from pipeline.model_loading import describe_model, load_model
    from tests.integration.imagery import CASES, agreement, detect, plain

    print_places()
    spec = describe_model(load_config())
    predictor, base = load_model(spec), plain()
    heads = ("case", "airplanes", "the same", "scores differ by", "centres by, m", "georeference off by, m")
    print(f"| {' | '.join(heads)} | there and back, px |")
    print("|---|---|---|---|---|---|---|")
    expected = None
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES):
            place = Path(folder) / str(number)
            place.mkdir()
            made = case.write(place, base)
            scene, result = detect(str(made.path), spec.config, predictor, spec.identity, made.settings)
            expected = expected or result.airplanes
            found = agreement(result.airplanes, expected, scene, made)
            figures = f"{found.score:.3f} | {found.metres:.2f} | {found.placed_m:.1e} | {found.round_trip_px:.1e}"
            print(f"| {case.name} | {found.found} | {found.matched} | {figures} |", flush=True)
    return 0


def print_places() -> None:
    """The georeferences of `tests/geo/test_georef_cases.py` against GDAL's own way, and there and back."""
    from geo.raster.header import read_header
    from tests.geo.test_georef_cases import CASES, PIXELS, expected_lonlat, metres_apart, write

    print("| case | off by, m | there and back, px |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, case) in enumerate(CASES.items()):
            georef = read_header(write(Path(folder) / f"{number}.tif", case)).georef
            if georef is None:
                raise RuntimeError(f"{name}: expected a georeference, got none")
            lonlat = georef.pixel_to_lonlat(PIXELS)
            off = metres_apart(lonlat, expected_lonlat(case, PIXELS)).max()
            back = abs(georef.lonlat_to_pixel(lonlat, (30, 20)) - PIXELS).max()
            print(f"| {name} | {off:.0e} | {back:.0e} |")
    print()


if __name__ == "__main__":
    sys.exit(main())
