"""Beam stays where it belongs: the steps, and all that one process runs, do without it."""

import ast
from pathlib import Path

import pipeline

ROOM = Path(pipeline.__file__).parent
BEAM = {"command.py", "job.py", "sinks/transforms.py", "transforms.py"}


def imported(path: Path) -> set[str]:
    """The top-level packages and the modules of the project that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_beam_is_imported_in_few_places() -> None:
    files = {str(path.relative_to(ROOM)): imported(path) for path in ROOM.rglob("*.py")}
    assert {name for name, names in files.items() if any(one.split(".")[0] == "apache_beam" for one in names)} == BEAM


def test_values_and_steps_do_not_know_who_uses_them() -> None:
    users = {
        "pipeline.local",
        "pipeline.transforms",
        "pipeline.job",
        "pipeline.run",
        "pipeline.command",
        "pipeline.api",
    }
    for name in ("records", "ledger", "config", "values", "planning", "steps", "sources/resolve", "prefetch"):
        assert not imported(ROOM / f"{name}.py") & users
