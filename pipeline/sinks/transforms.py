"""The sinks as Beam transforms."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import zlib
from collections.abc import Iterable, Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from geo.aoi import AreaOfInterest
from pipeline import records
from pipeline.ledger import RunInfo, SceneEntry, SceneResult, make_ledger, to_json
from pipeline.sinks import bigquery, file_suffix, is_table, storage
from pipeline.sinks.features import LINES_SUFFIX, feature_lines
from pipeline.sinks.files import write_file
from pipeline.values import Identity

#: Shards in which a `.geojsonl` file is written.
SHARD_COUNT = 16


@dataclasses.dataclass(eq=False)
class WriteAirplanes(beam.PTransform):  # type: ignore[misc]
    """Write the airplanes of `SceneResult`s to files and tables; yields the URI of each once it is complete.

    `.geojsonl` is written in shards, by many workers, and joined. The other files are sorted as a whole, by one. Tables
    are loaded from files in `--temp_location`. `WriteLedger` removes the shards; the rest, and what a failed job
    leaves, is for `remove_leftovers`.

    Attributes:
        uris: the files and tables.
        run_id: part of the names of shards and staging tables.
        identity: model and settings, by which rows of tables are replaced.
        area: the area of interest, in which they are; None: everywhere.
    """

    uris: Sequence[str]
    run_id: str
    identity: Identity
    area: AreaOfInterest | None = None

    def expand(self, results: beam.PCollection[SceneResult]) -> beam.PCollection[str]:
        """Build the graph."""
        tables = [uri for uri in self.uris if is_table(uri)]
        lines = [uri for uri in self.uris if file_suffix(uri) == LINES_SUFFIX]
        files = [uri for uri in self.uris if uri not in lines and uri not in tables]
        # Numbered, since two files may have one name; without their folders, whose slashes Beam would take for its own.
        labels = {uri: f"Write{number}:{uri.rpartition('/')[2]}" for number, uri in enumerate(self.uris, start=1)}
        written = [results | labels[uri] >> _WriteLines(uri, self.run_id) for uri in lines]
        if files:
            collected = results | "Collect" >> beam.combiners.ToList()
            written += [collected | labels[uri] >> beam.Map(_write_results, uri) for uri in files]
        if tables:
            rows = (
                results | "Rows" >> beam.FlatMap(bigquery.staging_rows, self.identity),
                results.pipeline | "Area" >> beam.Create(bigquery.area_rows(self.area)),
            ) | "AllRows" >> beam.Flatten()
            written += [rows | labels[uri] >> _WriteTable(uri, self.run_id, self.area is not None) for uri in tables]
        return tuple(written) | "Written" >> beam.Flatten()


def _write_results(results: Sequence[SceneResult], uri: str) -> str:
    airplanes = [airplane for result in results for airplane in result.airplanes]
    write_file(uri, airplanes, [result.entry for result in results])
    return uri


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """The lines of some scenes, in a file: its URI, and URI and bytes of each scene, in the order of the file."""

    uri: str
    scenes: tuple[tuple[str, int], ...]


@dataclasses.dataclass(eq=False)
class _WriteLines(beam.PTransform):  # type: ignore[misc]
    """Write the airplanes of `SceneResult`s to one `.geojsonl` file; yields its URI."""

    uri: str
    run_id: str

    def expand(self, results: beam.PCollection[SceneResult]) -> beam.PCollection[str]:
        """Build the graph."""
        return (
            results
            | "Key" >> beam.Map(_with_shard_number)
            | "Group" >> beam.GroupByKey()
            | "WriteShard" >> beam.Map(_write_group, self.uri, self.run_id)
            | "Collect" >> beam.combiners.ToList()
            | "Join" >> beam.Map(join_shards, self.uri)
        )


def _with_shard_number(result: SceneResult) -> tuple[int, SceneResult]:
    return zlib.crc32(result.entry.scene_uri.encode()) % SHARD_COUNT, result


def _write_group(group: tuple[int, Iterable[SceneResult]], uri: str, run_id: str) -> Shard:
    number, results = group
    return write_shard(number, results, uri, run_id)


def write_shard(number: int, results: Iterable[SceneResult], uri: str, run_id: str) -> Shard:
    """Write a shard of the file at `uri`, beside it: a second try replaces the first.

    Raises:
        OutputError: it cannot be written.
    """
    shard_uri = _shard_uri(uri, run_id, number)
    scenes = []
    with storage.staged(shard_uri) as path, path.open("wb") as file:
        for result in sorted(results, key=lambda result: result.entry.scene_uri):
            airplanes = sorted(result.airplanes, key=records.sort_key)
            size = sum(file.write(f"{line}\n".encode()) for line in feature_lines(airplanes))
            scenes.append((result.entry.scene_uri, size))
    return Shard(shard_uri, tuple(scenes))


def join_shards(shards: Sequence[Shard], uri: str) -> str:
    """Write the file at `uri` from its shards, by scene URI, and return `uri`.

    Raises:
        OutputError: it cannot be written.
    """
    # Each shard is in order, so all of them are read from start to end.
    scenes = sorted((scene_uri, size, shard.uri) for shard in shards for scene_uri, size in shard.scenes)
    with storage.staged(uri) as path, path.open("wb") as target, contextlib.ExitStack() as stack:
        sources = {
            shard.uri: stack.enter_context(stack.enter_context(storage.local_copy(shard.uri)).open("rb"))
            for shard in shards
        }
        for _, size, shard_uri in scenes:
            target.write(sources[shard_uri].read(size))
    return uri


@dataclasses.dataclass(eq=False)
class _WriteTable(beam.PTransform):  # type: ignore[misc]
    """Load rows into a staging table, and replace by them those of the table at `uri`; yields `uri`."""

    uri: str
    run_id: str
    in_area: bool

    def expand(self, rows: beam.PCollection[dict[str, str | float | None]]) -> beam.PCollection[str]:
        """Build the graph."""
        table, folder = _table_and_folder(self.uri, self.run_id, rows.pipeline.options)
        staging = bigquery.staging_table(table, self.run_id)
        loaded = rows | "Load" >> beam.io.WriteToBigQuery(
            table=staging.name,
            dataset=staging.dataset,
            project=staging.project,
            schema={"fields": bigquery.schema(required=False)},
            method=beam.io.WriteToBigQuery.Method.FILE_LOADS,
            # A second try of a load replaces what the first has left.
            write_disposition=beam.io.BigQueryDisposition.WRITE_TRUNCATE,
            custom_gcs_temp_location=folder,
            load_job_project_id=table.billing_project,
        )
        jobs = (loaded.destination_load_jobid_pairs, loaded.destination_copy_jobid_pairs) | "Jobs" >> beam.Flatten()
        return (
            rows.pipeline
            | "Table" >> beam.Create([self.uri])
            | "Replace" >> beam.Map(_replace_rows, table, self.run_id, self.in_area, beam.pvalue.AsIter(jobs))
        )


def _replace_rows(uri: str, table: bigquery.Table, run_id: str, in_area: bool, jobs: Iterable[object]) -> str:
    del jobs  # they are done: this step waits for them
    bigquery.replace_rows(table, bigquery.staging_table(table, run_id), in_area)
    return uri


def _table_and_folder(uri: str, run_id: str, options: PipelineOptions) -> tuple[bigquery.Table, str]:
    """Return the table of a URI, and the folder for the files from which it is loaded."""
    cloud = options.view_as(GoogleCloudOptions)
    table = bigquery.parse_table(uri, cloud.project)
    return table, f"{cloud.temp_location.rstrip('/')}/airplanes-{run_id}"


def prepare_tables(uris: Iterable[str], run_id: str, options: PipelineOptions) -> None:
    """Create the staging tables of these outputs; does nothing for files.

    Raises:
        OutputError: one cannot be created.
    """
    for uri in uris:
        if is_table(uri):
            table, _ = _table_and_folder(uri, run_id, options)
            # Beam's client of BigQuery looks for a project there, and for nothing else.
            os.environ.setdefault("GOOGLE_CLOUD_PROJECT", table.billing_project)
            bigquery.create_staging(table, run_id)


def remove_leftovers(uris: Iterable[str], run_id: str, options: PipelineOptions) -> None:
    """Remove what is left of shards, staging tables and the files from which these were loaded, however the job ended.

    Errors are ignored: what does not exist cannot be removed, and nothing depends on it.
    """
    leftovers: list[str] = []
    for uri in uris:
        leftovers += _shard_uris(uri, run_id)
        if is_table(uri):
            table, folder = _table_and_folder(uri, run_id, options)
            bigquery.remove_staging(bigquery.staging_table(table, run_id))
            with contextlib.suppress(Exception):
                leftovers += [metadata.path for metadata in FileSystems.match([f"{folder}/**"])[0].metadata_list]
    _delete(leftovers)


def _delete(uris: Sequence[str]) -> None:
    with contextlib.suppress(Exception):
        FileSystems.delete(uris)


def _shard_uris(uri: str, run_id: str) -> list[str]:
    """Return the shards that the output at `uri` may have."""
    if file_suffix(uri) != LINES_SUFFIX:
        return []
    return [_shard_uri(uri, run_id, number) for number in range(SHARD_COUNT)]


def _shard_uri(uri: str, run_id: str, number: int) -> str:
    return storage.with_name(uri, lambda name: f".{name}.{run_id}-{number}.part")


@dataclasses.dataclass(eq=False)
class WriteLedger(beam.PTransform):  # type: ignore[misc]
    """Write the ledger from (scene results, URIs of the outputs), and remove the shards; yields its URI.

    It waits for the outputs: a ledger that exists vouches for complete outputs.

    Attributes:
        uri: the file.
        run: what the ledger says of the run.
        has_tables: some output is a table.
    """

    uri: str
    run: RunInfo
    has_tables: bool

    def expand(self, inputs: tuple[beam.PCollection[SceneResult], beam.PCollection[str]]) -> beam.PCollection[str]:
        """Build the graph."""
        results, outputs = inputs
        written = beam.pvalue.AsList(outputs)
        return (
            results
            | "Entries" >> beam.Map(_entry, self.has_tables)
            | "Collect" >> beam.combiners.ToList()
            | "Write" >> beam.Map(self._write, written)
            # The side input keeps it out of the stage that joins, which is not tried again once the shards are gone.
            | "RemoveShards" >> beam.Map(_remove_shards, self.run.run_id, written)
        )

    def _write(self, entries: Sequence[SceneEntry], outputs: Sequence[str]) -> str:
        del outputs
        now = datetime.datetime.now(datetime.UTC)
        seconds = (now - datetime.datetime.fromisoformat(self.run.started_at)).total_seconds()
        storage.write_text(self.uri, to_json(make_ledger(self.run, seconds, entries)))
        return self.uri


def _remove_shards(ledger: str, run_id: str, outputs: Sequence[str]) -> str:
    _delete([shard for output in outputs for shard in _shard_uris(output, run_id)])
    return ledger


def _entry(result: SceneResult, has_tables: bool) -> SceneEntry:
    rows = bigquery.table_rows(result.entry) if has_tables else None
    return dataclasses.replace(result.entry, table_rows=rows)
