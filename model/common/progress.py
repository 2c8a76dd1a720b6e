"""Progress bars on a terminal."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield items, and show on stderr how many have been taken; nothing is shown where stderr is no terminal."""
    yield from tqdm(items, description, total, leave=False, disable=None)
