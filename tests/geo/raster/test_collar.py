import pickle

import numpy as np

from geo.raster.collar import find_collar


def test_black_that_touches_the_border_is_the_collar_and_no_other() -> None:
    black = np.zeros((60, 80), dtype=np.bool_)
    black[:, :10] = True
    black[30:35, 40:45] = True  # a shadow
    collar = find_collar(black)
    assert collar is not None
    reached = collar.reaches((np.arange(80) + 0.5) / 80, (np.arange(60) + 0.5) / 60)
    expected = np.zeros((60, 80), dtype=np.bool_)
    expected[:, :11] = True
    assert (reached == expected).all()


def test_none_without_black_at_the_border_and_none_in_a_black_scene() -> None:
    black = np.zeros((60, 80), dtype=np.bool_)
    assert find_collar(black) is None
    black[20, 20] = True
    assert find_collar(black) is None
    assert find_collar(np.ones((60, 80), dtype=np.bool_)) is None


def test_a_collar_is_small_enough_to_travel() -> None:
    row, column = np.mgrid[:512, :512]
    collar = find_collar((row + column < 250) | (row - column > 300) | (column * 3 - row > 1300))
    assert len(pickle.dumps(collar)) < 3000
