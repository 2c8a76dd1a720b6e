import base64
import contextlib
import dataclasses
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from geo.types import Detections, ImageArray
from model.inference import scan
from model.inference.predictor import FakePredictor
from pipeline.serve.app import Service, create_app
from pipeline.serve.jobs import JobRunner
from pipeline.serve.models import describe_models
from pipeline.serve.scenes import catalog_of
from pipeline.values import SceneSource
from tests.pipeline.scenes import CONFIG, write_scene


class Gate:
    """Holds the fake model back between `close` and `open`, and counts its batches."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._opened.set()
        self._tickets = threading.Semaphore(0)
        self.batches: list[int] = []

    def close(self) -> None:
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()
        self._tickets.release(1000)

    def let_pass(self, batches: int) -> None:
        """Let some batches through the closed gate."""
        self._tickets.release(batches)

    def pass_through(self, images: int) -> None:
        self.batches.append(images)
        assert self._opened.is_set() or self._tickets.acquire(timeout=60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    detect = FakePredictor.__call__

    def held_back(self: FakePredictor, images: ImageArray) -> list[Detections]:
        gate.pass_through(len(images))
        return detect(self, images)

    monkeypatch.setattr(FakePredictor, "__call__", held_back)
    # The tiny tiles of tests stand for large ones, of which the model gets few at once.
    monkeypatch.setattr(scan, "images_per_batch", lambda _height, _width, batch_size: batch_size)
    yield gate
    gate.open()


@pytest.fixture
def service(tmp_path: Path, model_folder: Path) -> Service:
    """A service with the scenes `a`, `b` and one that cannot be read, `c`, and the fake model."""
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    write_scene(scenes / "a.tif")
    write_scene(scenes / "b.tif", [(40, 30, 60, 44, 255)], size=(120, 90), dtype="uint16")
    (scenes / "c.tif").write_bytes(b"II*\x00 and no more")
    (tmp_path / "secret.tif").write_bytes((scenes / "b.tif").read_bytes())
    config = dataclasses.replace(CONFIG, min_score=None)
    return Service(
        models=describe_models([str(model_folder)], config, trusted=False),
        scenes=catalog_of([SceneSource(str(path)) for path in sorted(scenes.iterdir())], config),
        jobs=JobRunner(2),
        max_upload_bytes=200_000,
        max_px=1e6,
    )


@contextlib.contextmanager
def client_of(service: Service) -> Iterator[TestClient]:
    """A client of a running service whose models are loaded."""
    with TestClient(create_app(service), raise_server_exceptions=False) as client:
        while client.get("/readyz").status_code == 503:
            time.sleep(0.005)
        yield client


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with client_of(service) as client:
        yield client


def picture(*airplanes: tuple[int, int, int, int], size: tuple[int, int] = (60, 50)) -> ImageArray:
    """Bright rectangles (xmin, ymin, xmax, ymax) on dark ground, which the fake detects with the score 1."""
    pixels = np.full((size[1], size[0], 3), 20, np.uint8)
    for xmin, ymin, xmax, ymax in airplanes:
        pixels[ymin:ymax, xmin:xmax] = 255
    return pixels


def encoded(pixels: ImageArray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def instances(*files: bytes) -> dict[str, Any]:
    return {"instances": [{"b64": base64.b64encode(file).decode()} for file in files]}


def finished(client: TestClient, location: str) -> dict[str, Any]:
    """The job at an address, once it is finished."""
    for _ in range(20_000):
        info: dict[str, Any] = client.get(location).json()
        if info["status"] not in ("accepted", "running"):
            return info
        time.sleep(0.005)
    raise AssertionError(f"expected a finished job, got {info}")
