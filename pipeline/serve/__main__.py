"""The web service: `python -m pipeline.serve --scenes scenes/`.

Exit status: 0 stopped (Ctrl-C, SIGTERM) with all work done; 1 stopped, with jobs lost, which it names; 2 the command
is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from geo.errors import OutputError
from model.common import logs
from model.common.command import Parser, command

if TYPE_CHECKING:
    from pipeline.serve.app import Service
    from pipeline.serve.jobs import Job

#: Seconds that requests get to be answered when the service stops.
REQUEST_GRACE_S = 5

_AIRPORTS = Path(__file__).resolve().parents[2] / "configs" / "airports" / "talk.yaml"
_LOCAL = ("127.0.0.1", "localhost", "::1")


@command("serve")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is stopped, and return the exit status."""
    logs.silence()
    options = _parser().parse_args(argv)
    return run(build_service(options), options.host, options.port)


def build_service(options: argparse.Namespace) -> Service:
    """Return the service of a command; its scenes and models are described, not opened yet.

    Raises:
        FinderError: a scene, a model or a setting is wrong.
    """
    from pipeline.config import DEFAULT_CONFIG, load_config
    from pipeline.monitor.airports import load_airports
    from pipeline.serve.app import LOCAL_HOSTS, Service
    from pipeline.serve.imagery import MapTiles
    from pipeline.serve.jobs import JobRunner
    from pipeline.serve.models import describe_models
    from pipeline.serve.review import ReviewStore
    from pipeline.serve.scenes import catalog_of
    from pipeline.sources.resolve import resolve_inputs

    config = load_config(options.config or DEFAULT_CONFIG)
    sources = resolve_inputs(options.scenes, config.asset, config.acquired_in_name) if options.scenes else ()
    return Service(
        models=describe_models(options.model, config, options.trust_model),
        scenes=catalog_of(sources, config),
        jobs=JobRunner(options.queue),
        allow_remote=options.allow_remote,
        airports=tuple(
            {"name": airport.name, "bounds": list(airport.area.polygons.bounds)}
            for airport in load_airports(options.airports)
        ),
        map_tiles=MapTiles(options.tiles, options.tiles_zoom) if options.tiles else None,
        review=ReviewStore(options.review) if options.review else None,
        max_upload_bytes=options.max_upload_mb * 2**20,
        hosts=LOCAL_HOSTS if options.host in _LOCAL else (),
    )


def run(service: Service, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM; prints the address once it answers.

    Args:
        service: the service.
        host: name or IP address to listen on.
        port: 0: a free one.

    Returns:
        The exit status: 1 if jobs are lost.

    Raises:
        OutputError: it cannot listen there.
    """
    import uvicorn

    from pipeline.serve.app import create_app

    lost: list[Job] = []
    config = uvicorn.Config(
        create_app(service, lost.extend),
        # When it stops, uvicorn reports requests it has cut off; our own errors are logged by the application.
        log_level="critical",
        # uvicorn's logging settings would close the handlers of others, and the streams these write to.
        log_config=None,
        access_log=False,
        server_header=False,
        # Beyond this, connections are answered with 503: each may hold a body in memory.
        limit_concurrency=512,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=REQUEST_GRACE_S,
    )
    listener = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

    class Server(uvicorn.Server):
        """Stops gracefully at the first signal, and immediately at the second."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # uvicorn would raise the signal again at the end; to be stopped is no failure.
            del sig, frame
            self.force_exit = self.should_exit
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            sys.stdout.write(f"Serving on {address} (Ctrl-C stops it)\n")
            sys.stdout.flush()

    asyncio.run(Server(config).serve([listener]))
    for job in lost:
        sys.stderr.write(f"lost: job {job.id} ({job.task.title}): send it again\n")
    return 1 if lost else 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise OutputError(
            f"--host {host} --port {port}: expected an address to listen on, got '{error.strerror or error}': "
            "choose another port, or 0 for any that is free"
        ) from error
    return listener


def _parser() -> Parser:
    parser = Parser(prog="python -m pipeline.serve", description="Serve the detector: REST, and a page with a map.")
    add = parser.add_argument
    add(
        "--scenes",
        action="append",
        default=[],
        metavar="PATTERN",
        help="scenes that may be processed: raster, folder, glob, STAC file or URL, .txt list; repeatable",
    )
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME|PATH",
        help="packaged model, model folder or SavedModel; repeatable, the first is the default",
    )
    add("--trust-model", action="store_true", help="load a SavedModel, although it can run code")
    add("--config", type=Path, metavar="FILE", help="settings (default: configs/pipeline/default.yaml)")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)")
    add("--port", type=_number(0, 65535), default=8000, metavar="N", help="port; 0: a free one (default: 8000)")
    add("--allow-remote", action="store_true", help="let requests name URLs; private hosts are refused")
    add(
        "--max-upload-mb",
        type=_number(1, 65536),
        default=256,
        metavar="N",
        help="largest GeoTIFF that may be sent or fetched, MiB (default: 256)",
    )
    add(
        "--airports",
        type=Path,
        default=_AIRPORTS,
        metavar="FILE",
        help="the page's list of airports, YAML or GeoJSON (default: configs/airports/talk.yaml)",
    )
    add("--tiles", metavar="TEMPLATE", help="a map to show and detect on, too: https://host/{z}/{x}/{y}.jpg")
    add(
        "--tiles-zoom",
        type=_number(1, 22),
        default=18,
        metavar="Z",
        help="the highest zoom of that map, at which airplanes are detected (default: 18)",
    )
    add(
        "--review",
        type=Path,
        metavar="DIR",
        help="let people review detections; DIR keeps their verdicts, as labels",
    )
    add("--queue", type=_number(1, 10000), default=16, metavar="N", help="jobs that may wait (default: 16)")
    return parser


def _number(low: int, high: int) -> Callable[[str], int]:
    """Return a type of argparse: a whole number in a range."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text}")
        return int(text)

    return parse


if __name__ == "__main__":
    sys.exit(main())
