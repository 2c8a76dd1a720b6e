import threading
from collections.abc import Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.common.prefetch import prefetch


@given(st.lists(st.integers() | st.none()), st.integers(1, 5))
def test_the_same_items_in_the_same_order(items: list[int | None], depth: int) -> None:
    assert list(prefetch(iter(items), depth)) == items


@given(st.integers(0, 20), st.integers(1, 5))
def test_never_more_than_depth_items_ahead(taken: int, depth: int) -> None:
    made = []

    def work() -> Iterator[int]:
        for item in range(30):
            made.append(item)
            yield item

    items = prefetch(work(), depth)
    for number in range(taken):
        assert next(items) == number
        assert len(made) <= number + 1 + depth
    items.close()


def test_items_are_computed_while_the_consumer_works() -> None:
    made = threading.Event()

    def work() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    items = prefetch(work(), 1)
    assert next(items) == 0
    # The second item is made although nobody has asked for it.
    assert made.wait(timeout=60)
    assert list(items) == [1]


def test_an_error_is_raised_in_place_of_its_item() -> None:
    def work() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items = prefetch(work(), 3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert list(items) == []


def test_all_items_are_computed_in_one_thread_which_ends() -> None:
    threads = set()

    def work() -> Generator[int, None, None]:
        try:
            for item in range(9):
                threads.add(threading.current_thread())
                yield item
        finally:
            threads.add(threading.current_thread())

    for taken in (9, 2):
        threads.clear()
        items = prefetch(work(), 2)
        for _ in range(taken):
            next(items)
        items.close()
        (thread,) = threads
        assert thread is not threading.current_thread()
        assert not thread.is_alive()
