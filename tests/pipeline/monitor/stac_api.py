"""A STAC API on this machine: landing page, and item search with pages."""

import contextlib
import datetime
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import shapely

CONFORMS_TO = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
]


@dataclass
class StacApi:
    """The Items of an API, which may change while it runs.

    Args:
        items: the Items.
        page_size: Items on a page of an answer.
        url: address of the landing page.
        searches: the bodies of all searches.
        broken: answer every search with status 500.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 10
    url: str = ""
    searches: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False

    def landing_page(self) -> dict[str, Any]:
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "synthetic",
            "conformsTo": CONFORMS_TO,
            "links": [
                {"rel": "self", "href": self.url, "type": "application/json"},
                {"rel": "root", "href": self.url, "type": "application/json"},
                {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": "POST"},
            ],
        }

    def search(self, query: dict[str, Any]) -> dict[str, Any]:
        found = [item for item in self.items if matches(item, query)]
        start = int(query.get("token", 0))
        end = start + self.page_size
        links = []
        if end < len(found):
            body = {**query, "token": end}
            links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body}]
        return {"type": "FeatureCollection", "features": found[start:end], "links": links}


def matches(item: dict[str, Any], query: dict[str, Any]) -> bool:
    """Whether an Item is found by a search."""
    if "collections" in query and item.get("collection") not in query["collections"]:
        return False
    if "bbox" in query and item["geometry"] is not None:
        west, south, east, north = query["bbox"]
        if not shapely.intersects(shapely.geometry.shape(item["geometry"]), shapely.box(west, south, east, north)):
            return False
    if "datetime" in query:
        time = parse(item["properties"]["datetime"])
        start, end = query["datetime"].split("/")
        return (start == ".." or time >= parse(start)) and (end == ".." or time <= parse(end))
    return True


def parse(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@contextlib.contextmanager
def serving_api() -> Iterator[StacApi]:
    """Run an API on a free port for the duration of the block."""
    api = StacApi()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(api.landing_page())

        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.searches.append(query)
            if api.broken:
                self.send_error(500)
            else:
                self._answer(api.search(query))

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
