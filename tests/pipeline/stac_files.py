"""Synthetic STAC of versions 1.0 and 1.1 as plain JSON, and a web server for it."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ACQUIRED_AT = "2026-05-01T10:20:30Z"

Json = dict[str, Any]


def asset(href: str = "./a.tif", /, **fields: Any) -> Json:
    """An asset; fields that are None are omitted."""
    content = {"href": href, "type": COG, **fields}
    return {name: value for name, value in content.items() if value is not None}


def item(name: str = "S-1", version: str = "1.1.0", /, assets: Any = None, **properties: Any) -> Json:
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
            if version == "1.1.0"
            else "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
        ],
        "id": name,
        "geometry": None,
        "properties": {"datetime": ACQUIRED_AT, **properties},
        "links": [],
        "assets": {"visual": asset()} if assets is None else assets,
    }


def items(*features: Json, **fields: Any) -> Json:
    return {"type": "FeatureCollection", "features": list(features), **fields}


def catalog(*links: tuple[str, str], version: str = "1.1.0") -> Json:
    """A catalog with links given as (rel, href)."""
    return {
        "type": "Catalog",
        "stac_version": version,
        "id": "synthetic",
        "description": "synthetic",
        "links": [{"rel": rel, "href": href} for rel, href in links],
    }


def collection(*links: tuple[str, str], version: str = "1.1.0") -> Json:
    return {
        **catalog(*links, version=version),
        "type": "Collection",
        "license": "proprietary",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[ACQUIRED_AT, None]]}},
    }


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; redirects /moved/ to the root."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free local port in the block; yields the base URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
