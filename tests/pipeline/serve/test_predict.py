"""`POST /v1/models/NAME:predict` and its relatives."""

import io
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from geo.errors import RasterError
from geo.types import Detections
from model.inference.predictor import FakePredictor
from pipeline.serve import models, requests
from pipeline.serve.app import Service, create_app
from tests.pipeline.serve.conftest import Gate, client_of, encoded, instances, picture

PREDICT = "/v1/models/fake:predict"


def error_of(answer: Any) -> str:
    """The error of an answer, which must be one line."""
    content = answer.json()
    assert list(content) == ["error"]
    assert "\n" not in content["error"]
    return str(content["error"])


def test_images_are_answered_in_order_in_their_own_pixels(client: TestClient) -> None:
    first = picture((5, 7, 20, 15), (30, 20, 50, 44))
    second = picture(size=(300, 280))
    third = picture((200, 100, 280, 130), size=(300, 200))
    answer = client.post(PREDICT, json=instances(encoded(first), encoded(second), encoded(third)))
    assert answer.status_code == 200
    boxes = [prediction["boxes"] for prediction in answer.json()["predictions"]]
    assert [sorted(each) for each in boxes] == [[[5, 7, 20, 15], [30, 20, 50, 44]], [], [[200, 100, 280, 130]]]
    assert answer.json()["predictions"][0]["scores"] == [1.0, 1.0]


def test_jpeg_and_the_named_form_are_taken_too(client: TestClient) -> None:
    jpeg = encoded(picture((16, 16, 32, 40)), "JPEG")
    body = {"signature_name": "detect_jpeg", "instances": [{"jpeg": each} for each in instances(jpeg)["instances"]]}
    (prediction,) = client.post(PREDICT, json=body).json()["predictions"]
    assert prediction["boxes"] == [[16, 16, 32, 40]]


def test_a_model_that_decodes_files_gets_the_files(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[bytes] = []

    def detect_in_files(self: FakePredictor, contents: list[bytes]) -> list[Detections]:
        files.extend(contents)
        if contents[0].startswith(b"\x89PNG"):
            raise RasterError("expected a JPEG or PNG, got one that the model cannot decode: send another")
        return [Detections(np.array([[1.0, 2, 90, 9]]), np.array([0.9]), np.array([np.nan]))]

    monkeypatch.setattr(FakePredictor, "decodes_files", True, raising=False)
    monkeypatch.setattr(FakePredictor, "detect_in_files", detect_in_files, raising=False)
    jpeg = encoded(picture(size=(60, 50)), "JPEG")
    body = instances(jpeg) | {"signature_name": "detect_jpeg"}
    assert client.post(PREDICT, json=body).json() == {"predictions": [{"boxes": [[1, 2, 60, 9]], "scores": [0.9]}]}
    assert files == [jpeg]
    answer = client.post(PREDICT, json=instances(encoded(picture())) | {"signature_name": "detect_jpeg"})
    assert answer.status_code == 400
    assert "cannot decode" in error_of(answer)
    wide = client.post(
        PREDICT, json=instances(encoded(picture(size=(2049, 20)), "JPEG")) | {"signature_name": "detect_jpeg"}
    )
    assert wide.status_code == 413
    assert client.post(PREDICT, json=instances(jpeg)).json()["predictions"] == [{"boxes": [], "scores": []}]
    assert len(files) == 2


def test_the_model_and_its_state_can_be_asked_for(client: TestClient) -> None:
    (status,) = client.get("/v1/models/fake").json()["model_version_status"]
    assert (status["state"], status["status"]["error_code"]) == ("AVAILABLE", "OK")
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["name"], model["min_score"]) == ("fake", 0.85)
    assert client.get("/v1/models/other").status_code == 404
    assert "fake" in error_of(client.post("/v1/models/other:predict", json=instances(b"x")))


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 400, "expected JSON"),
        (b"\xff\xfe", 400, "expected JSON"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b"[]", 400, "a JSON object"),
        (b'{"instances": 3}', 400, "instances"),
        (b'{"instances": []}', 400, "instances"),
        (b'{"instances": [[1, 2]]}', 400, "instance 1"),
        (b'{"instances": [{"b64": "%%%"}]}', 400, "expected base64"),
        (b'{"instances": [{"b64": "aGFsbG8="}]}', 400, "JPEG or PNG"),
        (b'{"instances": [{"b64": ""}]}', 400, "JPEG or PNG"),
        (b'{"signature_name": "\\ud800", "instances": [{"b64": ""}]}', 400, "signature_name"),
        (b'{"n": ' + b"9" * 5000 + b"}", 400, "expected JSON"),
    ],
)
def test_bodies_that_are_none_are_refused_in_one_line(
    client: TestClient, body: bytes, status: int, expected: str
) -> None:
    answer = client.post(PREDICT, content=body)
    assert answer.status_code == status
    assert expected in error_of(answer)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_truncated_images_are_refused(client: TestClient, kind: str, share: float) -> None:
    rough = np.random.default_rng(3).integers(0, 255, (90, 70, 3), np.uint8)
    content = encoded(rough, kind)
    answer = client.post(PREDICT, json=instances(encoded(picture()), content[: int(share * len(content))]))
    assert answer.status_code == 400
    assert error_of(answer).startswith("instance 2: ")


@pytest.mark.parametrize("side", [2049, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decompressed(client: TestClient, side: int) -> None:
    bomb = bytearray(encoded(picture()))
    bomb[16:24] = side.to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    answer = client.post(PREDICT, json=instances(bytes(bomb)))
    assert answer.status_code == 413
    assert "2048 px a side" in error_of(answer)


def test_sixteen_bits_are_refused_not_clipped(client: TestClient) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 40), 3000, np.uint16)).save(file, "PNG")
    assert "8 bits" in error_of(client.post(PREDICT, json=instances(file.getvalue())))


def test_a_huge_body_is_refused_whether_it_says_so_or_not(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = b" " * (requests.MAX_JSON_BYTES + 1)
    assert client.post(PREDICT, content=sent).status_code == 413
    chunks = (b" " * 2**20 for _ in range(100))
    assert client.post(PREDICT, content=chunks).status_code == 413
    assert "expected at most" in error_of(client.post(PREDICT, json=instances(*[b"x"] * (requests.MAX_INSTANCES + 1))))


def test_requests_share_batches_and_too_many_are_told_to_come_again(service: Service, gate: Gate) -> None:
    body = instances(encoded(picture((5, 7, 20, 15))))
    with client_of(service) as client, ThreadPoolExecutor(90) as pool:
        gate.close()
        first = pool.submit(client.post, PREDICT, json=body)
        while not gate.batches:
            threading.Event().wait(0.005)
        rest = [pool.submit(client.post, PREDICT, json=body) for _ in range(80)]
        refused = 0
        while refused < 80 - models._MAX_WAITING:
            refused = sum(each.done() for each in rest)
            threading.Event().wait(0.005)
        gate.open()
        answers = [each.result() for each in (first, *rest)]
    assert gate.batches == [1, 64]
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == 65
    assert codes.count(429) == 16
    late = next(answer for answer in answers if answer.status_code == 429)
    assert int(late.headers["Retry-After"]) >= 1
    assert "try again" in error_of(late)


def test_shapes_are_few_whatever_is_sent(client: TestClient, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {models._padded(picture(size=(width, 2049 - width))).shape[:2] for width in range(1, 2049, 7)}
    assert len(shapes) <= len(models._SIDES_PX) ** 2
    assert all(side in models._SIDES_PX for shape in shapes for side in shape)


def test_an_engine_that_fails_ends_its_requests_and_no_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect = FakePredictor.__call__
    failures = iter([RuntimeError("out of luck")])

    def failing(self: FakePredictor, images: Any) -> Any:
        for error in failures:
            raise error
        return detect(self, images)

    monkeypatch.setattr(FakePredictor, "__call__", failing)
    with client_of(service) as client:
        body = instances(encoded(picture()))
        assert client.post(PREDICT, json=body).status_code == 500
        assert client.post(PREDICT, json=body).status_code == 200


def test_a_model_that_loads_is_not_ready_and_one_that_fails_says_why(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = threading.Event()

    def load(*_: object) -> None:
        loading.wait(60)
        raise RuntimeError("no room")

    monkeypatch.setattr(models, "load_model", load)
    with TestClient(create_app(service)) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        late = client.post(PREDICT, json=instances(encoded(picture())))
        assert (late.status_code, late.headers["Retry-After"]) == (503, "1")
        loading.set()
        while client.get("/v1/models/fake").json()["model_version_status"][0]["state"] == "LOADING":
            threading.Event().wait(0.005)
        assert client.get("/readyz").json()["models"] == {"fake": "no room"}
        assert "no room" in error_of(client.post(PREDICT, json=instances(encoded(picture()))))
