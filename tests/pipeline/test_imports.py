"""Beam is imported by the transforms and the job alone; steps and local runs work without it."""

import ast
from pathlib import Path

import pipeline

ROOM = Path(pipeline.__file__).parent
BEAM = {"dataflow.py", "job.py", "sinks/transforms.py", "transforms.py"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and the names that it imports from them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_beam_is_imported_by_few_modules() -> None:
    files = {str(path.relative_to(ROOM)): imported(path) for path in ROOM.rglob("*.py")}
    assert {
        name for name, names in files.items() if "apache_beam" in {module.split(".")[0] for module in names}
    } == BEAM


def test_lower_modules_do_not_import_their_users() -> None:
    users = {
        "pipeline.local",
        "pipeline.transforms",
        "pipeline.job",
        "pipeline.run",
        "pipeline.command",
        "pipeline.api",
    }
    for name in ("records", "ledger", "config", "values", "planning", "steps", "sources/resolve"):
        assert not imported(ROOM / f"{name}.py") & users
