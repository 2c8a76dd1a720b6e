import importlib
import logging
import os
import sys
import threading

import pytest

from model.common import logs
from model.common.logs import hidden_packages


def test_native_output_is_suppressed(capfd: pytest.CaptureFixture[str]) -> None:
    with logs.hold_stderr():
        os.write(2, b"noise")
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_native_output_is_printed_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with logs.hold_stderr():
            os.write(2, b"the reason")
            raise ValueError("fault")

    with pytest.raises(ValueError, match="fault"):
        fail()
    os.write(2, b", and more")
    assert capfd.readouterr().err == "the reason, and more"


def test_variables_that_are_set_keep_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("CPL_LOG_ERRORS", raising=False)
    logs.silence()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert os.environ["CPL_LOG_ERRORS"] == "OFF"


def test_only_the_warning_of_beam_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    logs.silence()
    logging.warning("Resource module is not available for current platform")
    logging.warning("a real one")
    assert [record.message for record in caplog.records] == ["a real one"]


def test_threads_restore_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    waits = threading.Event()

    def hold() -> None:
        waits.set()
        with logs.hold_stderr():
            os.write(2, b"noise")

    second = threading.Thread(target=hold)
    with logs.hold_stderr():
        second.start()
        waits.wait()
        with logs.hold_stderr():
            os.write(2, b"noise")
    second.join()
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_a_hidden_package_is_missing_in_the_block_alone() -> None:
    with hidden_packages("ftplib", "json"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("ftplib")
    assert importlib.import_module("ftplib").FTP


def test_a_loaded_package_is_hidden_too_and_restored() -> None:
    before = sys.modules["json"]
    with hidden_packages("json"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("json")
    assert sys.modules["json"] is before


def test_an_error_in_the_block_restores_the_package() -> None:
    with pytest.raises(KeyError), hidden_packages("json"):
        raise KeyError
    assert importlib.import_module("json").dumps(1) == "1"
