"""The main job as one Beam graph, from scenes to files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from geo.aoi import AreaOfInterest
from geo.errors import WorkerError
from model.inference.predictor import Predictor
from pipeline.ledger import Ledger, RunInfo, read_ledger
from pipeline.model_loading import ModelSpec, load_model
from pipeline.sinks import bigquery, is_table, storage
from pipeline.sinks.transforms import WriteAirplanes, WriteLedger, prepare_tables, remove_leftovers
from pipeline.tile_cache import TileCache
from pipeline.transforms import DetectAirplanes
from pipeline.values import SceneSource

# Part of Beam's message when the connection to a worker process breaks off.
_CONNECTION_LOST = "Channel closed prematurely"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What to process, with which model, and where to write.

    Attributes:
        sources: the scenes.
        model: the model and the settings.
        outputs: the files for the airplanes, local or `gs://`, and tables (`bq://`).
        ledger: the file for the ledger, local or `gs://`.
        info: description of the run for the ledger.
        area: the area of interest; None: everything.
        cache: the tile cache; None: nothing is cached.
    """

    sources: tuple[SceneSource, ...]
    model: ModelSpec
    outputs: tuple[str, ...]
    ledger: str
    info: RunInfo
    area: AreaOfInterest | None = None
    cache: TileCache | None = None


def run_job(
    job: Job, runner: PipelineRunner, options: PipelineOptions, load: Callable[[], Predictor] | None = None
) -> Ledger:
    """Run the job to its end and return the ledger that it wrote.

    Args:
        job: the job.
        runner: Beam's runner.
        options: Beam's options.
        load: loads the model in each process that runs it; None: the job's own model.

    Raises:
        OutputError: an output, or the tile cache, cannot be written.
        WorkerError: a worker process was lost; nothing is written then.
    """
    try:
        submit_job(job, runner, options, load)
    finally:
        remove_leftovers(job.outputs, job.info.run_id, options)
    with storage.local_copy(job.ledger) as path:
        return read_ledger(path)


def submit_job(
    job: Job, runner: PipelineRunner, options: PipelineOptions, load: Callable[[], Predictor] | None = None
) -> None:
    """Hand the job to a runner, and wait for its end unless Beam's options say otherwise (see `beam_options.waits`).

    Args:
        job: the job.
        runner: Beam's runner.
        options: Beam's options.
        load: see `run_job`.

    Raises:
        OutputError: an output, or the tile cache, cannot be written.
        WorkerError: a worker process was lost; nothing is written then.
    """
    load = load or functools.partial(load_model, job.model)
    prepare_tables(job.outputs, job.info.run_id, options)
    with _lost_worker_as_error(), bigquery.load_errors(), beam.Pipeline(runner=runner, options=options) as pipeline:
        results = (
            pipeline
            | "Scenes" >> beam.Create(job.sources)
            | "DetectAirplanes" >> DetectAirplanes(job.model.config, load, job.model.identity, job.area, job.cache)
        )
        written = results | "WriteAirplanes" >> WriteAirplanes(
            job.outputs, job.info.run_id, job.model.identity, job.area
        )
        has_tables = any(is_table(output) for output in job.outputs)
        _ = (results, written) | "WriteLedger" >> WriteLedger(job.ledger, job.info, has_tables)


@contextlib.contextmanager
def _lost_worker_as_error() -> Iterator[None]:
    """Turn Beam's error about a killed worker process into a `WorkerError` of one line."""
    try:
        yield
    except RuntimeError as error:
        if _CONNECTION_LOST not in str(error):
            raise
        raise WorkerError(
            "expected every worker process to live until the end, got one that was killed or ran out of memory: "
            "run the command again (with --work-dir it resumes), with fewer workers if memory is short"
        ) from error
