import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pipeline.report.made_up import HEIGHT, WIDTH


def overview(uri: str, max_px: int) -> NDArray[np.uint8]:
    """Red grows to the right, green downwards, and only blue is constant: nothing about it is symmetric."""
    width, height = max_px, max_px * HEIGHT // WIDTH
    picture = np.full((height, width, 3), 80, dtype=np.uint8)
    picture[..., 0] = np.linspace(0, 200, width, dtype=np.uint8)[None, :]
    picture[..., 1] = np.linspace(0, 250, height, dtype=np.uint8)[:, None]
    return picture


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up scenes have no files to read a picture from; small ones are quick to compress."""
    monkeypatch.setattr("geo.raster.reader.read_thumbnail", lambda uri, max_px, bands: overview(uri, min(max_px, 40)))
