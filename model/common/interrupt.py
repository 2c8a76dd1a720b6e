"""Ctrl-C, told in one line."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def plain_interrupt() -> Iterator[None]:
    """Makes Ctrl-C in the block end it with KeyboardInterrupt and nothing else; outside of the main thread, nothing.

    Beam turns it into an error of its own and logs it at every step, with hundreds of lines.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()
        logging.disable()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except BaseException:
        if stopped.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        logging.disable(logging.NOTSET)
