import numpy as np
from PIL import Image

from geo.types import ImageArray
from model.ablation import chart as picture
from tests.model.ablation.ladders import standing

AP50 = (11, 99, 181)


def pixels(*ap50: tuple[float, ...]) -> ImageArray:
    return np.asarray(picture.draw([standing(f"0{n}", *values, seeds=2) for n, values in enumerate(ap50)]))


def places(image: ImageArray) -> tuple[list[int], list[int]]:
    """Rows and columns below the title, where the picture has the colour of AP50."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - AP50) < 20).all(axis=-1))
    below = rows > 40
    return sorted(set(rows[below].tolist())), sorted(set(columns[below].tolist()))


def test_a_better_rung_lies_farther_right_and_a_later_one_lower() -> None:
    worse, better = places(pixels((0.2,)))[1], places(pixels((0.9,)))[1]
    assert max(worse) < min(better)
    rows, _ = places(pixels((), (0.5,)))
    assert min(rows) > max(places(pixels((0.5,), ()))[0])


def test_means_are_joined_but_not_over_what_is_missing() -> None:
    joined, _ = places(pixels((0.5,), (0.5,), (0.5,)))
    assert joined == list(range(joined[0], joined[-1] + 1))
    apart, _ = places(pixels((0.5,), (), (0.5,)))
    assert len(apart) < len(joined) / 2


def test_seeds_are_beside_their_mean() -> None:
    _, mean = places(pixels((0.5,)))
    _, seeds = places(pixels((0.25, 0.75)))
    assert seeds[0] < mean[0]
    assert seeds[-1] > mean[-1]


def test_a_picture_is_as_high_as_it_has_rungs() -> None:
    one, two = (picture.draw([standing("a", 0.5)] * n) for n in (1, 2))
    assert isinstance(one, Image.Image)
    assert one.width == two.width
    assert one.height < two.height
