"""Prefetching: read ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")

_END = object()


def prefetch(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield the same items in the same order, while a thread computes the next ones.

    At most `depth` items are held. An error in `items` is raised where its item would have come. All of `items` runs in
    that one thread, so it may open and close what is bound to a thread.

    Args:
        items: the items, as an iterator.
        depth: how many items are computed in advance, at least 1.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            pending: deque[Future[object]] = deque(pool.submit(next, items, _END) for _ in range(depth))
            while (item := pending.popleft().result()) is not _END:
                pending.append(pool.submit(next, items, _END))
                yield cast("T", item)
        finally:
            for future in pending:
                future.cancel()
            if isinstance(items, Generator):
                # A consumer that stops early must not leave the scene open.
                pool.submit(items.close)
