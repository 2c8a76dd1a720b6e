"""The main job as one Beam graph, from scenes to files."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from geo.area import Area
from model.predictor import Predictor
from pipeline.engine import Engine, load_model
from pipeline.ledger import Ledger, RunInfo, SceneEntry, read_ledger
from pipeline.records import Airplane
from pipeline.sinks.transforms import WriteGeoJson, WriteLedger
from pipeline.transforms import FindAirplanes
from pipeline.values import SceneResult, SceneSource
from pipeline.work import WorkFolder


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
    area: Area | None = None
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
    """
    load = load or functools.partial(load_model, job.engine)
    with beam.Pipeline(runner=runner, options=options) as pipeline:
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


def _airplanes(result: SceneResult) -> tuple[Airplane, ...]:
    return result.airplanes


def _line(result: SceneResult) -> SceneEntry:
    return result.entry
