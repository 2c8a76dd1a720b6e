import importlib
import sys

import pytest

from model.common.imports import hidden_packages


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
