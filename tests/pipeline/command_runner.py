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
    #: The summary of the last run by name; empty if it had none.
    summary: dict[str, str] = dataclasses.field(default_factory=dict)
    #: The files and tables that it names.
    written: list[str] = dataclasses.field(default_factory=list)

    def run(self, *args: str, inputs: tuple[str, ...] = ("a.tif",), output: str = "x.geojson") -> tuple[int, list[str]]:
        """Run the command; return its exit status and the lines on stderr, without the summary, which is kept."""
        input_args = [arg for pattern in inputs for arg in ("--input", pattern)]
        base = [*input_args, "--output", output, "--config", "settings.yaml", "--model", str(self.model)]
        status = run.main([*base, *args])
        captured = self.capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.splitlines()
        start = next((number for number, line in enumerate(lines) if line.startswith("airplanes  ")), len(lines))
        facts = [(line[:11].strip(), line[11:]) for line in lines[start:]]
        self.summary = {name: text for name, text in facts if name}
        self.written = [text for name, text in facts if name in ("written", "")]
        return status, lines[:start]

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
