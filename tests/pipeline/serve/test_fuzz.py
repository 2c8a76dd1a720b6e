"""Bodies of every kind: an answer of 200 or 4xx, its error in one line, and a service that still works.

AIRPLANES_FUZZ=50 sends fifty times as many.
"""

import base64
import dataclasses
import json
import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.serve.app import Service
from tests.pipeline.serve.conftest import client_of, encoded, instances, picture

_TIMES = int(os.environ.get("AIRPLANES_FUZZ", "1"))
ROUGH = np.random.default_rng(5).integers(0, 255, (40, 50, 3), np.uint8)
FILES = [encoded(ROUGH), encoded(ROUGH, "JPEG"), encoded(picture((5, 5, 20, 20)), "JPEG")]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A picture with some bytes changed, and perhaps cut."""
    content = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def predictions() -> st.SearchStrategy[bytes]:
    damaged = st.builds(lambda file: json.dumps(instances(file)).encode(), damaged_files())
    texts = st.builds(lambda text: json.dumps({"instances": [{"b64": text}]}).encode(), st.text(max_size=20))
    shaped = st.builds(lambda value: json.dumps({"instances": value}).encode(), VALUES)
    return st.binary(max_size=60) | damaged | texts | shaped | VALUES.map(lambda value: json.dumps(value).encode())


def tasks() -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(["scene", "aoi", "min_score", "model", "other"])
    polygon = st.builds(lambda rings: {"type": "Polygon", "coordinates": rings}, VALUES)
    scenes = st.sampled_from(["a", "http://127.0.0.1/", "https://[", "gs://x/y", "../a", "\ud800"])
    return st.dictionaries(keys, VALUES | polygon | scenes, max_size=4)


def test_no_body_gives_a_500(service: Service) -> None:
    with client_of(dataclasses.replace(service, allow_remote=True)) as client:

        @settings(max_examples=120 * _TIMES, suppress_health_check=list(HealthCheck))
        @given(predictions())
        def predict(body: bytes) -> None:
            check(client.post("/v1/models/fake:predict", content=body))

        @settings(max_examples=60 * _TIMES, suppress_health_check=list(HealthCheck))
        @given(tasks(), st.booleans())
        def detect(task: dict[str, Any], as_query: bool) -> None:
            # A valid task would run: it is another test's.
            if as_query:
                options = {key: json.dumps(value) for key, value in task.items() if key != "scene"}
                options = {key: base64.b64encode(value.encode()).decode() for key, value in options.items()} | options
                check(client.post("/detect", params=options, content=b"no TIFF"))
            else:
                content = json.dumps(task | {"min_score": "none"}).encode()
                check(client.post("/detect", content=content, headers={"content-type": "application/json"}))

        predict()
        detect()
        (prediction,) = client.post("/v1/models/fake:predict", json=instances(encoded(picture((5, 5, 20, 20))))).json()[
            "predictions"
        ]
    assert prediction["boxes"] == [[5, 5, 20, 20]]


def check(answer: Any) -> None:
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
    if answer.status_code != 200:
        (line,) = answer.json().values()
        assert line
        assert "\n" not in line
