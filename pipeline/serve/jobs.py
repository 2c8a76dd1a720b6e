"""Detection jobs: a queue with a bound, run one after the other, with progress tile by tile."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from geo.aoi import AreaOfInterest
from geo.errors import FinderError
from geo.raster.header import check_size
from pipeline import local, planning, records, steps
from pipeline.ledger import SceneEntry
from pipeline.records import Airplane
from pipeline.serve.models import ServedModel
from pipeline.serve.requests import RequestError
from pipeline.serve.scenes import outline_lonlat
from pipeline.values import Identity, Scene, SceneSource, TileOutcome

#: As OGC API - Processes calls them.
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
#: Finished jobs that are remembered, with their airplanes.
KEPT_JOBS = 100
#: Seconds that a job which is dismissed at the end gets to reach its next tile.
STOP_S = 5.0


class _DismissedError(Exception):
    """The job was dismissed, or the service stops."""


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """The work of a job.

    Attributes:
        title: the scene, for people.
        source: the scene; for one that was sent or fetched, the file in `folder`.
        model: the model.
        min_score: threshold, or None for the model's.
        area: area of interest, or None.
        fetch: fetches the scene into `folder`, or None where it is there.
        folder: a folder of the job alone, or None.
        keep: keep the folder as long as the job is remembered, for crops.
        max_px: pixels that a stranger's scene may have; None: the scene is trusted.
    """

    title: str
    source: SceneSource
    model: ServedModel
    min_score: float | None = None
    area: AreaOfInterest | None = None
    fetch: Callable[[], None] | None = None
    folder: Path | None = None
    keep: bool = False
    max_px: float | None = None


class Job:
    """A job and its progress; its methods may be called from any thread.

    Args:
        task: its work.
    """

    def __init__(self, task: Task) -> None:
        self.id = uuid.uuid4().hex
        self.task = task
        self._lock = threading.Lock()
        self._status: Status = "accepted"
        self._message = ""
        self._times = {"created": _now(), "started": None, "finished": None}
        self._scene: Scene | None = None
        self._planned = 0
        self._tiles: list[dict[str, Any]] = []
        self._detected = 0
        self._entry: SceneEntry | None = None
        self._airplanes: tuple[Airplane, ...] | None = None
        self._dismissed = threading.Event()
        self._finished = threading.Event()

    @property
    def status(self) -> Status:
        """Its current state."""
        with self._lock:
            return self._status

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self._finished.is_set()

    def dismiss(self) -> None:
        """Ask it to stop at the next tile."""
        self._dismissed.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is finished, at most some seconds; return whether it is."""
        return self._finished.wait(seconds)

    def check_dismissed(self) -> None:
        """End the job if it was dismissed."""
        if self._dismissed.is_set():
            raise _DismissedError

    def begin(self) -> None:
        """Note that it runs."""
        with self._lock:
            self._status, self._times["started"] = "running", _now()

    def plan(self, scene: Scene) -> None:
        """Note the scene, and how many tiles there are."""
        with self._lock:
            self._scene, self._planned = scene, scene.tile_count

    @property
    def scene(self) -> Scene:
        """The scene, to read more of it.

        Raises:
            RequestError: it is not opened yet, or was removed (404).
        """
        with self._lock:
            is_removed = self.task.folder is not None and not self.task.keep
            if self._scene is None or is_removed:
                raise RequestError(404, "expected a scene that is still there, got one that was removed after its job")
            return self._scene

    def add_tile(self, tile: dict[str, Any], detected: int) -> None:
        """Note a tile that is done, and how many detections it has."""
        with self._lock:
            self._tiles.append(tile)
            self._detected += detected

    def finish(
        self,
        status: Status,
        message: str,
        entry: SceneEntry | None = None,
        airplanes: tuple[Airplane, ...] | None = None,
    ) -> None:
        """Note its end."""
        with self._lock:
            self._status, self._message, self._entry, self._airplanes = status, message, entry, airplanes
            self._times["finished"] = _now()
        self._finished.set()

    def info(self) -> dict[str, Any]:
        """Return its state as JSON values, with the members of OGC's statusInfo."""
        with self._lock:
            done = len(self._tiles)
            progress = 100 if self._status == "successful" else min(99, 100 * done // max(1, self._planned))
            info: dict[str, Any] = {
                "jobID": self.id,
                "type": "process",
                "processID": "detect",
                "status": self._status,
                "message": self._message,
                "progress": progress,
                **self._times,
                "scene": self.task.title,
                "model": self.task.model.spec.identity.model,
                "tiles_planned": self._planned,
                "tiles_done": done,
                "airplanes": self._detected if self._airplanes is None else len(self._airplanes),
                "links": [{"rel": "self", "href": f"/jobs/{self.id}", "type": "application/json"}],
            }
            if self._entry is not None:
                info["scene_status"] = self._entry.status
                info["km2"] = round(self._entry.km2, 4)
            if self._airplanes is not None:
                info["links"].append(
                    {
                        "rel": "http://www.opengis.net/def/rel/ogc/1.0/results",
                        "href": f"/jobs/{self.id}/results",
                        "type": "application/geo+json",
                    }
                )
            return info

    def tiles(self, start: int) -> list[dict[str, Any]]:
        """Return the tiles that are done, from the `start`th on: what a page draws while the job runs."""
        with self._lock:
            return self._tiles[start:]

    def airplanes(self) -> tuple[Airplane, ...]:
        """Return its airplanes, by falling score; those of a scene that was read in part, too.

        Raises:
            RequestError: it has none (yet) (409).
        """
        with self._lock:
            if self._airplanes is None:
                after = f": {self._message}" if self._message else ": ask again when it is successful"
                raise RequestError(409, f"expected a job with results, got one that is {self._status}{after}")
            return self._airplanes

    @property
    def entry(self) -> SceneEntry | None:
        """The ledger's entry of its scene; None before it is done."""
        with self._lock:
            return self._entry


class JobRunner:
    """Runs jobs one after the other in a thread: one uses all cores already.

    Args:
        max_waiting: jobs that may wait beside the one that runs.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def check_room(self) -> None:
        """Refuse a job that could not be queued, before its scene is sent.

        Raises:
            RequestError: too many wait (429), or the service stops (503).
        """
        with self._changed:
            self._check_room()

    def submit(self, task: Task) -> Job:
        """Queue a job.

        Raises:
            RequestError: as for `check_room`.
        """
        job = Job(task)
        with self._changed:
            self._check_room()
            self._jobs[job.id] = job
            self._waiting.append(job)
            finished = [each for each in self._jobs.values() if each.is_finished]
            for each in finished[: max(0, len(self._jobs) - KEPT_JOBS)]:
                del self._jobs[each.id]
                _remove(each.task.folder)
            self._changed.notify()
        return job

    def get(self, id: str) -> Job:  # noqa: A002
        """Return a job by its id.

        Raises:
            RequestError: there is none, or no longer (404).
        """
        with self._changed:
            if id not in self._jobs:
                raise RequestError(404, f"job {id[:40]}: expected the id of a job, got another: /jobs lists them")
            return self._jobs[id]

    def all(self) -> list[Job]:
        """Return all jobs that are remembered, the oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def stop(self, grace_s: float) -> list[Job]:
        """End the thread: the job that runs gets some seconds to finish, those that wait are dismissed.

        Returns:
            The jobs that are lost.
        """
        with self._changed:
            self._stopped = True
            lost = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for job in lost:
            job.finish("dismissed", "the service was stopped: send it again")
            _remove(job.task.folder)
        self._thread.join(grace_s)
        running = [job for job in self.all() if job.status == "running"]
        for job in running:
            job.dismiss()
            job.wait(STOP_S)
        for job in self.all():
            _remove(job.task.folder)
        return [job for job in (*running, *lost) if job.status in ("running", "dismissed")]

    def _check_room(self) -> None:
        if self._stopped:
            raise RequestError(503, "the service is stopping: try again later", 5)
        if len(self._waiting) >= self._max_waiting:
            raise RequestError(429, f"{self._max_waiting} jobs are waiting already: try again later", 10)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                job = self._waiting.popleft()
                job.begin()
            _run_job(job)


def _run_job(job: Job) -> None:
    """Run a job; every error becomes its status, so that the next job runs."""
    task = job.task
    try:
        job.check_dismissed()
        if task.fetch is not None:
            task.fetch()
        _detect(job)
    except _DismissedError:
        job.finish("dismissed", "dismissed before it was done")
    except FinderError as error:
        job.finish("failed", _named(task, str(error)))
    except Exception as error:  # noqa: BLE001 -- a bug must not end the thread that all jobs need
        job.finish("failed", f"internal error: {type(error).__name__}: {_named(task, str(error))}")
    finally:
        if not task.keep:
            _remove(task.folder)


def _detect(job: Job) -> None:
    task = job.task
    predictor, config, identity = task.model.detector(task.min_score)
    if task.max_px is not None:
        check_size(task.source.uri, task.max_px)
    scene = planning.open_scene(task.source, config, task.area)
    job.plan(scene)
    outcomes: list[TileOutcome] = []
    # Batch by batch: the page shows each tile when it is done, and a job that is dismissed ends soon.
    for outcome in local.detect_tiles(scene, config, predictor, batches_per_call=1):
        job.check_dismissed()
        job.add_tile(_tile(scene, outcome, identity), len(outcome.detections))
        outcomes.append(outcome)
    result = steps.finish(scene, outcomes, steps.merge(outcomes, config.suppression), identity, config.keypoints)
    airplanes = tuple(_with_title(airplane, task) for airplane in result.airplanes)
    entry = dataclasses.replace(result.entry, scene_uri=_uri(task))
    if entry.error is not None:
        # Part of it was read: its airplanes are available, but the job must not look complete.
        job.finish("failed", _named(task, entry.error), entry, airplanes)
    else:
        job.finish("successful", "" if entry.status == "complete" else f"the scene is {entry.status}", entry, airplanes)


def _tile(scene: Scene, outcome: TileOutcome, identity: Identity) -> dict[str, Any]:
    """Return a tile as JSON values: the ground it owns, its state, and its detections before they are merged."""
    core, level = outcome.tile.core, outcome.tile.level
    sides = (
        core.col * level.scale_x,
        core.row * level.scale_y,
        core.right * level.scale_x,
        core.bottom * level.scale_y,
    )
    try:
        ring = outline_lonlat(scene.georef, sides).round(7).tolist()
        detected = steps.georeference(scene, outcome.detections, identity)
    except FinderError:  # a corner nowhere on the Earth: reported by the result of the scene
        ring, detected = [], ()
    return {
        "status": outcome.status,
        "resolution_m": round(level.resolution_m, 4),
        "ring": ring,
        "airplanes": [
            [airplane.score, *(round(float(side), 7) for side in airplane.geometry.bounds)] for airplane in detected
        ],
    }


def _with_title(airplane: Airplane, task: Task) -> Airplane:
    # The name of a temporary file means nothing to the client, and would reveal paths of this machine.
    return airplane if task.folder is None else dataclasses.replace(airplane, scene_uri=_uri(task))


def _uri(task: Task) -> str:
    return task.source.uri if task.folder is None else task.title


def _named(task: Task, message: str) -> str:
    """Return a message in one line, with the scene's title in place of a temporary file."""
    text = message if task.folder is None else message.replace(task.source.uri, task.title)
    return " ".join(text.split())


def feature_collection(airplanes: tuple[Airplane, ...], min_score: float | None = None) -> dict[str, Any]:
    """Return airplanes as a GeoJSON FeatureCollection, with the fields of every output.

    Args:
        airplanes: by falling score.
        min_score: those below it are left out; None: all are in.
    """
    kept = [airplane for airplane in airplanes if min_score is None or airplane.score >= min_score]
    return {"type": "FeatureCollection", "features": [records.to_feature(airplane) for airplane in kept]}


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
