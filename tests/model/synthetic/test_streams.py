from hypothesis import given
from hypothesis import strategies as st

from model.synthetic.streams import stream

seeds = st.integers(0, 2**40)


@given(seeds)
def test_the_same_name_gives_the_same_numbers(seed: int) -> None:
    assert stream(seed, "part", 3).random(4).tolist() == stream(seed, "part", 3).random(4).tolist()


@given(seeds)
def test_names_numbers_and_seeds_tell_streams_apart(seed: int) -> None:
    drawn = [
        stream(seed, "part", 3).random(),
        stream(seed, "part", 4).random(),
        stream(seed, "part").random(),
        stream(seed, "other", 3).random(),
        stream(seed + 1, "part", 3).random(),
    ]
    assert len(set(drawn)) == len(drawn)
