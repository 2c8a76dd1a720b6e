"""The command as a user has it, in a folder of its own."""

import dataclasses
from pathlib import Path

import pytest

from pipeline import run
from pipeline.ledger import Ledger, SceneEntry, read_ledger


@dataclasses.dataclass
class Desk:
    """A working directory with a good scene `a.tif`, settings and a model, and the command that uses them."""

    folder: Path
    model: Path
    capsys: pytest.CaptureFixture[str]

    def run(
        self, *words: str, inputs: tuple[str, ...] = ("a.tif",), output: str = "x.geojson"
    ) -> tuple[int, list[str]]:
        """The exit status and the lines on stderr."""
        given = [word for pattern in inputs for word in ("--input", pattern)]
        base = [*given, "--output", output, "--config", "settings.yaml", "--model", str(self.model)]
        status = run.main([*base, *words])
        captured = self.capsys.readouterr()
        assert captured.out == ""
        return status, captured.err.splitlines()

    def refused(self, *words: str, **given: object) -> str:
        """The one line with which the command is refused, before anything was written."""
        before = sorted(self.folder.rglob("*"))
        status, lines = self.run(*words, **given)  # type: ignore[arg-type]
        assert status == 2
        assert sorted(self.folder.rglob("*")) == before
        (line,) = lines
        assert line.startswith("error: ")
        return line

    def ledger(self, name: str = "x.geojson.ledger.json") -> Ledger:
        return read_ledger(self.folder / name)

    def entry(self, uri: str) -> SceneEntry:
        (entry,) = [entry for entry in self.ledger().scenes if entry.scene_uri == uri]
        return entry
