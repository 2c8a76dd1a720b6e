"""The REST interface: routes over models, jobs and scenes. Every error is one line of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from geo.errors import FinderError
from geo.raster.uri import is_remote
from geo.types import Detections
from pipeline.serve import addresses
from pipeline.serve.imagery import MapTiles
from pipeline.serve.jobs import Job, JobRunner, Task
from pipeline.serve.models import Models
from pipeline.serve.page import add_page
from pipeline.serve.requests import (
    FILES_SIGNATURE,
    RequestError,
    decode_image,
    image_size,
    parse_area,
    parse_instances,
    parse_json,
    parse_score,
    read_body,
    save_body,
)
from pipeline.serve.review import ReviewStore
from pipeline.serve.review_routes import add_review
from pipeline.serve.scenes import SceneCatalog, read_headers
from pipeline.values import SceneSource

#: Seconds that the running job gets to finish when the service stops.
GRACE_S = 10.0
#: Names by which a browser reaches a service of its own machine.
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")

# TIFF and BigTIFF, in both byte orders. Other formats can refer to files of this machine.
_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_DETECT_KEYS = ("scene", "aoi", "min_score", "model", "bounds")
#: Names the map of `--tiles` where a request names a scene.
MAP_SCENE = "map"
_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The models, scenes and settings of the service.

    Attributes:
        models: the models.
        scenes: the scenes that requests may name.
        jobs: the detection jobs.
        allow_remote: whether requests may name URLs.
        map_tiles: another map that the page shows and jobs may read, or None.
        airports: the page's list, as JSON values: name, and bounds (west, south, east, north, degrees).
        review: the store of reviews, or None.
        max_upload_bytes: of a GeoTIFF.
        max_px: pixels of a scene that is sent, or fetched.
        hosts: names under which it may be called; empty: any.
    """

    models: Models
    scenes: SceneCatalog
    jobs: JobRunner
    allow_remote: bool = False
    map_tiles: MapTiles | None = None
    airports: tuple[dict[str, Any], ...] = ()
    review: ReviewStore | None = None
    max_upload_bytes: int = 256 * 2**20
    max_px: float = 400e6
    hosts: tuple[str, ...] = ()


def create_app(service: Service, on_stop: Callable[[list[Job]], None] | None = None) -> FastAPI:
    """Return the application.

    Args:
        service: its models, scenes and settings; the application starts and stops its threads.
        on_stop: called at the end with the jobs that are lost.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stopping = threading.Event()
        service.models.start()
        headers = threading.Thread(target=read_headers, args=(service.scenes, stopping), daemon=True)
        headers.start()
        yield
        stopping.set()
        lost = await asyncio.to_thread(service.jobs.stop, GRACE_S)
        await asyncio.to_thread(service.models.stop)
        if service.review is not None:
            service.review.close()
        if on_stop is not None:
            on_stop(lost)

    app = FastAPI(
        title="airplane-finder",
        description='Airplanes in satellite and aerial imagery. Errors are `{"error": "one line"}`.',
        lifespan=lifespan,
        # FastAPI's pages load scripts from a CDN.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(_SameOrigin, hosts=service.hosts)
    _add_error_handlers(app)
    _add_health(app, service)
    _add_models(app, service)
    _add_jobs(app, service)
    _add_scenes(app, service)
    add_page(app, service)
    if service.review is not None:
        add_review(app, service.scenes, service.review)
    return app


class _SameOrigin:
    """Refuses requests that a foreign page makes a browser send: to other names of this host, from other origins."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            host = headers.get("host", "")
            origin = headers.get("origin")
            name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
            if (self._hosts and name not in self._hosts) or (origin not in (None, "null") and _netloc(origin) != host):
                await _error(403, "expected a request from the service's own page or a program, got another origin")(
                    scope, receive, send
                )
                return
            if origin == "null" and scope["method"] not in ("GET", "HEAD"):
                await _error(403, "expected a request with an origin, got one without")(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _netloc(origin: str | None) -> str:
    try:
        return urlsplit(origin or "").netloc
    except ValueError:
        return ""


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(FinderError)
    async def finder_error(_: Request, error: FinderError) -> Response:
        if isinstance(error, RequestError):
            return _error(error.status, str(error), error.retry_after_s)
        return _error(400, str(error))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return _error(400, f"{name}: {first['msg']}, got {str(first.get('input'))[:60]!r}")

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        _log.error("%s %s", request.method, request.url.path, exc_info=error)
        return _error(500, f"internal error: {type(error).__name__}; the service's log has more")


def _error(status: int, message: str, retry_after_s: int | None = None) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not read
    # A message may quote what was sent, down to half of a surrogate pair, which no answer can hold.
    line = " ".join(message.encode("utf-8", "backslashreplace").decode().split())
    return JSONResponse({"error": line}, status, headers)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Liveness: 200 as long as the process answers", tags=["health"])
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Readiness: 200 when every model is loaded, else 503", tags=["health"])
    async def readyz() -> JSONResponse:
        models = service.models.all()
        states = {model.name: model.state if model.error is None else model.error for model in models}
        is_ready = all(model.state == "AVAILABLE" for model in models)
        headers = {} if is_ready else {"Retry-After": "1"}
        return JSONResponse({"ready": is_ready, "models": states}, 200 if is_ready else 503, headers)


def _add_models(app: FastAPI, service: Service) -> None:
    # Parsing and decoding keep a core busy and hold up to a body's memory many times over: two at a time.
    decoders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode")

    async def in_decoder(function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(decoders, functools.partial(function, *arguments))

    @app.get("/v1/models", summary="The served models; the first is the default", tags=["models"])
    async def models() -> dict[str, Any]:
        return {
            "models": [
                {
                    "name": model.name,
                    "version": model.spec.identity.model,
                    "state": model.state,
                    "min_score": model.min_score,
                }
                for model in service.models.all()
            ]
        }

    @app.get("/v1/models/{name}", summary="State of a model, as in TensorFlow Serving", tags=["models"])
    async def model_status(name: str) -> dict[str, Any]:
        model = service.models.get(name)
        error = {"error_code": "UNKNOWN" if model.error else "OK", "error_message": model.error or ""}
        # TensorFlow Serving's versions are numbers; the digest of the weights comes beside it.
        status = {"version": "1", "state": model.state, "status": error, "label": model.spec.identity.model}
        return {"model_version_status": [status]}

    @app.post(
        "/v1/models/{name}:predict",
        summary="Airplanes in JPEG or PNG images, as in TensorFlow Serving (row form)",
        description="Boxes are xmin, ymin, xmax, ymax in pixels of the image, by falling score.",
        tags=["models"],
        openapi_extra=_body({"application/json": {"example": {"instances": [{"b64": "..."}]}}}),
    )
    async def predict(name: str, request: Request) -> Response:
        batcher = service.models.get(name).batcher()
        min_score = service.models.get(name).min_score
        files, signature = await in_decoder(parse_instances, await read_body(request))
        if signature == FILES_SIGNATURE and batcher.decodes_files:
            futures = batcher.submit_files(files, await in_decoder(_for_each, image_size, files))
        else:
            futures = batcher.submit(await in_decoder(_for_each, decode_image, files))
        results = await asyncio.gather(*map(asyncio.wrap_future, futures))
        return JSONResponse({"predictions": [_prediction(detections, min_score) for detections in results]})


def _for_each(function: Callable[[bytes, int], T], files: list[bytes]) -> list[T]:
    """Return the result of a function for each file of a request, given with its number there."""
    return [function(file, number) for number, file in enumerate(files, start=1)]


def _prediction(detections: Detections, min_score: float) -> dict[str, Any]:
    kept = detections.take(detections.scores >= min_score)
    return {"boxes": kept.boxes.round(2).tolist(), "scores": kept.scores.round(4).tolist()}


def _add_jobs(app: FastAPI, service: Service) -> None:
    @app.post(
        "/detect",
        status_code=202,
        summary="Detect the airplanes of a scene, as a job",
        description=(
            "Send a GeoTIFF as the body, with `min_score`, `model` and `aoi` (GeoJSON, lon/lat) in the query; or JSON "
            "with `scene` (the id of a served scene, or a URL where the service allows it), `aoi`, `min_score` "
            "and `model`. The answer's `Location` is the job."
        ),
        tags=["jobs"],
        openapi_extra=_body(
            {
                "application/json": {"example": {"scene": "an-id", "min_score": 0.5}},
                "image/tiff": {"schema": {"type": "string", "format": "binary"}},
            }
        ),
    )
    async def detect(
        request: Request, min_score: str | None = None, model: str | None = None, aoi: str | None = None
    ) -> Response:
        service.jobs.check_room()
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            content = await asyncio.to_thread(parse_json, await read_body(request))
            task = await asyncio.to_thread(_named_task, service, content)
        else:
            options = {"min_score": min_score, "model": model, "aoi": parse_json(aoi.encode()) if aoi else None}
            task = await _sent_task(service, request, options)
        job = service.jobs.submit(task)
        return JSONResponse(job.info(), 202, {"Location": f"/jobs/{job.id}"})

    @app.get("/jobs", summary="Jobs that are remembered, the oldest first", tags=["jobs"])
    async def jobs() -> dict[str, Any]:
        return {"jobs": [job.info() for job in service.jobs.all()]}

    @app.get("/jobs/{id}", summary="State and progress of a job", tags=["jobs"])
    async def job_info(id: str) -> dict[str, Any]:  # noqa: A002
        return service.jobs.get(id).info()

    @app.get("/jobs/{id}/tiles", summary="Tiles that are done; `start=N` leaves out the first N", tags=["jobs"])
    async def job_tiles(id: str, start: int = 0) -> dict[str, Any]:  # noqa: A002
        job = service.jobs.get(id)
        tiles = job.tiles(max(0, start))
        return {"job": job.info(), "tiles": tiles}

    @app.delete("/jobs/{id}", summary="Dismiss a job", tags=["jobs"])
    async def dismiss(id: str) -> dict[str, Any]:  # noqa: A002
        job = service.jobs.get(id)
        job.dismiss()
        return job.info()


def _named_task(service: Service, content: dict[str, Any]) -> Task:
    """Return the task of a request that names its scene.

    Raises:
        RequestError: a key is unknown, or a value is not what it should be.
    """
    unknown = sorted(content.keys() - set(_DETECT_KEYS))
    if unknown:
        raise RequestError(400, f"expected {', '.join(_DETECT_KEYS)}, got {unknown[0][:60]!r}: leave it out")
    name = content.get("scene")
    if not isinstance(name, str) or not name:
        raise RequestError(400, "scene: expected the id of a served scene, got none: /scenes lists them")
    served = service.scenes.find(name)
    if served is not None:
        return Task(served.id, served.source, **_options(service, content))
    if name == MAP_SCENE and service.map_tiles is not None:
        return _map_task(service, service.map_tiles, content)
    if not is_remote(name):
        raise RequestError(404, f"expected the id of a served scene, got {name[:80]!r}: /scenes lists them")
    if not service.allow_remote:
        raise RequestError(403, "expected the id of a served scene, got a URL: those need --allow-remote")
    addresses.check(name)
    options = _options(service, content)
    folder = Path(tempfile.mkdtemp(prefix="airplanes-"))
    path = folder / "scene.tif"

    def fetch() -> None:
        addresses.fetch(name, path, service.max_upload_bytes)
        _check_tiff(path)

    return Task(name, SceneSource(str(path)), **options, fetch=fetch, folder=folder, max_px=service.max_px)


def _map_task(service: Service, tiles: MapTiles, content: dict[str, Any]) -> Task:
    """Return the task of a request for a part of the map of `--tiles`."""
    bounds = content.get("bounds")
    if not isinstance(bounds, list) or not all(isinstance(side, int | float) for side in bounds):
        raise RequestError(400, "bounds: expected west, south, east, north of the part of the map, got something else")
    tiles.check_bounds(bounds)
    options = _options(service, content)
    folder = Path(tempfile.mkdtemp(prefix="airplanes-"))
    path = folder / "scene.tif"
    source = SceneSource(str(path))
    return Task(
        tiles.template, source, **options, fetch=lambda: tiles.write_scene(bounds, path), folder=folder, keep=True
    )


async def _sent_task(service: Service, request: Request, options: dict[str, Any]) -> Task:
    """Return the task of a request with a GeoTIFF as its body."""
    checked = _options(service, options)
    folder = Path(tempfile.mkdtemp(prefix="airplanes-"))
    path = folder / "scene.tif"
    try:
        await save_body(request, path, service.max_upload_bytes)
        _check_tiff(path)
    except BaseException:
        path.unlink(missing_ok=True)
        folder.rmdir()
        raise
    return Task("the uploaded scene", SceneSource(str(path)), **checked, folder=folder, max_px=service.max_px)


def _options(service: Service, content: dict[str, Any]) -> dict[str, Any]:
    model = content.get("model")
    if model is not None and not isinstance(model, str):
        raise RequestError(400, "model: expected the name of a model, got something else: /v1/models lists them")
    return {
        "model": service.models.get(model),
        "min_score": parse_score(content.get("min_score")),
        "area": parse_area(content.get("aoi")),
    }


def _check_tiff(path: Path) -> None:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic not in _TIFF_MAGIC:
        raise RequestError(400, "expected a GeoTIFF, got another file or none: convert it, e.g. with gdal_translate")


def _add_scenes(app: FastAPI, service: Service) -> None:
    @app.get("/scenes", summary="The served scenes", tags=["scenes"])
    def scenes() -> dict[str, Any]:
        return {"scenes": [scene.summary() for scene in service.scenes.scenes.values()]}

    @app.get("/scenes/{id}", summary="One served scene", tags=["scenes"])
    def scene(id: str) -> dict[str, Any]:  # noqa: A002
        return service.scenes.get(id).summary()


def _body(content: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the OpenAPI document for a body that is read by hand, with a bound."""
    return {"requestBody": {"required": True, "content": content}}
