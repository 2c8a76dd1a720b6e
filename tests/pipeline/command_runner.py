"""`python -m pipeline.run`, called in the test's own folder."""

import dataclasses
from pathlib import Path

import pytest

from pipeline import run
from pipeline.ledger import Ledger, SceneEntry, read_ledger


@dataclasses.dataclass
class CommandRunner:
    """A working directory with a valid scene `a.tif`, `settings.yaml` and a model, and the command that uses them."""

    folder: Path
    model: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *args: str, inputs: tuple[str, ...] = ("a.tif",), output: str = "x.geojson") -> tuple[int, list[str]]:
        """Run the command; return its exit status and the lines on stderr."""
        input_args = [arg for pattern in inputs for arg in ("--input", pattern)]
        base = [*input_args, "--output", output, "--config", "settings.yaml", "--model", str(self.model)]
        status = run.main([*base, *args])
        captured = self.capsys.readouterr()
        assert captured.out == ""
        return status, captured.err.splitlines()

    def usage_error(self, *args: str, **kwargs: object) -> str:
        """Run the command, check that it ends with status 2 and writes nothing; return its line on stderr."""
        before = sorted(self.folder.rglob("*"))
        status, lines = self.run(*args, **kwargs)  # type: ignore[arg-type]
        assert status == 2
        assert sorted(self.folder.rglob("*")) == before
        (line,) = lines
        assert line.startswith("error: ")
        return line

    def ledger(self, name: str = "x.geojson.ledger.json") -> Ledger:
        """Read a ledger in the folder."""
        return read_ledger(self.folder / name)

    def entry(self, uri: str) -> SceneEntry:
        """Return the ledger's entry of a scene."""
        (entry,) = [entry for entry in self.ledger().scenes if entry.scene_uri == uri]
        return entry
