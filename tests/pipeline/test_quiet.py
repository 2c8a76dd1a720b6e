import logging

import pytest

from pipeline import quiet


def test_other_warnings_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    logs.silence()
    logging.warning("Resource module is not available for current platform")
    logging.warning("a real one")
    assert [record.message for record in caplog.records] == ["a real one"]
