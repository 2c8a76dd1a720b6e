import pytest

from tests.pipeline.report.factories import FakeReader


@pytest.fixture(autouse=True)
def _scenes_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.pixels.RasterReader", FakeReader)
