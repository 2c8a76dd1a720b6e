"""One run at a time in a store, and its sign of life.

On disk the lock is one of the operating system on the file `lock` of the store: it ends with the process that holds it,
however that ends, so it is never stale. In a bucket it is an object that only one run can make; the run that holds it
writes it again twice a minute, and one that has not been written for a quarter of an hour is stale, and taken over.

`heartbeat.json` says what the last run does, or how it ended, for those who watch the monitor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from geo.errors import FinderError, OutputError, WorkerError
from geo.raster.uri import is_remote
from model.common import atomic
from pipeline.monitor.scenes import format_time, parse_time
from pipeline.sinks import storage

HEARTBEAT, LOCK = "heartbeat.json", "lock"
#: How often a run at work says so, seconds; and after how long without it a lock in a bucket is stale.
PERIOD_S = 30.0
STALE_S = 900.0


class LockObject(Protocol):
    """An object in a bucket, written on the condition that nobody else has written it since."""

    def read(self) -> tuple[str, int] | None:
        """Return its content and generation, or None if there is no such object."""

    def write(self, content: str, generation: int) -> int | None:
        """Write it if it still has this generation (0: if there is none); return the new one, or None if it has not."""

    def delete(self, generation: int) -> None:
        """Delete it if it still has this generation."""


@dataclasses.dataclass
class Run:
    """A run at work.

    Attributes:
        run_id: identifies it.
        started_at: RFC 3339 UTC.
        is_lost: whether another run took the lock over.
        doing: what it does, for people.
        exit_status: of the run, once it is known.
    """

    run_id: str
    started_at: str
    is_lost: bool = False
    doing: str = "starting"
    exit_status: int | None = None

    def report(self, doing: str) -> None:
        """Say what the run does.

        Raises:
            WorkerError: another run took the lock over: this one must not write any more.
        """
        if self.is_lost:
            raise WorkerError(
                "expected to keep the lock of the store, got another run that took it over after this one had not "
                "written for a while: run again"
            )
        self.doing = doing

    def content(self, state: str) -> dict[str, Any]:
        """Return the content of the heartbeat."""
        return {
            "run_id": self.run_id,
            "state": state,
            "doing": self.doing,
            "exit_status": self.exit_status,
            "started_at": self.started_at,
            "updated_at": now(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }


def now() -> str:
    """Return the current time, RFC 3339 UTC."""
    return format_time(datetime.datetime.now(datetime.UTC).replace(microsecond=0))


@contextlib.contextmanager
def running(store: str, run_id: str, period_s: float = PERIOD_S) -> Iterator[Run]:
    """Hold the lock of a store, and keep its heartbeat, during the block, which says its exit status.

    Args:
        store: folder, local or `gs://`.
        run_id: identifies the run.
        period_s: how often it writes the heartbeat.

    Raises:
        OutputError: another run holds the lock, or it cannot be written.
    """
    run, state = Run(run_id, now()), "failed"
    with _lock(store, run) as refresh:
        write_heartbeat(store, run.content("running"))
        stop = threading.Event()
        thread = threading.Thread(target=_beat, args=(store, run, refresh, stop, period_s), name="heartbeat")
        thread.start()
        try:
            yield run
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            stop.set()
            thread.join()
            if not run.is_lost:
                write_heartbeat(store, run.content(state))


def write_heartbeat(store: str, content: dict[str, Any]) -> None:
    """Write the heartbeat of a store."""
    storage.write_text(f"{store.rstrip('/')}/{HEARTBEAT}", json.dumps(content, indent=1) + "\n")


def _beat(store: str, run: Run, refresh: Callable[[], bool], stop: threading.Event, period_s: float) -> None:
    while not stop.wait(period_s):
        # A bucket that does not answer now may do so at the next beat.
        with contextlib.suppress(FinderError):
            if not refresh():
                run.is_lost = True
                return
            write_heartbeat(store, run.content("running"))


def _lock(store: str, run: Run) -> contextlib.AbstractContextManager[Callable[[], bool]]:
    """Hold the lock; yields a function that says that the run lives, and returns whether it still holds it."""
    path = f"{store.rstrip('/')}/{LOCK}"
    return lock_object(path, run, GcsObject(path)) if is_remote(store) else _lock_file(Path(path), run)


@contextlib.contextmanager
def _lock_file(path: Path, run: Run) -> Iterator[Callable[[], bool]]:
    atomic.make_folder(path.parent)
    try:
        file: IO[str] = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: expected a writable file, got '{error.strerror}': choose another store") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise _held(str(path.parent), file.read()) from error
        file.truncate(0)
        file.write(json.dumps(run.content("running")))
        file.flush()
        yield lambda: True
        # Emptied, not removed: a run that has opened the file already must lock the same one as the next.
        file.truncate(0)


@contextlib.contextmanager
def lock_object(path: str, run: Run, target: LockObject) -> Iterator[Callable[[], bool]]:
    """Hold a lock that is an object in a bucket.

    Raises:
        OutputError: another run holds it.
    """
    current = target.read()
    if current is not None and not _is_stale(current[0]):
        raise _held(path.rpartition("/")[0], current[0])
    generation = target.write(json.dumps(run.content("running")), current[1] if current else 0)
    if generation is None:  # another run was faster
        raise _held(path.rpartition("/")[0], (target.read() or ("", 0))[0])
    held = [generation]

    def refresh() -> bool:
        written = target.write(json.dumps(run.content("running")), held[0])
        if written is None:
            return False
        held[0] = written
        return True

    try:
        yield refresh
    finally:
        target.delete(held[0])


def _is_stale(content: str) -> bool:
    try:
        updated = parse_time(json.loads(content)["updated_at"])
    except (ValueError, KeyError, TypeError):
        return True
    return (datetime.datetime.now(datetime.UTC) - updated).total_seconds() > STALE_S


def _held(store: str, content: str) -> OutputError:
    try:
        holder = json.loads(content)
        who = f"run {holder['run_id']} of {holder['host']} (process {holder['pid']}) since {holder['started_at']}"
    except (ValueError, KeyError, TypeError):
        who = "one that has just begun"
    return OutputError(f"{store}: expected no other run at work in this store, got {who}: wait for its end")


class GcsObject:
    """An object in a bucket of Google Cloud Storage.

    Args:
        uri: `gs://bucket/name`.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def read(self) -> tuple[str, int] | None:
        """See `LockObject`."""
        with storage.bucket_errors(self._uri):
            blob = self._blob()
            blob = blob.bucket.get_blob(blob.name)
            if blob is None:
                return None
            generation = int(blob.generation)
            return blob.download_as_bytes().decode(), generation

    def write(self, content: str, generation: int) -> int | None:
        """See `LockObject`."""
        from google.api_core.exceptions import PreconditionFailed

        with storage.bucket_errors(self._uri):
            blob = self._blob()
            try:
                blob.upload_from_string(content, if_generation_match=generation)
            except PreconditionFailed:
                return None
            return int(blob.generation)

    def delete(self, generation: int) -> None:
        """See `LockObject`."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with storage.bucket_errors(self._uri), contextlib.suppress(NotFound, PreconditionFailed):
            self._blob().delete(if_generation_match=generation)

    def _blob(self) -> Any:
        from google.cloud.storage import Client

        bucket, _, name = self._uri.removeprefix("gs://").partition("/")
        return Client(project=None).bucket(bucket).blob(name)
