"""The main job as one Beam graph, from scenes to files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from geo.aoi import AreaOfInterest
from model.inference.predictor import Predictor
from pipeline.errors import WorkerError
from pipeline.ledger import Ledger, RunInfo, SceneEntry, read_ledger
from pipeline.model_loading import Engine, load_model
from pipeline.records import Airplane
from pipeline.sinks.transforms import WriteGeoJson, WriteLedger
from pipeline.tile_cache import WorkFolder
from pipeline.transforms import FindAirplanes
from pipeline.values import SceneResult, SceneSource

# What Beam says where the connection to a process of its own breaks off.
_LOST = "Channel closed prematurely"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What to look at, with what, and where to write.

    Attributes:
        sources: the scenes.
        engine: the model and the settings.
        outputs: the files for the airplanes.
        ledger: the file for the ledger.
        info: what the ledger says of the run.
        area: the area of interest; None: everything.
        work: where outcomes are kept, and taken from; None: nowhere.
    """

    sources: tuple[SceneSource, ...]
    engine: Engine
    outputs: tuple[Path, ...]
    ledger: Path
    info: RunInfo
    area: AreaOfInterest | None = None
    work: WorkFolder | None = None


def run_job(
    job: Job, runner: PipelineRunner, options: PipelineOptions, load: Callable[[], Predictor] | None = None
) -> Ledger:
    """Runs the job to its end and returns the ledger that it wrote.

    Args:
        job: what to do.
        runner: Beam's runner.
        options: Beam's options.
        load: makes the model in each process that looks at tiles; None: the job's own.

    Raises:
        OutputError: an output, or the work folder, cannot be written.
        WorkerError: a process that Beam has started for the work is gone; nothing is written then.
    """
    load = load or functools.partial(load_model, job.engine)
    with _lost_workers_told(), beam.Pipeline(runner=runner, options=options) as pipeline:
        results = (
            pipeline
            | "Scenes" >> beam.Create(job.sources)
            | "FindAirplanes" >> FindAirplanes(job.engine.config, load, job.engine.identity, job.area, job.work)
        )
        airplanes = results | "Airplanes" >> beam.FlatMap(_airplanes)
        lines = results | "Lines" >> beam.Map(_line)
        paths = tuple(airplanes | f"Write {path}" >> WriteGeoJson(path) for path in job.outputs)
        written = paths | "Written" >> beam.Flatten()
        _ = (lines, written) | "WriteLedger" >> WriteLedger(job.ledger, job.info)
    return read_ledger(job.ledger)


@contextlib.contextmanager
def _lost_workers_told() -> Iterator[None]:
    """Says in one line what Beam says in its own words, where a process that did a part of the work was killed."""
    try:
        yield
    except RuntimeError as error:
        if _LOST not in str(error):
            raise
        raise WorkerError(
            "expected every worker process to live until the end, got one that was killed or ran out of memory: "
            "run the command again (what --work-dir has kept is taken over), with fewer workers if memory is short"
        ) from error


def _airplanes(result: SceneResult) -> tuple[Airplane, ...]:
    return result.airplanes


def _line(result: SceneResult) -> SceneEntry:
    return result.entry
