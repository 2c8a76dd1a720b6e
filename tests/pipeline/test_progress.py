import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline import progress
from pipeline.progress import Counts


class Terminal(io.StringIO):
    """A terminal that says when a text was written on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.text in text:
            self.written.set()
        return super().write(text)


@pytest.mark.parametrize(
    ("counts", "seconds", "expected"),
    [
        (Counts(), 0.0, "scenes 0/0  tiles 0/0  airplanes 0  0.0 Mpx/s"),
        (
            Counts(scenes=2, scenes_done=1, parts=30, parts_done=10, airplanes=7, pixels=20_000_000),
            40.0,
            "scenes 1/2  tiles 10/30  airplanes 7  0.5 Mpx/s  1:20 left",
        ),
        (Counts(1, 1, 4, 4, 3, 4_000_000), 2.0, "scenes 1/1  tiles 4/4  airplanes 3  2.0 Mpx/s"),
    ],
)
def test_the_progress_line(counts: Counts, seconds: float, expected: str) -> None:
    assert progress.line(counts, seconds) == expected


def test_counting_is_thread_safe() -> None:
    progress.reset()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: progress.add(parts=1, pixels=3), range(500)))
    assert progress.counts() == Counts(parts=500, pixels=1500)
    progress.reset()
    assert progress.counts() == Counts()


def test_the_line_is_shown_on_a_terminal_and_erased_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PERIOD_S", 0.001)
    terminal = Terminal("tiles 0/3")
    progress.add(parts=99)
    with progress.Display(terminal):
        progress.add(parts=3)
        assert terminal.written.wait(timeout=60)
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_nothing_is_shown_in_a_file() -> None:
    file = io.StringIO()
    with progress.Display(file):
        progress.add(parts=3)
    assert file.getvalue() == ""
