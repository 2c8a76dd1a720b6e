"""Which bands of a raster are red, green and blue; pure."""

from collections.abc import Sequence

from geo.errors import RasterError

_RGB = ("red", "green", "blue")


def choose_bands(colours: Sequence[str], told: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Returns the bands to read, counted from 1: red, green and blue, or one that is grey.

    As told; else the bands that the file calls red, green and blue; else the first three, or the only one. Alpha is
    never a colour.

    Args:
        colours: What the file calls each of its bands: red, green, blue, gray, undefined, alpha, palette ...
        told: One band or three, counted from 1; None to go by colour.

    Raises:
        RasterError: The file has no such bands, or they hold no grey or colour values.
    """
    bands = _by_colour(colours) if told is None else _as_told(len(colours), told)
    if any(colours[band - 1] == "palette" for band in bands):
        raise RasterError(
            "expected grey or colour values, got the numbers of a palette: "
            "expand them, e.g. with gdal_translate -expand rgb"
        )
    return bands


def _as_told(count: int, told: tuple[int, ...]) -> tuple[int, ...]:
    if len(told) not in (1, 3):
        raise RasterError(f"expected 1 band (grey) or 3 (red, green, blue) to read, got {list(told)}: choose as many")
    if not all(1 <= band <= count for band in told):
        raise RasterError(f"expected bands from 1 to {count}, got {list(told)}: choose others")
    return told


def _by_colour(colours: Sequence[str]) -> tuple[int, ...]:
    if all(colour in colours for colour in _RGB):
        return tuple(colours.index(colour) + 1 for colour in _RGB)
    seen = [number for number, colour in enumerate(colours, start=1) if colour != "alpha"]
    if len(seen) in (0, 2):
        raise RasterError(
            f"expected 1 band (grey) or at least 3 (red, green, blue), got {len(seen)}: "
            "choose bands, e.g. with gdal_translate -b 1"
        )
    return tuple(seen[:3]) if len(seen) > 2 else (seen[0],)
