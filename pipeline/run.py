"""The main job: `python -m pipeline.run --input scene.tif --output airplanes.geojson`.

Exit status: 0 every scene complete, empty, or a duplicate of another; 1 some scene or part failed (the others are
written, the ledger names each failure); 2 the command itself is wrong, before any work starts; 130 interrupted with
Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import platform
import shlex
import sys
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geo.errors import FinderError
from model.common.interrupt import plain_interrupt
from pipeline import progress, quiet

if TYPE_CHECKING:
    from pipeline.command import Command
    from pipeline.ledger import Ledger, RunInfo
    from pipeline.model_loading import ModelSpec

#: The exit status that shells give what SIGINT has ended.
INTERRUPTED = 130

#: Packages whose version can change a result.
PACKAGES = (
    "airplane-finder",
    "apache-beam",
    "keras",
    "numpy",
    "pyproj",
    "rasterio",
    "shapely",
    "tensorflow",
    "tensorflow-cpu",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    quiet.silence()
    try:
        with plain_interrupt():
            return _run(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: run the command again; an output that is there is whole\n")
        return INTERRUPTED


def _run(words: Sequence[str]) -> int:
    # What follows brings Beam, Keras and TensorFlow: not before they are told to be quiet.
    from pipeline import command as command_line
    from pipeline.model_loading import describe_model
    from pipeline.sources.mosaic import write_mosaic

    try:
        command = command_line.parse(words)
        quiet.import_tensorflow()
        spec = describe_model(command.config, command.trusted)
        if command.mosaic:
            scene = write_mosaic(command.sources, spec.config, command.mosaic)
            command = dataclasses.replace(command, sources=(scene,))
        if command.plan:
            return _plan(command, spec)
    except FinderError as error:
        return _say(error, 2)
    try:
        ledger = _work(command, spec, words)
    except FinderError as error:
        return _say(error, 1)
    _summarize(ledger, command)
    return 0 if ledger.complete else 1


def _plan(command: Command, spec: ModelSpec) -> int:
    """Says what the command would do; the status is 1 where a scene could not be looked at."""
    from pipeline import planning
    from pipeline.model_loading import load_model

    described = planning.describe_scenes(command.sources, spec.config, command.area)
    planned = planning.estimate(described, spec.config)
    for error in planned.errors:
        sys.stderr.write(f"failed: {error}\n")
    rate = planning.measure_rate(load_model(spec), spec.config)
    for line in planning.estimate_lines(planned, rate, spec.config.screen is not None):
        sys.stdout.write(f"{line}\n")
    return 1 if planned.errors else 0


def _work(command: Command, spec: ModelSpec, words: Sequence[str]) -> Ledger:
    from pipeline.job import Job, run_job
    from pipeline.report.page import write_report
    from pipeline.sinks.geojson import read_geojson
    from pipeline.tile_cache import TileCache

    info = run_info(spec, words)
    cache = TileCache.for_model(command.work_dir, spec, info.versions) if command.work_dir else None
    job = Job(command.sources, spec, command.outputs, command.ledger, info, command.area, cache)
    with progress.Display():
        ledger = run_job(job, command.runner, command.beam)
    if command.report:
        write_report(command.report, read_geojson(command.outputs[0]), ledger)
    return ledger


def run_info(spec: ModelSpec, words: Sequence[str]) -> RunInfo:
    """Returns what the ledger says of a run that starts now."""
    from pipeline.ledger import RunInfo

    return RunInfo(
        run_id=uuid.uuid4().hex[:12],
        command=shlex.join(["python", "-m", "pipeline.run", *words]),
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        model=spec.identity.model,
        versions=_versions(),
        settings=dataclasses.asdict(spec.config),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        # TensorFlow goes by one of two names.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _summarize(ledger: Ledger, command: Command) -> None:
    totals = ledger.totals
    for scene in ledger.scenes:
        if scene.error:
            sys.stderr.write(f"{scene.status}: {scene.error}\n")
        if scene.duplicate_of:
            sys.stderr.write(f"{scene.status}: {scene.scene_uri}: the same as {scene.duplicate_of}, looked at once\n")
    if totals.parts_taken_over:
        sys.stderr.write(
            f"taken over: {totals.parts_taken_over} of {totals.parts_planned} parts from {command.work_dir}, "
            "where an earlier run has kept them\n"
        )
    if totals.empty:
        sys.stderr.write(
            f"empty: {totals.empty} of {totals.scenes} scenes had nothing to look at: no valid pixel, or none in the "
            "area of interest; the ledger says which\n"
        )
    others = [f", {count} {name}" for name in ("empty", "duplicate") if (count := getattr(totals, name))]
    coarse = f" and {totals.km2_coarse:.2f} km2 coarsely" if totals.km2_coarse else ""
    sys.stderr.write(
        f"{totals.airplanes} airplanes in {totals.scenes} scenes ({totals.complete} complete, "
        f"{totals.incomplete} incomplete, {totals.failed} failed{''.join(others)}), "
        f"{totals.km2:.2f} km2{coarse} in {ledger.seconds:.0f} s: "
        f"{', '.join(map(str, (*command.outputs, command.ledger)))}\n"
    )


def _say(error: FinderError, status: int) -> int:
    sys.stderr.write(f"error: {' '.join(str(error).splitlines())}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
