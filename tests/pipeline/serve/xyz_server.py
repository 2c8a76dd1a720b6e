"""A map of XYZ tiles on this machine: dark ground with bright airplanes at given positions."""

import contextlib
import io
import math
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

TILE_PX = 256


def to_pixels(lon: float, lat: float, zoom: int) -> tuple[float, float]:
    """Pixels from the upper left corner of the world."""
    size = TILE_PX * 2**zoom
    y = math.log(math.tan(math.radians(lat)) + 1 / math.cos(math.radians(lat)))
    return (lon + 180) / 360 * size, (1 - y / math.pi) / 2 * size


@contextlib.contextmanager
def serving_map(positions: Sequence[tuple[float, float]], zoom: int, half_px: int = 12) -> Iterator[str]:
    """Serve the map and yield its template. Airplanes are squares around the positions, as longitude and latitude.

    Tiles of odd rows are PNG, the others JPEG; there are none beyond the zoom.
    """
    centres = [to_pixels(lon, lat, zoom) for lon, lat in positions]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            z, x, y = (int(part) for part in self.path.strip("/").split("/"))
            if z > zoom:
                self.send_error(404)
                return
            pixels = np.full((TILE_PX, TILE_PX, 3), 30, np.uint8)
            scale = 2 ** (zoom - z)
            for centre_x, centre_y in centres:
                left, top = (centre_x - half_px) / scale - x * TILE_PX, (centre_y - half_px) / scale - y * TILE_PX
                side = 2 * half_px / scale
                columns = slice(max(0, round(left)), max(0, round(left + side)))
                pixels[max(0, round(top)) : max(0, round(top + side)), columns] = 250
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG" if y % 2 else "JPEG", quality=95)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(file.getvalue())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{{z}}/{{x}}/{{y}}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
