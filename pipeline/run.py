"""The main job: `python -m pipeline.run --input scene.tif --output airplanes.geojson`.

Exit status: 0 every scene is complete, empty, or a duplicate; 1 some scene or part failed (the others are written, the
ledger names each failure); 2 the command is invalid, before any work starts; 130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import logging
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from geo.errors import CommandError, FinderError
from geo.raster.uri import is_remote
from model.common import logs
from model.common.command import INTERRUPTED, check_environment, plain_interrupt, print_error
from model.common.logs import hidden_packages
from pipeline import progress, report

if TYPE_CHECKING:
    from pipeline.command import Command
    from pipeline.ledger import Ledger, RunInfo
    from pipeline.model_loading import ModelSpec

#: Packages whose version can change a result.
PACKAGES = (
    "ai-edge-litert",
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

#: What TensorFlow and Beam import where it is installed, for seconds, and no run needs.
UNUSED_PACKAGES = ("jax", "matplotlib", "pymongo")
#: What Beam imports for clouds and data frames, for two seconds, and no run on this machine needs.
CLOUD_PACKAGES = ("google.cloud", "pandas")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        argv: the arguments; None: those of this process, which then loads Beam and TensorFlow without what it does not
            need.
    """
    logs.silence()
    # What workers log of scenes and tiles that failed is in the summary, too.
    logging.getLogger("pipeline.transforms").setLevel(logging.CRITICAL)
    try:
        with plain_interrupt():
            if argv is not None:
                return _run(argv)
            with hidden_packages(*UNUSED_PACKAGES):
                return _run(sys.argv[1:], own_process=True)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: run the command again; outputs that exist are complete\n")
        return INTERRUPTED


def _run(argv: Sequence[str], own_process: bool = False) -> int:
    from pipeline import command as command_line

    try:
        check_environment()
        command = command_line.parse(argv)
        # Every import of the run waits until the command is known to be right: most take seconds.
        from pipeline.model_loading import describe_model
        from pipeline.sources.resolve import write_mosaic

        spec = describe_model(command.config, command.trusted, command.gpu, elsewhere=command.dataflow)
        if command.mosaic:
            scene = write_mosaic(command.sources, spec.config, command.mosaic)
            command = dataclasses.replace(command, sources=(scene,))
        if command.plan or command.max_cost is not None:
            status = _plan(command, spec)
            if command.plan:
                return status
    except FinderError as error:
        return print_error("error", error, 2)
    try:
        ledger = _process(command, spec, argv, own_process)
    except FinderError as error:
        return print_error("error", error, 1)
    if ledger is None:
        return 0
    _print_summary(ledger, command)
    return 0 if ledger.complete else 1


def _plan(command: Command, spec: ModelSpec) -> int:
    """Estimate the run: print it for `--plan`, and refuse it where it may cost more than `--max-cost`.

    Returns:
        1 if a scene could not be processed, else 0.

    Raises:
        CommandError: it may cost more, or its cost cannot be known.
    """
    from pipeline import cost, planning
    from pipeline.model_loading import load_model, loading

    workers = cost.describe_workers(command.beam, command.gpu)
    if command.max_cost is not None and workers is None:
        raise CommandError(
            "--max-cost: expected --runner DataflowRunner, got a run elsewhere, whose cost is not known: leave it out"
        )
    with loading(spec) if workers is None else contextlib.nullcontext():
        described = planning.describe_scenes(command.sources, spec.config, command.area)
    planned = planning.estimate(described, spec.config)
    lines = list(planning.estimate_lines(planned, spec.config.screen is not None))
    if workers is None:
        lines.append(planning.hours_line(planned, planning.measure_rate(load_model(spec), spec.config)))
    else:
        prices = cost.load_prices(workers.region)
        costs = cost.estimate_cost(planned, workers, prices)
        lines += cost.cost_lines(costs, workers, prices, planned.km2)
    if command.plan:
        sys.stderr.writelines(f"failed: {error}\n" for error in planned.errors)
        sys.stdout.writelines(f"{line}\n" for line in lines)
    if command.max_cost is not None and workers is not None:
        cost.check_max_cost(costs, command.max_cost, prices)
    return 1 if planned.errors else 0


def _process(command: Command, spec: ModelSpec, argv: Sequence[str], own_process: bool) -> Ledger | None:
    """Run the job and return its ledger; None if it goes on elsewhere (`--no_wait_until_finish`, or a template)."""
    # With options of Beam the job may run anywhere.
    is_local = not command.beam and not any(is_remote(uri) for uri in (*command.outputs, command.ledger))
    with hidden_packages(*(CLOUD_PACKAGES if own_process and is_local else ())):
        from model.datagen import beam_options  # loads Beam: before the thread that may load TensorFlow, not beside it
        from pipeline.job import Job, run_job
    from pipeline.model_loading import loading, needs_keras
    from pipeline.tile_cache import TileCache

    info = run_info(spec, argv, command.run_id)
    cache = TileCache.for_model(command.work_dir, spec, info.versions) if command.work_dir else None
    job = Job(command.sources, spec, command.outputs, command.ledger, info, command.area, cache)
    options = beam_options.parse(command.beam)
    ledger: Ledger | None
    if command.dataflow:
        from pipeline import dataflow

        ledger = dataflow.run_job(job, command.beam, command.gpu)
    else:
        # With options of Beam the model may run in other processes, which load it themselves.
        model = contextlib.nullcontext() if command.beam else loading(spec)
        # TensorFlow imports it where it is installed.
        hidden = hidden_packages(*(["keras"] if own_process and is_local and not needs_keras(spec) else []))
        with progress.Display(), hidden, model:
            ledger = run_job(job, beam_options.runner(options), options)
    if command.report and ledger is not None:
        from pipeline.report.page import write_report
        from pipeline.sinks import is_table
        from pipeline.sinks.files import read_file

        first_file = next(output for output in command.outputs if not is_table(output))
        write_report(command.report, read_file(first_file), ledger)
    return ledger


def run_info(spec: ModelSpec, argv: Sequence[str], run_id: str) -> RunInfo:
    """Return the description of a run that starts now, for the ledger."""
    from pipeline.ledger import RunInfo

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        # TensorFlow is installed under one of two names.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return RunInfo(
        run_id=run_id,
        command=shlex.join(["python", "-m", "pipeline.run", *argv]),
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        model=spec.identity.model,
        versions=versions,
        settings=dataclasses.asdict(spec.config),
    )


def _print_summary(ledger: Ledger, command: Command) -> None:
    totals = ledger.totals
    for scene in ledger.scenes:
        if scene.error:
            # A file's name may hold line breaks.
            sys.stderr.write(f"{scene.status}: {' '.join(scene.error.split())}\n")
        if scene.duplicate_of:
            sys.stderr.write(
                f"{scene.status}: {scene.scene_uri}: same content as {scene.duplicate_of}, processed once\n"
            )
    if totals.parts_taken_over:
        sys.stderr.write(
            f"resumed: {totals.parts_taken_over} of {totals.parts_planned} parts were cached in {command.work_dir}\n"
        )
    if totals.empty:
        sys.stderr.write(
            f"empty: {totals.empty} of {totals.scenes} scenes have no valid pixel, or none in the area of interest; "
            "the ledger says which\n"
        )
    pages = [f"{command.report}/{report.FILE_NAME}"] if command.report else []
    sys.stderr.writelines(f"{line}\n" for line in summary_lines(ledger, [*command.outputs, command.ledger, *pages]))


def summary_lines(ledger: Ledger, written: Sequence[str]) -> Iterator[str]:
    """Yield the summary of a run, one fact a line, each under its name.

    Args:
        ledger: the ledger of the run.
        written: its files and tables.
    """
    totals = ledger.totals
    names = ("complete", "incomplete", "failed", "empty", "duplicate")
    statuses = [f"{count:,} {name}" for name in names if (count := getattr(totals, name))]
    coarse = f", and {totals.km2_coarse:,.2f} km2 at the coarsest level only" if totals.km2_coarse else ""
    # Tiles from the cache took no time.
    rate = "" if totals.parts_taken_over or not totals.mpx else f", {totals.mpx / max(ledger.seconds, 0.01):.1f} Mpx/s"
    yield f"airplanes  {totals.airplanes:,}"
    yield f"scenes     {totals.scenes:,}: {', '.join(statuses)}"
    yield f"area       {totals.km2:,.2f} km2{coarse}"
    yield f"time       {_duration(ledger.seconds)}{rate}"
    yield f"run        {ledger.run.run_id}"
    for number, name in enumerate(written):
        yield f"{'' if number else 'written':11}{name}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


if __name__ == "__main__":
    sys.exit(main())
