import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pipeline.report.factories import HEIGHT, WIDTH


def overview(uri: str, max_px: int) -> NDArray[np.uint8]:
    """An asymmetric image: red grows to the right, green downwards, blue is constant."""
    width, height = max_px, max_px * HEIGHT // WIDTH
    image = np.full((height, width, 3), 80, dtype=np.uint8)
    image[..., 0] = np.linspace(0, 200, width, dtype=np.uint8)[None, :]
    image[..., 1] = np.linspace(0, 250, height, dtype=np.uint8)[:, None]
    return image


@pytest.fixture(autouse=True)
def _thumbnails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthetic scenes have no files; small thumbnails are quick to compress."""
    monkeypatch.setattr("geo.raster.reader.read_thumbnail", lambda uri, max_px, bands: overview(uri, min(max_px, 40)))
