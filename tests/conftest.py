"""What all tests share."""

from hypothesis import settings

from tests.browser import chromium, open_page

__all__ = ["chromium", "open_page"]

# The same examples in every run, and no example judged by the clock of a busy machine.
settings.register_profile("project", derandomize=True, deadline=None)
settings.load_profile("project")
