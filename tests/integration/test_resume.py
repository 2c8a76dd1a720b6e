"""Killed and resumed runs, and the same run on every runner: the command as a process of its own."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger import Ledger, read_ledger
from tests.pipeline.fake_run import DIE, STOP
from tests.pipeline.scenes import AIRPLANES, CONFIG, write_scene

DEADLINE_S = 120
PROCESSES = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
PORTABLE = ("--runner", "PortableRunner", "--job_endpoint", "embed", "--environment_type", "LOOPBACK")

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder with two scenes and settings, where the command is run with a fake in position of the model."""

    folder: Path

    def command(self, output: str, *args: str) -> list[str]:
        fixed = ["--input", str(self.folder / "scenes"), "--config", str(self.folder / "settings.json")]
        return [
            *(sys.executable, "-m", "tests.pipeline.fake_run"),
            *(*fixed, "--output", str(self.folder / output), *args),
        ]

    def run(self, output: str, *args: str, **told: str) -> subprocess.CompletedProcess[str]:
        """The finished process."""
        return subprocess.run(
            self.command(output, *args),
            **self.around(told),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    def around(self, told: dict[str, str]) -> dict[str, Any]:
        return {"cwd": ROOT, "env": {**os.environ, **told}}

    @contextmanager
    def started(self, output: str, *args: str, **told: str) -> Iterator[subprocess.Popen[bytes]]:
        """The running process; dead at the end."""
        with subprocess.Popen(
            self.command(output, *args), **self.around(told), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def work(self, name: str) -> tuple[str, str]:
        return "--work-dir", str(self.folder / name)

    def kept(self, work: str) -> int:
        return sum(1 for _ in (self.folder / work).rglob("*.json"))

    def bytes_of(self, output: str) -> bytes:
        return (self.folder / output).read_bytes()

    def ledger(self, output: str) -> Ledger:
        return read_ledger(self.folder / f"{output}.ledger.json")


@pytest.fixture(scope="module")
def position(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """With `whole.geojson` in it, of an uninterrupted run."""
    position = Place(tmp_path_factory.mktemp("place"))
    scenes = position.folder / "scenes"
    scenes.mkdir()
    write_scene(scenes / "a.tif")
    write_scene(scenes / "b.tif", AIRPLANES[:3], nodata_right_of=215, rotation=20.0)
    (position.folder / "settings.json").write_text(json.dumps(dataclasses.asdict(CONFIG)))
    done = position.run("whole.geojson")
    assert done.returncode == 0, done.stderr
    return position


def check_resumed(position: Place, output: str, kept: int) -> None:
    """Only what was not cached was computed, and the result is that of an uninterrupted run."""
    ledger, whole = position.ledger(output), position.ledger("whole.geojson")
    assert 0 < kept == ledger.totals.parts_taken_over < ledger.totals.parts_planned
    assert position.bytes_of(output) == position.bytes_of("whole.geojson")
    assert result_of(ledger) == result_of(whole)


def result_of(ledger: Ledger) -> Ledger:
    """The ledger without what differs between runs of the same result."""
    return dataclasses.replace(
        ledger,
        run=dataclasses.replace(ledger.run, run_id="", command="", started_at=""),
        seconds=0.0,
        totals=dataclasses.replace(ledger.totals, parts_taken_over=0),
        scenes=tuple(dataclasses.replace(entry, seconds=0.0, parts_taken_over=0) for entry in ledger.scenes),
    )


@pytest.mark.parametrize("args", [(), PROCESSES, PORTABLE], ids=["memory", "processes", "portable"])
def test_every_runner_writes_the_same_bytes(position: Place, args: tuple[str, ...]) -> None:
    done = position.run("same.geojson", *args)
    assert done.returncode == 0, done.stderr
    ledger = position.ledger("same.geojson")
    assert ledger.totals.airplanes == len(AIRPLANES) + 3
    assert result_of(ledger) == result_of(position.ledger("whole.geojson"))
    assert position.bytes_of("same.geojson") == position.bytes_of("whole.geojson")


def test_a_killed_run_is_resumed(position: Place) -> None:
    batches, work = 5, position.work("killed")
    with position.started("killed.geojson", *work, **{STOP: str(batches)}) as process:
        until = time.monotonic() + DEADLINE_S
        # The model stops after these for good: that they are kept does not hang on what comes after.
        while position.kept("killed") < batches * CONFIG.batch_size:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
    assert not list(position.folder.glob("*killed.geojson*"))
    kept = position.kept("killed")
    done = position.run("killed.geojson", *work)
    assert done.returncode == 0, done.stderr
    check_resumed(position, "killed.geojson", kept)
    assert position.kept("killed") == position.ledger("killed.geojson").totals.parts_planned


def test_a_killed_worker_fails_the_run_and_the_next_run_resumes(position: Place) -> None:
    work = position.work("worker")
    failed = position.run("worker.geojson", *work, *PROCESSES, **{DIE: "2"})
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(
        "error: expected every worker process to live until the end, got one that was killed"
    )
    assert not list(position.folder.glob("*worker.geojson*"))
    kept = position.kept("worker")
    again = position.run("worker.geojson", *work, *PROCESSES)
    assert again.returncode == 0, again.stderr
    check_resumed(position, "worker.geojson", kept)
