"""Killed and resumed runs, and the same run on every runner: the command as a process of its own."""

import dataclasses
import json
import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import local
from pipeline.config import load_config, settings_id
from pipeline.ledger import Ledger, read_ledger
from pipeline.sinks.files import write_file
from pipeline.values import Identity, SceneSource
from tests.pipeline.fake_run import DIE, PIDS, STOP, FailingPredictor, run_until
from tests.pipeline.scenes import AIRPLANES, CONFIG, write_scene

DEADLINE_S = 120
PROCESSES = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
PORTABLE = ("--runner", "PortableRunner", "--job_endpoint", "embed", "--environment_type", "LOOPBACK")
# Beam's local job service starts a command for each worker.
PORTABLE_PROCESSES = (
    *(*PORTABLE[:4], "--environment_type", "beam:env:harness_subprocess_python:v1"),
    *("--environment_config", f"{sys.executable} -m apache_beam.runners.worker.sdk_worker_main"),
)

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder with two scenes and settings, in which the command runs with a fake model."""

    folder: Path

    def command(self, output: str, *args: str) -> list[str]:
        fixed = ["--input", str(self.folder / "scenes"), "--config", str(self.folder / "settings.json")]
        return [
            *(sys.executable, "-m", "tests.pipeline.fake_run"),
            *(*fixed, "--output", str(self.folder / output), *args),
        ]

    def run(self, output: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command in a process of its own."""
        return self.execute(self.command(output, *args), **environment)

    def execute(self, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the words of a command in a process of its own."""
        return subprocess.run(
            words,
            **self._options(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    def _options(self, environment: dict[str, str]) -> dict[str, Any]:
        return {"cwd": ROOT, "env": {**os.environ, **environment}}

    @contextmanager
    def started(self, output: str, *args: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start the command; it is killed at the end of the block."""
        with subprocess.Popen(
            self.command(output, *args),
            **self._options(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def on_terminal(self, output: str, *args: str, **environment: str) -> Iterator[int]:
        """Start the command on a terminal, of which the block gets the other end; it is killed at the end."""
        ours, theirs = pty.openpty()
        command = subprocess.Popen(
            self.command(output, *args), **self._options(environment), stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        try:
            yield ours
        finally:
            os.killpg(command.pid, signal.SIGKILL)
            command.wait()
            os.close(ours)

    def cache_args(self, name: str) -> tuple[str, str]:
        return "--work-dir", str(self.folder / name)

    def cached(self, work: str) -> int:
        return sum(1 for _ in (self.folder / work).rglob("*.json"))

    def read_bytes(self, output: str) -> bytes:
        return (self.folder / output).read_bytes()

    def ledger(self, output: str) -> Ledger:
        return read_ledger(self.folder / f"{output}.ledger.json")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with the output of an uninterrupted run, `complete.geojson`."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    scenes = workspace.folder / "scenes"
    scenes.mkdir()
    write_scene(scenes / "a.tif")
    write_scene(scenes / "b.tif", AIRPLANES[:3], nodata_right_of=215, rotation=20.0)
    (workspace.folder / "settings.json").write_text(json.dumps(dataclasses.asdict(CONFIG)))
    done = workspace.run("complete.geojson")
    assert done.returncode == 0, done.stderr
    return workspace


def check_resumed(workspace: Workspace, output: str, cached: int) -> None:
    """Check that only the missing tiles were inferred, and that the result is that of an uninterrupted run."""
    ledger, complete = workspace.ledger(output), workspace.ledger("complete.geojson")
    assert 0 < cached == ledger.totals.parts_taken_over < ledger.totals.parts_planned
    assert workspace.read_bytes(output) == workspace.read_bytes("complete.geojson")
    assert result_of(ledger) == result_of(complete)


def result_of(ledger: Ledger) -> Ledger:
    """Return the ledger without the fields that differ between runs of the same result."""
    return dataclasses.replace(
        ledger,
        run=dataclasses.replace(ledger.run, run_id="", command="", started_at=""),
        seconds=0.0,
        totals=dataclasses.replace(ledger.totals, parts_taken_over=0),
        scenes=tuple(dataclasses.replace(entry, seconds=0.0, parts_taken_over=0) for entry in ledger.scenes),
    )


@pytest.mark.parametrize("args", [(), PROCESSES, PORTABLE], ids=["memory", "processes", "portable"])
def test_every_runner_writes_the_same_bytes(workspace: Workspace, args: tuple[str, ...]) -> None:
    done = workspace.run("same.geojson", *args)
    assert done.returncode == 0, done.stderr
    ledger = workspace.ledger("same.geojson")
    assert ledger.totals.airplanes == len(AIRPLANES) + 3
    assert f"airplanes  {len(AIRPLANES) + 3}\nscenes     2: 2 complete\n" in done.stderr
    assert done.stderr.endswith("same.geojson.ledger.json\n")
    assert result_of(ledger) == result_of(workspace.ledger("complete.geojson"))
    assert workspace.read_bytes("same.geojson") == workspace.read_bytes("complete.geojson")


@pytest.mark.parametrize("args", [PROCESSES, PORTABLE_PROCESSES], ids=["processes", "portable"])
def test_a_terminal_shows_the_tiles_of_worker_processes(workspace: Workspace, args: tuple[str, ...]) -> None:
    (workspace.folder / "shown").mkdir(exist_ok=True)
    batches = {STOP: "1", PIDS: str(workspace.folder / "shown")}
    with workspace.on_terminal("shown.geojson", *args, **batches) as terminal:
        shown, deadline = "", time.monotonic() + DEADLINE_S
        # The model hangs after a batch in each process.
        while not re.search(r"scenes 0/2  tiles [1-9]\d*/\d\d  ", shown):
            assert time.monotonic() < deadline
            shown += os.read(terminal, 1000).decode()
    assert "WARN" not in shown


def test_two_portable_workers_write_what_the_plain_function_finds(workspace: Workspace) -> None:
    """With nearly all tiles in one of many scenes, and airplanes written in shards."""
    folder = workspace.folder / "skewed"
    folder.mkdir()
    scenes = [str(write_scene(folder / "large.tif"))]
    scenes += [str(write_scene(folder / f"{number}.tif", (), size=(64, 64 + number))) for number in range(6)]
    config = load_config(workspace.folder / "settings.json")
    identity = Identity(FailingPredictor.name, settings_id(config))
    results = list(local.detect_scenes([SceneSource(scene) for scene in scenes], config, FailingPredictor(), identity))
    airplanes = [airplane for result in results for airplane in result.airplanes]
    write_file(str(workspace.folder / "plain.geojsonl"), airplanes, [result.entry for result in results])
    (workspace.folder / "pids").mkdir()
    words = workspace.command("two.geojsonl", *PORTABLE_PROCESSES)
    words[words.index("--input") + 1] = str(folder)
    done = workspace.execute(words, **{PIDS: str(workspace.folder / "pids")})
    assert done.returncode == 0, done.stderr
    assert len(list((workspace.folder / "pids").iterdir())) == 2
    assert workspace.ledger("two.geojsonl").totals.airplanes == len(airplanes) == len(AIRPLANES)
    assert workspace.read_bytes("two.geojsonl") == workspace.read_bytes("plain.geojsonl")
    assert not list(workspace.folder.glob(".two.geojsonl*"))


def test_a_killed_run_is_resumed(workspace: Workspace) -> None:
    batches, work = 5, workspace.cache_args("killed")
    with workspace.started("killed.geojson", *work, **{STOP: str(batches)}) as process:
        deadline = time.monotonic() + DEADLINE_S
        # The model hangs after a batch in each process. they must be cached without any later one.
        while workspace.cached("killed") < batches * CONFIG.batch_size:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    assert not list(workspace.folder.glob("*killed.geojson*"))
    cached = workspace.cached("killed")
    done = workspace.run("killed.geojson", *work)
    assert done.returncode == 0, done.stderr
    check_resumed(workspace, "killed.geojson", cached)
    assert workspace.cached("killed") == workspace.ledger("killed.geojson").totals.parts_planned


def test_a_run_killed_at_any_moment_is_resumed(workspace: Workspace) -> None:
    context = multiprocessing.get_context("forkserver")
    # Each run forks from a process that has imported Beam.
    context.set_forkserver_preload(["tests.pipeline.fake_run", "pipeline.command"])
    planned = workspace.ledger("complete.geojson").totals.parts_planned
    # A report for each scene's header, plan, and end, and one for each tile.
    moments = np.random.default_rng(23).choice(np.arange(1, planned + 6), 10, replace=False).tolist()
    resumed = []
    for moment in moments:
        words = workspace.command("any.geojson", "--work-dir", str(workspace.folder / f"killed at {moment}"))[3:]
        killed = context.Process(target=run_until, args=(words, moment))
        killed.start()
        killed.join(DEADLINE_S)
        assert killed.exitcode == -signal.SIGKILL
        assert not list(workspace.folder.glob("*any.geojson*"))
        again = context.Process(target=run_until, args=(words, -1))
        again.start()
        again.join(DEADLINE_S)
        assert again.exitcode == 0
        ledger = workspace.ledger("any.geojson")
        assert result_of(ledger) == result_of(workspace.ledger("complete.geojson"))
        assert workspace.read_bytes("any.geojson") == workspace.read_bytes("complete.geojson")
        resumed.append(ledger.totals.parts_taken_over)
        for file in workspace.folder.glob("any.geojson*"):
            file.unlink()
    assert len(set(resumed)) > 3


def test_a_killed_worker_fails_the_run_and_the_next_run_resumes(workspace: Workspace) -> None:
    work = workspace.cache_args("worker")
    failed = workspace.run("worker.geojson", *work, *PROCESSES, **{DIE: "2"})
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(
        "error: expected every worker process to live until the end, got one that was killed"
    )
    assert not list(workspace.folder.glob("*worker.geojson*"))
    cached = workspace.cached("worker")
    again = workspace.run("worker.geojson", *work)
    assert again.returncode == 0, again.stderr
    check_resumed(workspace, "worker.geojson", cached)
