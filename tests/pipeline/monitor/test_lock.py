"""One run at a time, the sign of life, and runs that are killed."""

import datetime
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from geo.errors import OutputError, WorkerError
from pipeline.monitor import lock
from pipeline.monitor.lock import GcsObject, Run, lock_object, running
from tests.pipeline.fake_run import DIE, STOP
from tests.pipeline.monitor.conftest import MonitorRunner


class Shelf:
    """An object as a bucket keeps it: with a generation that each write changes."""

    def __init__(self, content: str | None = None) -> None:
        self.content, self.generation = content, 1 if content is not None else 0

    def read(self) -> tuple[str, int] | None:
        return None if self.content is None else (self.content, self.generation)

    def write(self, content: str, generation: int) -> int | None:
        if generation != (0 if self.content is None else self.generation):
            return None
        self.content, self.generation = content, self.generation + 1
        return self.generation

    def delete(self, generation: int) -> None:
        if generation == self.generation:
            self.content = None


def run_of(name: str) -> Run:
    return Run(name, lock.now())


def aged(seconds: float) -> str:
    time = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return json.dumps(run_of("old").content("running") | {"updated_at": time.isoformat()})


def test_two_runs_never_overlap_in_a_bucket() -> None:
    shelf = Shelf()
    with lock_object("gs://maps/x/lock", run_of("a"), shelf) as refresh:
        with (
            pytest.raises(
                OutputError, match=r"gs://maps/x: expected no other run at work in this store, got run a of "
            ),
            lock_object("gs://maps/x/lock", run_of("b"), shelf),
        ):
            pass
        assert refresh()
    assert shelf.read() is None


def test_of_two_that_begin_at_once_one_gets_the_lock() -> None:
    shelf = Shelf(aged(10_000))

    class Slow(Shelf):
        """Reads, and is overtaken before it writes."""

        def read(self) -> tuple[str, int] | None:
            before = shelf.read()
            if before is not None and "old" in before[0]:
                shelf.write(json.dumps(run_of("fast").content("running")), before[1])
            return before

        def write(self, content: str, generation: int) -> int | None:
            return shelf.write(content, generation)

    with pytest.raises(OutputError, match="got run fast of"), lock_object("gs://m/lock", run_of("slow"), Slow()):
        pass


@pytest.mark.parametrize("content", [aged(lock.STALE_S + 5), "damaged", "{}"])
def test_a_stale_lock_is_taken_over_and_its_run_notices(content: str) -> None:
    shelf = Shelf()
    with lock_object("gs://maps/lock", run_of("a"), shelf) as refresh:
        shelf.content = content  # as if `a` had been asleep for long
        with lock_object("gs://maps/lock", run_of("b"), shelf):
            assert not refresh()
        assert shelf.read() is None
    with lock_object("gs://maps/lock", run_of("c"), shelf):
        pass


def test_a_lock_that_is_alive_is_not_stale() -> None:
    with pytest.raises(OutputError), lock_object("gs://m/lock", run_of("b"), Shelf(aged(lock.STALE_S - 60))):
        pass


def test_a_run_that_lost_its_lock_stops() -> None:
    run = run_of("a")
    run.report("at work")
    run.is_lost = True
    with pytest.raises(WorkerError, match="another run that took it over"):
        run.report("at work")


def test_the_object_of_a_bucket(bucket: Any) -> None:
    target = GcsObject("gs://maps/some/lock")
    assert target.read() is None
    generation = target.write("a", 0)
    assert generation is not None
    assert target.read() == ("a", generation)
    target.delete(generation)
    assert target.read() is None


def test_two_runs_never_overlap_on_disk(tmp_path: Path) -> None:
    with (
        running(str(tmp_path), "a"),
        pytest.raises(
            OutputError, match=r"expected no other run at work in this store, got run a of .* \(process \d+\)"
        ),
        running(str(tmp_path), "b"),
    ):
        pass
    with running(str(tmp_path), "c"):
        pass


def test_the_heartbeat(tmp_path: Path) -> None:
    def beat() -> dict[str, Any]:
        content: dict[str, Any] = json.loads((tmp_path / "heartbeat.json").read_text())
        return content

    written = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        write = lock.write_heartbeat

        def notice(store: str, content: dict[str, Any]) -> None:
            write(store, content)
            if content["doing"] == "at work":
                written.set()

        patch.setattr(lock, "write_heartbeat", notice)
        with running(str(tmp_path), "a", period_s=0.001) as run:
            assert beat()["state"] == "running"
            run.report("at work")
            assert written.wait(30)
            assert beat()["doing"] == "at work"
            run.exit_status = 0
    assert (beat()["state"], beat()["exit_status"]) == ("finished", 0)
    with pytest.raises(KeyboardInterrupt), running(str(tmp_path), "b"):
        raise KeyboardInterrupt
    assert beat()["state"] == "interrupted"
    with pytest.raises(WorkerError), running(str(tmp_path), "c"):
        raise WorkerError("x")
    assert (beat()["state"], beat()["run_id"]) == ("failed", "c")


def test_a_second_command_is_refused_and_leaves_the_heartbeat(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    with running("store", "other"):
        before = (monitor.folder / "store" / "heartbeat.json").read_bytes()
        status, out, err = monitor.run()
        assert (status, out, len(err)) == (1, [], 1)
        assert "got run other of" in err[0]
        assert (monitor.folder / "store" / "heartbeat.json").read_bytes() == before
    assert monitor.run()[0] == 0


def test_a_run_that_is_killed_goes_on_with_the_next(monitor: MonitorRunner) -> None:
    for day in ("2026-01-05", "2026-01-06", "2026-01-07"):
        monitor.add_scene(day)
    command = [sys.executable, "-m", "tests.pipeline.monitor.fake_monitor", "run", "--airports", "airports.yaml"]
    command += ["--source", "scenes", "--store", "store", "--pipeline-config", "settings.yaml"]
    settings = json.loads((monitor.folder / "settings.yaml").read_text())
    (monitor.folder / "settings.yaml").write_text(json.dumps(settings | {"min_score": 0.5}))
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}

    def start(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=monitor.folder, env={**environment, **variables}, capture_output=True, text=True, check=False
        )

    killed = start(**{DIE: "2"})
    assert killed.returncode == -9
    assert STOP not in os.environ
    stored = len(monitor.scenes())
    assert 1 <= stored <= 2
    assert json.loads((monitor.folder / "store" / "heartbeat.json").read_text())["state"] == "running"
    done = start()
    assert done.returncode == 0, done.stderr
    assert f"airports: 1; scenes processed: {3 - stored};" in done.stdout
    assert [visit.detected for visit in monitor.visits()] == [3, 3, 3]
