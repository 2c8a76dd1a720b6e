"""The sinks as Beam transforms."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import zlib
from collections.abc import Iterable, Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from pipeline import records
from pipeline.ledger import RunInfo, SceneEntry, SceneResult, make_ledger, to_json
from pipeline.sinks import file_suffix, storage
from pipeline.sinks.features import LINES_SUFFIX, feature_lines
from pipeline.sinks.files import write_file

#: Shards in which a `.geojsonl` file is written.
SHARD_COUNT = 16


@dataclasses.dataclass(eq=False)
class WriteAirplanes(beam.PTransform):  # type: ignore[misc]
    """Write the airplanes of `SceneResult`s to files of any format; yields the URI of each once it is complete.

    `.geojsonl` is written in shards, by many workers, and joined. The other formats are sorted as a whole, by one.
    Shards are left for `remove_shards`.

    Attributes:
        uris: the files.
        run_id: part of the names of shards.
    """

    uris: Sequence[str]
    run_id: str

    def expand(self, results: beam.PCollection[SceneResult]) -> beam.PCollection[str]:
        """Build the graph."""
        lines = [uri for uri in self.uris if file_suffix(uri) == LINES_SUFFIX]
        files = [uri for uri in self.uris if uri not in lines]
        # Numbered, since two files may have one name; without their folders, whose slashes Beam would take for its own.
        labels = {uri: f"Write{number}:{uri.rpartition('/')[2]}" for number, uri in enumerate(self.uris, start=1)}
        written = [results | labels[uri] >> _WriteLines(uri, self.run_id) for uri in lines]
        if files:
            collected = results | "Collect" >> beam.combiners.ToList()
            written += [collected | labels[uri] >> beam.Map(_write_results, uri) for uri in files]
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


def remove_shards(uris: Iterable[str], run_id: str) -> None:
    """Remove what is left of the shards of these files; does nothing for other formats."""
    lines = [uri for uri in uris if file_suffix(uri) == LINES_SUFFIX]
    # Fails for shards that do not exist; nothing depends on it.
    with contextlib.suppress(Exception):
        FileSystems.delete([_shard_uri(uri, run_id, number) for uri in lines for number in range(SHARD_COUNT)])


def _shard_uri(uri: str, run_id: str, number: int) -> str:
    return storage.with_name(uri, lambda name: f".{name}.{run_id}-{number}.part")


@dataclasses.dataclass(eq=False)
class WriteLedger(beam.PTransform):  # type: ignore[misc]
    """Write the ledger from (scene results, URIs of the outputs); yields its URI.

    It waits for the outputs: a ledger that exists vouches for complete outputs.
    """

    uri: str
    run: RunInfo

    def expand(self, inputs: tuple[beam.PCollection[SceneResult], beam.PCollection[str]]) -> beam.PCollection[str]:
        """Build the graph."""
        results, outputs = inputs
        return (
            results
            | "Entries" >> beam.Map(_entry)
            | "Collect" >> beam.combiners.ToList()
            | "Write" >> beam.Map(self._write, beam.pvalue.AsList(outputs))
        )

    def _write(self, entries: Sequence[SceneEntry], outputs: Sequence[str]) -> str:
        del outputs
        now = datetime.datetime.now(datetime.UTC)
        seconds = (now - datetime.datetime.fromisoformat(self.run.started_at)).total_seconds()
        with storage.staged(self.uri) as path:
            path.write_text(to_json(make_ledger(self.run, seconds, entries)), encoding="utf-8", newline="")
        return self.uri


def _entry(result: SceneResult) -> SceneEntry:
    return result.entry
