"""The command: a real server in a process of its own, as a user starts and stops it."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.serve import __main__ as command
from tests.pipeline.scenes import CONFIG, write_scene
from tests.pipeline.serve.fake_serve import HANG


@contextlib.contextmanager
def serving(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of a server over a scene `a`, and its address."""
    write_scene(folder / "a.tif")
    settings = folder / "settings.yaml"
    settings.write_text(json.dumps(dataclasses.asdict(CONFIG)))
    arguments = ["--scenes", str(folder / "a.tif"), "--config", str(settings), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.serve.fake_serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("Serving on http://127.0.0.1:"), process.communicate(timeout=60)
        yield process, line.split()[2]
    finally:
        process.kill()
        process.communicate(timeout=60)


def get(address: str, path: str) -> dict[str, Any]:
    return dict(httpx.get(address + path, timeout=60).json())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_its_work_done(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as (process, address):
        assert "Toulouse-Blagnac" in httpx.get(address).text
        job = httpx.post(f"{address}/detect", json={"scene": "a"}).json()["jobID"]
        while get(address, f"/jobs/{job}")["status"] in ("accepted", "running"):
            pass
        # A client that keeps its connection open and says nothing does not hold it up.
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(b"POST /v1/models/fake:predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")
            process.send_signal(number)
            assert process.wait(60) == 0
        assert process.communicate(timeout=60)[1] == ""


def test_lost_work_is_named(tmp_path: Path) -> None:
    with serving(tmp_path, **{HANG: "1"}) as (process, address):
        jobs = [httpx.post(f"{address}/detect", json={"scene": "a"}).json()["jobID"] for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
        lines = process.communicate(timeout=60)[1].splitlines()
    assert sorted(lines) == sorted(f"lost: job {job} (a): send it again" for job in jobs)


def test_a_taken_port_and_wrong_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, expected in (
            (["--port", port], "choose another port"),
            (["--port", "x"], "0 to 65535"),
            (["--scenes", str(tmp_path / "none")], "no such file"),
            (["--model", "none"], "expected a packaged model"),
            (["--airports", str(tmp_path / "none.yaml")], "readable YAML"),
            (["--queue", "0"], "1 to 10000"),
        ):
            assert command.main(arguments) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("serve: ")
            assert expected in line
