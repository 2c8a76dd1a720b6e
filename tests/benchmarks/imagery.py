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
    from tests.integration.imagery import CASES, agreement, detect, reference_scene

    print_georeferences()
    spec = describe_model(load_config())
    predictor, reference = load_model(spec), reference_scene()
    heads = ("case", "airplanes", "the same", "scores differ by", "centres by, m", "georeference off by, m")
    print(f"| {' | '.join(heads)} | there and back, px |")
    print("|---|---|---|---|---|---|---|")
    expected = None
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES):
            case_folder = Path(folder) / str(number)
            case_folder.mkdir()
            variant = case.write(case_folder, reference)
            scene, result = detect(str(variant.path), spec.config, predictor, spec.identity, variant.settings)
            expected = expected or result.airplanes
            agreed = agreement(result.airplanes, expected, scene, variant)
            figures = f"{agreed.score:.3f} | {agreed.metres:.2f} | {agreed.placed_m:.1e} | {agreed.round_trip_px:.1e}"
            print(f"| {case.name} | {agreed.detected} | {agreed.matched} | {figures} |", flush=True)
    return 0


def print_georeferences() -> None:
    """The georeferences of `tests/geo/test_georef_cases.py` compared with GDAL, and their round trip."""
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
