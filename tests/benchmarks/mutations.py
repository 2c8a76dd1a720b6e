"""Break lines of the code, one at a time, and see that their test notices: `python -m tests.benchmarks.mutations`.

Each mutation is a fault that once went unnoticed, or that a test was written for. It is made in a copy of the project.
Prints a line for each; exit status 1 if a test stays green. `--only WORD` runs those whose file or test has the word.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDERS = ("geo", "model", "pipeline", "tests", "configs")


@dataclasses.dataclass(frozen=True, slots=True)
class Mutation:
    """A line broken, and the test that has to fail.

    Attributes:
        file: the file.
        old: text that it has once.
        new: what stands there instead.
        test: the test, as pytest names it.
    """

    file: str
    old: str
    new: str
    test: str


STEPS, GRID = "tests/pipeline/test_steps.py::", "tests/geo/test_grid.py::"
SINKS, CACHE = "tests/pipeline/test_sinks.py::", "tests/pipeline/test_tile_cache.py::"
LEDGER, NMS = "tests/pipeline/test_ledger.py::", "tests/geo/test_nms.py"
RADIOMETRY, GEOREF = "tests/geo/raster/test_radiometry.py::", "tests/geo/test_georef.py"
TOTALS = f"{LEDGER}test_totals_are_the_sums_and_nothing_is_dropped"
KEYS = f"{CACHE}test_everything_that_shapes_the_result_changes_the_cache_key"
SETTINGS = "tests/pipeline/test_config.py::test_the_fingerprint_follows_what_shapes_the_result"
SCALES = f"{GRID}test_columns_and_rows_have_scales_of_their_own"

MUTATIONS = (
    Mutation(
        "pipeline/config.py", '"screen": config.screen and dataclasses.asdict(config.screen)', '"screen": 1', KEYS
    ),
    Mutation("pipeline/config.py", '"tiling": dataclasses.asdict(config.tiling)', '"tiling": 1', SETTINGS),
    Mutation("pipeline/tile_cache.py", "spec.config.batch_size, sorted", "sorted", KEYS),
    Mutation("pipeline/tile_cache.py", "block.version, block.radiometry", "block.version", KEYS),
    Mutation("pipeline/tile_cache.py", "block.radiometry, area", "block.radiometry", KEYS),
    Mutation(
        "pipeline/tile_cache.py",
        'if outcome.status == "failed":',
        "if False:",
        f"{CACHE}test_failed_tiles_are_retried_in_the_next_run",
    ),
    Mutation(
        "pipeline/model_loading.py",
        "min(config.min_score, config.screen.min_score) if config.screen else config.min_score",
        "config.min_score",
        "tests/pipeline/test_api.py::test_a_screen_needs_a_model_that_returns_its_candidates",
    ),
    Mutation(
        "model/common/atomic.py",
        "            partial.replace(path)",
        "            path.write_bytes(partial.read_bytes())",
        f"{SINKS}test_an_output_is_moved_over_the_old_one",
    ),
    Mutation(
        "pipeline/sinks/transforms.py",
        "written = beam.pvalue.AsList(outputs)",
        "written: list[str] = []",
        f"{SINKS}test_the_ledger_waits_for_the_outputs",
    ),
    Mutation(
        "pipeline/planning.py",
        "bands = config.bands or source.bands",
        "bands = source.bands or config.bands",
        f"{STEPS}test_the_bands_of_the_settings_come_before_those_of_the_item",
    ),
    Mutation(
        "geo/raster/reader.py",
        "self._given_radiometry or read_radiometry",
        "None or read_radiometry",
        f"{RADIOMETRY}test_the_stretch_that_is_given_is_used",
    ),
    Mutation(
        "geo/raster/radiometry.py",
        "pixels[:, mask & pixels.any(axis=0)] if has_collar else pixels[:, mask]",
        "pixels[:, mask]",
        f"{RADIOMETRY}test_the_collar_is_left_out_of_the_stretch",
    ),
    Mutation(
        "geo/raster/radiometry.py",
        "and between <= _MAX_BETWEEN * np.count_nonzero(filled)",
        "",
        "tests/geo/raster/test_integrity.py::test_bright_ground_and_negative_scenes_have_no_fill",
    ),
    Mutation(
        "pipeline/ledger.py",
        "counts.total() != planned",
        "counts.total() < planned",
        f"{STEPS}test_more_tiles_than_were_planned_make_a_scene_incomplete",
    ),
    Mutation(
        "pipeline/ledger.py",
        "counts.total() != planned",
        "counts.total() > planned",
        f"{STEPS}test_lost_tiles_make_a_scene_incomplete",
    ),
    Mutation("pipeline/ledger.py", "sum(entry.parts_screened for entry in scenes)", "0", TOTALS),
    Mutation("pipeline/ledger.py", "round(sum(entry.km2_coarse for entry in scenes), 6)", "0.0", TOTALS),
    Mutation("pipeline/ledger.py", "round(sum(entry.mpx for entry in scenes), 6)", "0.0", TOTALS),
    Mutation("pipeline/ledger.py", "sum(entry.parts_taken_over for entry in scenes)", "0", TOTALS),
    Mutation(
        "pipeline/ledger.py",
        "self.totals.incomplete + self.totals.failed == 0",
        "self.totals.failed == 0",
        f"{LEDGER}test_complete_means_every_scene",
    ),
    Mutation(
        "pipeline/ledger.py",
        'status = "incomplete" if counts["done"] else "failed"',
        'status = "incomplete"',
        f"{STEPS}test_a_scene_without_a_readable_tile_has_failed",
    ),
    Mutation(
        "geo/aoi.py",
        "core.col - SEAM_PX, core.row - SEAM_PX, core.right + SEAM_PX, core.bottom + SEAM_PX",
        "core.col, core.row, core.right, core.bottom",
        "tests/geo/test_aoi.py::test_an_area_beside_a_seam_has_the_tiles_of_both_sides",
    ),
    Mutation(
        "geo/grid.py",
        "span[1] - SEAM_PX <= high and span[2] + SEAM_PX >= low",
        "span[1] <= high and span[2] >= low",
        "tests/geo/test_aoi.py::test_an_area_beside_a_seam_has_the_tiles_of_both_sides",
    ),
    Mutation(
        "geo/raster/writer.py",
        "_MAX_OFFSET_PX = 0.05",
        "_MAX_OFFSET_PX = 0.45",
        "tests/geo/raster/test_writer.py::test_files_that_do_not_match_are_rejected",
    ),
    Mutation(
        "geo/grid.py",
        "scale = np.array([level.scale_x, level.scale_y] * 2)",
        "scale = np.array([level.scale_y, level.scale_x] * 2)",
        SCALES,
    ),
    Mutation("geo/grid.py", "* [tile.level.scale_x, tile.level.scale_y])", "* [1.0, 1.0])", SCALES),
    Mutation(
        "geo/grid.py",
        "grown = Window(core.col - SEAM_PX, core.row - SEAM_PX, core.width + 2 * SEAM_PX, core.height + 2 * SEAM_PX)",
        "grown = core",
        f"{GRID}test_boxes_that_differ_at_a_seam_are_not_lost",
    ),
    Mutation(
        "geo/grid.py",
        "keep &= level.min_side_px <= sides",
        "keep &= level.min_side_px >= 0",
        f"{GRID}test_small_boxes_are_left_to_the_finer_level",
    ),
    Mutation(
        "geo/grid.py",
        "in_scene = np.clip(in_level[keep], 0, size) * scale",
        "in_scene = in_level[keep] * scale",
        f"{GRID}test_boxes_at_the_scene_border_are_kept_and_clipped",
    ),
)


def main() -> int:
    """Run the mutations and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", default="", metavar="WORD", help="mutations whose file or test has the word")
    only = parser.parse_args().only
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in FOLDERS:
            shutil.copytree(PROJECT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "pyproject.toml", folder)
        for mutation in MUTATIONS:
            if only in f"{mutation.file} {mutation.test}":
                verdict = _try(mutation, Path(folder))
                unnoticed += verdict != "noticed"
                sys.stdout.write(f"{verdict:10} {mutation.file}: {mutation.new.strip()[:60]}\n")
                sys.stdout.flush()
    return int(unnoticed > 0)


def _try(mutation: Mutation, folder: Path) -> str:
    """Return "noticed", "unnoticed", or "outdated" where the text or the test is not there any more."""
    path = folder / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        return "outdated"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.test]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    status = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode
    path.write_text(text, encoding="utf-8")
    return {0: "unnoticed", 1: "noticed"}.get(status, "outdated")


if __name__ == "__main__":
    sys.exit(main())
