"""The black around a scene that nothing marks as missing; pure."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geo.types import FloatArray


@dataclass(frozen=True, slots=True)
class Collar:
    """Where a scene's black border lies, in coarse cells that cover the scene. What is black there is missing.

    Black elsewhere, a shadow or dark water, is not.

    Args:
        columns: Cells along a row.
        rows: Cells along a column.
        packed: Which cells the border reaches; small enough to travel with every block of tiles.
    """

    columns: int
    rows: int
    packed: bytes

    def reaches(self, x: FloatArray, y: FloatArray) -> NDArray[np.bool_]:
        """Returns (len(y), len(x)): whether the border reaches these places, in shares 0..1 of the scene's sides."""
        bits = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        cells = np.unpackbits(bits, count=self.rows * self.columns).reshape(self.rows, self.columns).astype(np.bool_)
        columns = np.clip((x * self.columns).astype(np.int64), 0, self.columns - 1)
        rows = np.clip((y * self.rows).astype(np.int64), 0, self.rows - 1)
        return cells[np.ix_(rows, columns)]


def find_collar(black: NDArray[np.bool_]) -> Collar | None:
    """Returns the black that touches the scene's border; None without any, and for a scene that is black all over.

    Args:
        black: (rows, columns) one look at each cell: is it 0 in every band?
    """
    labels, _ = ndimage.label(black)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cells = np.isin(labels, edge[edge > 0])
    if not cells.any() or black.all():
        return None
    # One more cell around: the border ends somewhere within it.
    cells = ndimage.binary_dilation(cells, np.ones((3, 3), dtype=np.bool_))
    rows, columns = black.shape
    return Collar(columns, rows, zlib.compress(np.packbits(cells).tobytes()))
