"""The store: GeoParquet files by table, airport and day, on disk or in a bucket.

    STORE/scenes/airport=TLS/day=2026-11-23/<scene>.parquet                 one processed scene
    STORE/detections/airport=TLS/day=2026-11-23/<scene>-<version>.parquet   its detections
    STORE/visits/airport=TLS/day=2026-11-23/visits.parquet                  and other tables computed from these two

A scene is stored when its file of `scenes` is there, which is written last; detections without one are remains of a run
that was killed. Files appear whole or not at all. So a run can be killed anywhere: the next one goes on from what is
stored. Only one run writes to a store at a time, see `lock`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from geo.errors import InputError
from geo.raster.uri import is_remote
from model.common import atomic
from pipeline.monitor import tables
from pipeline.monitor.tables import SceneRow
from pipeline.records import Airplane
from pipeline.sinks import storage

SCENES, DETECTIONS, STATE = "scenes", "detections", "state"
_READERS = 8  # files that are read at once; a bucket answers slowly

Row = TypeVar("Row")


class Store:
    """A store; its files are listed once, when it is opened.

    Args:
        uri: local folder, or `gs://bucket/folder`.

    Raises:
        InputError: the bucket cannot be listed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") if is_remote(uri) else str(Path(uri))
        self._files = set(storage.list_files(self.uri))
        self._scenes: dict[tuple[str, str], SceneRow] | None = None  # read when first asked for

    def remove_remains(self) -> None:
        """Remove the detections of scenes that a killed run did not finish, and superseded ones."""
        stored = {
            (row.airport, row.scene_key): (row.version, self._path(SCENES, row.airport, row.day, row.scene_key))
            for row in self.scenes()
        }
        remains = []
        for file in self._files_of(DETECTIONS):
            key, _, version = Path(file).stem.rpartition("-")
            if stored.get((_part(file, "airport"), key), ("", ""))[0] != version:
                remains.append(file)
        self._remove(remains)

    def scenes(self, airport: str | None = None) -> list[SceneRow]:
        """Return the stored scenes, of one airport or of all, by airport, time and key."""
        if self._scenes is None:
            table = self._read(self._files_of(SCENES))
            rows = [] if table is None else tables.from_arrow(table, SceneRow)
            self._scenes = {(row.airport, row.scene_key): row for row in rows}
        chosen = (row for row in self._scenes.values() if airport in (None, row.airport))
        return sorted(chosen, key=lambda row: (row.airport, row.acquired_at, row.scene_key))

    def detections(self, scenes: Sequence[SceneRow]) -> dict[str, list[Airplane]]:
        """Return the detections of stored scenes of one airport by the key of their scene."""
        files = [self._detections_path(scene) for scene in scenes]
        table = self._read(file for file in files if file in self._files)
        return {} if table is None else tables.by_scene(table)

    def write_scene(self, row: SceneRow, airplanes: Sequence[Airplane]) -> None:
        """Store a scene, in place of an earlier version of it.

        Raises:
            OutputError: a file cannot be written.
        """
        path = self._path(SCENES, row.airport, row.day, row.scene_key)
        detections = self._detections_path(row)
        earlier = {
            file
            for file in (*self._files_of(SCENES, row.airport), *self._files_of(DETECTIONS, row.airport))
            if Path(file).stem.partition("-")[0] == row.scene_key
        } - {path, detections}
        self._write(detections, tables.detections_frame(airplanes, row))
        # First, so that a scene whose time was corrected is never there twice: after a kill it is processed again.
        self._remove(file for file in earlier if f"/{SCENES}/" in file)
        self._write(path, tables.to_frame([row], SceneRow))
        if self._scenes is not None:
            self._scenes[row.airport, row.scene_key] = row
        self._remove(earlier & self._files)

    def read_table(self, table: str, cls: type[Row], airport: str | None = None) -> list[Row]:
        """Return the rows of a computed table, of one airport or of all, by airport and day."""
        read = self._read(self._files_of(table, airport))
        return [] if read is None else tables.from_arrow(read, cls)

    def write_tables(self, airport: str, computed: Mapping[str, tuple[type[Any], Sequence[Any]]], inputs: str) -> int:
        """Store the computed tables of an airport; only files whose rows have changed are written.

        Args:
            airport: id of the airport.
            computed: for each table the class of its rows, and the rows, each with `day`.
            inputs: digest of all that the tables were computed from; see `inputs_of`.

        Returns:
            How many files were written.
        """
        digests = self._state(airport).get("days", {})
        current: dict[str, str] = {}
        written = 0
        for table, (cls, rows) in computed.items():
            by_day: dict[str, list[Any]] = {}
            for row in rows:
                by_day.setdefault(row.day, []).append(row)
            for day, of_day in by_day.items():
                path = self._path(table, airport, day, table)
                digest = tables.digest(of_day)
                if path not in self._files or digests.get(path.removeprefix(self.uri)) != digest:
                    self._write(path, tables.to_frame(of_day, cls))
                    written += 1
                current[path.removeprefix(self.uri)] = digest
            kept = {self._path(table, airport, day, table) for day in by_day}
            self._remove(set(self._files_of(table, airport)) - kept)
        self.write_json(self._state_name(airport), {"inputs": inputs, "days": current})
        return written

    def inputs_of(self, airport: str) -> str | None:
        """Return the digest of what the computed tables of an airport were computed from; None: they are not whole."""
        digest = self._state(airport).get("inputs")
        return None if digest is None else str(digest)

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file of the store, or None if there is no such file.

        Raises:
            InputError: it is damaged.
        """
        path = f"{self.uri}/{name}"
        if path not in self._files:
            return None
        with storage.local_copy(path) as copy:
            try:
                return json.loads(copy.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{path}: expected JSON, got {error}: restore it, or remove it") from error

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the store."""
        path = f"{self.uri}/{name}"
        self._make_folder(path)
        storage.write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        self._files.add(path)

    def _state(self, airport: str) -> dict[str, Any]:
        return self.read_json(self._state_name(airport)) or {}

    def _state_name(self, airport: str) -> str:
        return f"{STATE}/airport={airport}.json"

    def _path(self, table: str, airport: str, day: str, name: str) -> str:
        return f"{self.uri}/{table}/airport={airport}/day={day}/{name}.parquet"

    def _detections_path(self, row: SceneRow) -> str:
        return self._path(DETECTIONS, row.airport, row.day, f"{row.scene_key}-{row.version}")

    def _files_of(self, table: str, airport: str | None = None) -> list[str]:
        folder = f"{self.uri}/{table}/" + (f"airport={airport}/" if airport else "")
        return sorted(file for file in self._files if file.startswith(folder) and file.endswith(".parquet"))

    def _read(self, files: Iterable[str]) -> Any:
        """Return the rows of Parquet files as one Arrow table, in their order; None without files."""
        import pyarrow

        with ThreadPoolExecutor(_READERS) as readers:
            read = list(readers.map(_read_parquet, files))
        # A column that files of an earlier version lack is null in their rows.
        return pyarrow.concat_tables(read, promote_options="default") if read else None

    def _write(self, path: str, frame: Any) -> None:
        self._make_folder(path)
        geo: dict[str, Any] = {"schema_version": "1.1.0", "write_covering_bbox": True} if hasattr(frame, "crs") else {}
        with storage.staged(path) as file:
            frame.to_parquet(file, index=False, compression="zstd", **geo)
        self._files.add(path)

    def _make_folder(self, path: str) -> None:
        if not is_remote(path):
            atomic.make_folder(Path(path).parent)

    def _remove(self, files: Iterable[str]) -> None:
        removed = set(files)
        storage.remove(sorted(removed))
        self._files -= removed


def _read_parquet(uri: str) -> Any:
    from pyarrow import parquet

    # The columns that the folders' names repeat are in the file. In the schema's metadata each file has its own extent.
    with storage.local_copy(uri) as path:
        return parquet.read_table(path, partitioning=None).replace_schema_metadata(None)


def _part(file: str, name: str) -> str:
    """Return the value of a part `name=value` of a file's folders."""
    return file.partition(f"/{name}=")[2].partition("/")[0]
