import os

import pytest

from model.common import logs as quiet


def test_what_native_code_says_is_kept_back(capfd: pytest.CaptureFixture[str]) -> None:
    with logs.hold_stderr():
        os.write(2, b"noise")
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_an_error_brings_it_out(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with logs.hold_stderr():
            os.write(2, b"the reason")
            raise ValueError("fault")

    with pytest.raises(ValueError, match="fault"):
        fail()
    os.write(2, b", and more")
    assert capfd.readouterr().err == "the reason, and more"


def test_what_is_set_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("CPL_LOG_ERRORS", raising=False)
    logs.silence()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert os.environ["CPL_LOG_ERRORS"] == "OFF"
