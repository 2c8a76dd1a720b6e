"""A browser for the tests of pages: headless Chromium, which fails a test on console errors and on requests.

`tests/conftest.py` has the fixtures `chromium` and `open_page`.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Milliseconds after which a wait of Playwright fails: far more than a busy machine takes.
PATIENCE_MS = 60_000
# Its own 5 s are too few.
expect.set_options(timeout=PATIENCE_MS)


@dataclasses.dataclass
class Visit:
    """What a page has done wrong since it was opened: errors on its console, and requests beside itself."""

    errors: list[str] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)

    def watch(self, page: Page, address: str) -> None:
        """Note the errors and requests of a page from now on; a served page may call its own server."""

        def note_request(request: Request) -> None:
            own, other = urlsplit(address), urlsplit(request.url)
            served = own.scheme == "http" and (own.scheme, own.netloc) == (other.scheme, other.netloc)
            if not (served or request.url == address or other.scheme in ("data", "blob")):
                self.requests.append(request.url)

        def note_message(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.errors.append(message.text)

        page.on("request", note_request)
        page.on("console", note_message)
        page.on("pageerror", lambda error: self.errors.append(str(error)))


class OpenPage(Protocol):
    """The fixture `open_page`."""

    def __call__(self, location: Path | str, *, width: int = 1400, height: int = 900, dark: bool = False) -> Page:
        """Open a file or an address in a window of its own and return the loaded page.

        Args:
            location: a file, or the address of a server of this machine.
            width: of the window, pixels; below 600 it is a telephone with a touch screen.
            height: of the window, pixels.
            dark: whether the reader prefers dark pages.
        """


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium, started once for a module: its event loop must not outlive the module's tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=3 * PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Open pages; at the end of the test none of them may have logged an error or requested anything."""
    visits: list[Visit] = []

    def _open(location: Path | str, *, width: int = 1400, height: int = 900, dark: bool = False) -> Page:
        telephone: dict[str, Any] = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",  # no animations to wait for
            **(telephone if width < 600 else {}),
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        address = location.resolve().as_uri() if isinstance(location, Path) else location
        visits.append(Visit())
        visits[-1].watch(page, address)
        page.goto(address)
        return page

    yield _open
    for context in chromium.contexts:
        context.close()
    assert [visit.errors for visit in visits if visit.errors] == []
    assert [visit.requests for visit in visits if visit.requests] == []
