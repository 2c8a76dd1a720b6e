from hypothesis import given
from hypothesis import strategies as st

from model.synthetic.style import stream

seeds = st.integers(0, 2**40)


@given(seeds)
def test_equal_names_give_equal_numbers(seed: int) -> None:
    assert stream(seed, "part", 3).random(4).tolist() == stream(seed, "part", 3).random(4).tolist()


@given(seeds)
def test_streams_differ_by_name_index_and_seed(seed: int) -> None:
    values = [
        stream(seed, "part", 3).random(),
        stream(seed, "part", 4).random(),
        stream(seed, "part").random(),
        stream(seed, "other", 3).random(),
        stream(seed + 1, "part", 3).random(),
    ]
    assert len(set(values)) == len(values)
