"""Parse and validate requests: bodies of bounded size, images, areas and scores, none of which can be trusted."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import io
import json
import math
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from pyproj import CRS
from shapely.errors import ShapelyError
from starlette.requests import ClientDisconnect, Request

from geo.aoi import AreaOfInterest, build_aoi
from geo.errors import FinderError
from geo.types import ImageArray

#: Longer side of an image of `:predict`, pixels; a larger one is a scene, for `/detect`.
MAX_SIDE_PX = 2048
#: Images of one request.
MAX_INSTANCES = 64
#: Bytes of a JSON body: 64 images of 256 px as PNG, in base64.
MAX_JSON_BYTES = 16 * 2**20
#: Seconds without a byte after which a client counts as disconnected.
IDLE_S = 30.0
#: Lowest `min_score` of a request: models are loaded with it, and detections below it are never kept.
FLOOR_SCORE = 0.05

#: The signature of an exported model that decodes the files itself.
FILES_SIGNATURE = "detect_jpeg"
_SIGNATURES = (None, "serving_default", FILES_SIGNATURE)
# Pillow raises all of these on damaged files.
_IMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


class RequestError(FinderError, ValueError):
    """A request that is refused.

    Attributes:
        status: the HTTP status, 400 to 599.
        retry_after_s: seconds after which the same request may succeed; None: it never will.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


async def read_body(request: Request, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Return the body of a request.

    Raises:
        RequestError: it is larger than `max_bytes` (413), or the client sends nothing for `IDLE_S` (408).
    """
    return b"".join([chunk async for chunk in _chunks(request, max_bytes)])


async def save_body(request: Request, path: Path, max_bytes: int) -> None:
    """Write the body of a request to a file, as it comes.

    Raises:
        RequestError: as for `read_body`.
    """
    with path.open("wb") as file:
        async for chunk in _chunks(request, max_bytes):
            # A chunk is at most 64 KiB: the page cache takes it without holding up other requests.
            file.write(chunk)


async def _chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "0")
    size = int(declared) if declared.isdecimal() and len(declared) < 20 else 0
    stream = request.stream()
    while True:
        if size > max_bytes:
            raise RequestError(
                413, f"expected a body of at most {max_bytes / 2**20:g} MiB, got more: send less, or name a scene"
            )
        try:
            chunk = await asyncio.wait_for(anext(stream), IDLE_S)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RequestError(408, f"expected a body, got no byte for {IDLE_S:g} s: send it again") from error
        except ClientDisconnect as error:
            raise RequestError(400, "expected the whole body, got a part of it: send it again") from error
        if not declared.isdecimal() or "content-length" not in request.headers:
            size += len(chunk)
        yield chunk


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        RequestError: the body is no JSON object.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(400, f"expected JSON, got something else ({_short(reason)}): check the body") from error
    if not isinstance(content, dict):
        raise RequestError(400, f"expected a JSON object, got {type(content).__name__}: send {{...}}")
    return content


def parse_instances(body: bytes) -> tuple[list[bytes], str | None]:
    """Return the image files and the signature of a `:predict` request in TensorFlow Serving's row form.

    Args:
        body: `{"instances": [{"b64": "..."}, ...]}`; the name of the input may stand around each, as in
            `{"jpeg": {"b64": "..."}}`.

    Raises:
        RequestError: it has another form, or more than `MAX_INSTANCES` images.
    """
    content = parse_json(body)
    signature = content.get("signature_name")
    if signature not in _SIGNATURES:
        raise RequestError(
            400, f"expected signature_name serving_default or detect_jpeg, got {_short(repr(signature))}"
        )
    instances = content.get("instances")
    if not isinstance(instances, list) or not instances:
        raise RequestError(400, 'expected {"instances": [{"b64": "..."}]} with one image or more, got none')
    if len(instances) > MAX_INSTANCES:
        raise RequestError(400, f"expected at most {MAX_INSTANCES} instances, got {len(instances)}: send fewer")
    return [_decode_base64(instance, number) for number, instance in enumerate(instances, start=1)], signature


def _decode_base64(instance: Any, number: int) -> bytes:
    inner = instance
    if isinstance(instance, dict) and len(instance) == 1 and isinstance(next(iter(instance.values())), dict):
        inner = next(iter(instance.values()))
    text = inner.get("b64") if isinstance(inner, dict) else None
    if not isinstance(text, str):
        raise RequestError(400, f'instance {number}: expected {{"b64": "..."}} with a JPEG or PNG, got something else')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"instance {number}: expected base64, got something else ({error})") from error


def decode_image(content: bytes, number: int = 1) -> ImageArray:
    """Return a JPEG or PNG as RGB, uint8 (height, width, 3).

    The size is checked before anything is decompressed.

    Args:
        content: the file.
        number: of the image in its request, for messages.

    Raises:
        RequestError: no such file, a truncated one, more than 8 bits, or larger than `MAX_SIDE_PX`.
    """
    with _opened(content, number) as image:
        return np.asarray(image.convert("RGB"))


def image_size(content: bytes, number: int = 1) -> tuple[int, int]:
    """Return width and height of a JPEG or PNG by its header; nothing is decompressed.

    Args:
        content: the file.
        number: of the image in its request, for messages.

    Raises:
        RequestError: as for `decode_image`; a truncated file passes.
    """
    with _opened(content, number) as image:
        return image.size


@contextlib.contextmanager
def _opened(content: bytes, number: int) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise _too_large(number, f"{image.width} x {image.height}")
            if image.mode.startswith(("I", "F")):
                raise RequestError(400, f"instance {number}: expected 8 bits a band, got more: convert it")
            yield image
    except RequestError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(number, "many more") from error
    except _IMAGE_ERRORS as error:
        reason = "a damaged file, or another format" if not str(error) or "BytesIO" in str(error) else str(error)
        raise RequestError(400, f"instance {number}: expected a JPEG or PNG, got {_short(reason)}") from error


def _too_large(number: int, got: str) -> RequestError:
    return RequestError(
        413,
        f"instance {number}: expected at most {MAX_SIDE_PX} px a side, got {got}: "
        "cut it, or send it to /detect as a GeoTIFF",
    )


def parse_area(geojson: Any) -> AreaOfInterest | None:
    """Return an area of interest of GeoJSON: a geometry, a Feature or a FeatureCollection; None of None.

    Raises:
        RequestError: it is no GeoJSON, or has no polygons in longitude and latitude.
    """
    if geojson is None:
        return None
    try:
        if geojson["type"] == "FeatureCollection":
            geometries = [shapely.geometry.shape(feature["geometry"]) for feature in geojson["features"]]
        else:
            geometries = [shapely.geometry.shape(geojson["geometry"] if geojson["type"] == "Feature" else geojson)]
        coordinates = shapely.get_coordinates(geometries)
        if not (np.isfinite(coordinates).all() and (np.abs(coordinates) <= [540, 90]).all()):
            raise ValueError("coordinates that are no longitude and latitude")
        return build_aoi(geometries, CRS.from_user_input("OGC:CRS84"))
    except FinderError as error:
        raise RequestError(400, f"aoi: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, ShapelyError) as error:
        reason = _short(str(error) or type(error).__name__)
        raise RequestError(
            400, f"aoi: expected GeoJSON with polygons in lon/lat, got something else ({reason})"
        ) from error


def parse_score(value: Any) -> float | None:
    """Return `min_score` of a request, `FLOOR_SCORE` to 1; None of None.

    Raises:
        RequestError: it is not such a number.
    """
    if value is None:
        return None
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not FLOOR_SCORE <= score <= 1:
        raise RequestError(400, f"min_score: expected a number from {FLOOR_SCORE} to 1, got {_short(repr(value))}")
    return score


def _short(text: str) -> str:
    """Return text on one line, cut to a length that fits one."""
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:117]}..."
