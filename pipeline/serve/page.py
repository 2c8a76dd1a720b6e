"""The page: its HTML, and the routes it alone uses (map tiles, crops); and the page that documents the interface."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from model.common.pages import render_template
from pipeline.serve.imagery import crop
from pipeline.serve.jobs import Job, feature_collection
from pipeline.serve.requests import RequestError, parse_score

if TYPE_CHECKING:
    from pipeline.serve.app import Service

_FOLDER = Path(__file__).parent
#: Nothing, as WebP: an empty tile is an answer, not an error on the browser's console.
_TRANSPARENT = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
_CACHED = {"Cache-Control": "private, max-age=3600"}

Format = Literal["geojson", "gpkg", "report"]


def add_page(app: FastAPI, service: Service) -> None:
    """Add the routes of the page to the application."""

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        models = [
            {"name": model.name, "version": model.spec.identity.model, "min_score": model.min_score}
            for model in service.models.all()
        ]
        return render_template(
            _FOLDER / "page.html",
            styles=[_FOLDER / "page.css"],
            scripts=[_FOLDER / "page.js", *([_FOLDER / "review.js"] if service.review else [])],
            data={"models": models, "airports": service.airports, "map": _map(service)},
            has_review=service.review is not None,
            leaflet=True,
            served=True,
            models=models,
            airports=service.airports,
        )

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> str:
        return render_template(_FOLDER / "docs.html", routes=_routes(app.openapi()), served=True)

    @app.get("/scenes/{id}/tiles/{z}/{x}/{y}.webp", summary="Map tile of a scene (XYZ)", tags=["scenes"])
    def tile(id: str, z: int, x: int, y: int) -> Response:  # noqa: A002
        from geo.raster.map_tiles import MAX_ZOOM, render_tile  # loads rio-tiler, half a second

        if not (0 <= z <= MAX_ZOOM and 0 <= y < 2**z):
            raise RequestError(404, f"expected the numbers of a tile of zoom 0 to {MAX_ZOOM}, got others")
        scene = service.scenes.get(id).opened()
        # Beyond the antimeridian the page goes on counting.
        content = render_tile(scene.header.uri, scene.header.radiometry, z, x % 2**z, y)
        return Response(content or _TRANSPARENT, media_type="image/webp", headers=_CACHED)

    @app.get("/scenes/{id}/tilejson.json", summary="TileJSON of a scene", tags=["scenes"])
    def tilejson(id: str) -> dict[str, Any]:  # noqa: A002
        bounds = service.scenes.get(id).summary().get("bounds")
        tiles = [f"/scenes/{service.scenes.get(id).id}/tiles/{{z}}/{{x}}/{{y}}.webp"]
        return {"tilejson": "3.0.0", "tiles": tiles, "bounds": bounds, "minzoom": 0, "maxzoom": 21}

    @app.get("/map/{z}/{x}/{y}", include_in_schema=False)
    def map_tile(z: int, x: int, y: int) -> Response:
        if service.map_tiles is None:
            raise RequestError(404, "expected a map, got none: start the service with --tiles")
        if not 0 <= z <= 30:
            raise RequestError(404, "expected the zoom, column and row of a tile of the map, got others")
        try:
            content = service.map_tiles.get(z, x % 2**z, y)
        except RequestError:  # a hole in the map; a job says why
            content = _TRANSPARENT
        return Response(content, media_type=_media_type(content), headers=_CACHED)

    @app.get("/jobs/{id}/crop", summary="Picture of a part of a job's scene: box=xmin,ymin,xmax,ymax", tags=["jobs"])
    def job_crop(id: str, box: str) -> Response:  # noqa: A002
        try:
            sides = [float(side) for side in box[:200].split(",")]
        except ValueError:
            sides = []
        if len(sides) != 4:
            raise RequestError(400, "box: expected xmin,ymin,xmax,ymax in scene pixels, got something else")
        return Response(crop(service.jobs.get(id).scene, sides), media_type="image/webp", headers=_CACHED)

    @app.get("/jobs/{id}/results", summary="Airplanes of a job: GeoJSON, GeoPackage or report", tags=["jobs"])
    def job_results(id: str, min_score: str | None = None, format: Format = "geojson") -> Response:  # noqa: A002
        job = service.jobs.get(id)
        threshold = parse_score(min_score)
        if format == "gpkg":
            return _download(_geopackage(job, threshold), "application/geopackage+sqlite3", "airplanes.gpkg")
        if format == "report":
            return HTMLResponse(_report(job, threshold))
        text = json.dumps(feature_collection(job.airplanes(), threshold), allow_nan=False)
        return _download(text.encode(), "application/geo+json", "airplanes.geojson")


def _map(service: Service) -> dict[str, Any] | None:
    return None if service.map_tiles is None else {"max_zoom": service.map_tiles.max_zoom}


def _media_type(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if content.startswith(b"RIFF") else "image/jpeg"


def _download(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'inline; filename="{name}"'})


def _geopackage(job: Job, min_score: float | None) -> bytes:
    from pipeline.sinks.files import write_file

    kept = [airplane for airplane in job.airplanes() if min_score is None or airplane.score >= min_score]
    with tempfile.TemporaryDirectory(prefix="airplanes-") as folder:
        path = Path(folder) / "airplanes.gpkg"
        write_file(str(path), kept)
        return path.read_bytes()


def _report(job: Job, min_score: float | None) -> str:
    """Return the page that `--report` of the main job would write."""
    from pipeline.ledger import make_ledger
    from pipeline.report.page import render
    from pipeline.run import run_info

    airplanes, entry = job.airplanes(), job.entry
    if entry is None:
        raise RequestError(409, "expected a job with results, got one without: ask again when its status is successful")
    kept = [airplane for airplane in airplanes if min_score is None or airplane.score >= min_score]
    started = time.monotonic()
    ledger = make_ledger(run_info(job.task.model.spec, ["(web service)"], job.id), time.monotonic() - started, [entry])
    return render(kept, ledger)


def _routes(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of each route that the page shows."""
    routes = []
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            names = [
                f"{parameter['name']} ({parameter['in']}{'' if parameter.get('required') else ', optional'})"
                for parameter in operation.get("parameters", [])
            ]
            bodies = [
                f"{kind} {json.dumps(content['example'])}" if "example" in content else kind
                for kind, content in operation.get("requestBody", {}).get("content", {}).items()
            ]
            routes.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "description": operation.get("description", ""),
                    "parameters": names,
                    "bodies": bodies,
                }
            )
    return routes
