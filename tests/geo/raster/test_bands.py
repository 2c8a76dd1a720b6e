import pytest

from geo.errors import RasterError
from geo.raster.bands import choose_bands


@pytest.mark.parametrize(
    ("colours", "told", "bands"),
    [
        (["red", "green", "blue"], None, (1, 2, 3)),
        (["blue", "green", "red", "undefined"], None, (3, 2, 1)),
        (["alpha", "red", "green", "blue"], None, (2, 3, 4)),
        (["gray", "undefined", "undefined", "undefined"], None, (1, 2, 3)),
        (["gray"], None, (1,)),
        (["undefined"], None, (1,)),
        (["gray", "alpha"], None, (1,)),
        (["undefined"] * 8, (5, 3, 2), (5, 3, 2)),
        (["red", "green", "blue"], (2,), (2,)),
        (["gray", "undefined"], (2,), (2,)),
        (["palette", "red", "green", "blue"], None, (2, 3, 4)),
    ],
)
def test_bands_go_by_colour_or_as_told(
    colours: list[str], told: tuple[int, ...] | None, bands: tuple[int, ...]
) -> None:
    assert choose_bands(colours, told) == bands


@pytest.mark.parametrize(
    ("colours", "told", "message"),
    [
        (["gray", "undefined"], None, "at least 3 .* got 2: choose bands"),
        (["alpha"], None, "got 0"),
        (["palette"], None, "numbers of a palette: .*-expand rgb"),
        (["gray", "palette"], (2,), "numbers of a palette"),
        (["red", "green", "blue"], (1, 2), r"1 band .* or 3 .* got \[1, 2\]"),
        (["red", "green", "blue"], (1, 2, 4), r"bands from 1 to 3, got \[1, 2, 4\]"),
        (["red", "green", "blue"], (0,), r"bands from 1 to 3, got \[0\]"),
    ],
)
def test_what_does_not_fit_is_said(colours: list[str], told: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(RasterError, match=message):
        choose_bands(colours, told)
