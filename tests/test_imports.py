"""Who may import whom: geo <- model <- pipeline, and the order of the packages inside of each room."""

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("geo", "model", "pipeline")
FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# Each package may import from those before it, and from its own rank.
MODEL_RANKS = (
    ("common",),
    ("detectors",),
    ("synthetic",),
    ("data",),
    ("inference",),
    ("evaluation",),
    ("training", "export", "datagen"),
    ("tuning", "ablation"),
)
PIPELINE_RANKS = (
    ("config", "records", "values"),
    ("planning",),
    ("ledger",),
    ("steps",),
    ("local", "transforms"),
    ("run", "serve", "monitor"),
)


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """Return the full names of the modules, and of their names, that a file imports anywhere."""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return names


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def breaches(path: Path, imported: set[str]) -> list[str]:
    """List the imports of a file that break a rule."""
    own = name_of(path)
    return [f"{own} imports {name}" for name in sorted(imported) if any(rule(own, name) for rule in RULES)]


def _room_against_the_stream(own: str, name: str) -> bool:
    room, other = own.split(".")[0], name.split(".")[0]
    return other in ROOMS and ROOMS.index(other) > ROOMS.index(room)


def _tests_from_the_product(own: str, name: str) -> bool:
    return is_within(name, "tests")


def _rasterio_outside_of_its_package(own: str, name: str) -> bool:
    allowed = ("geo.raster", "geo.aoi", "geo.gcp", "geo.rpc")
    return is_within(name, "rasterio") and not any(is_within(own, module) for module in allowed)


def _files_in_the_core_of_geo(own: str, name: str) -> bool:
    return is_within(own, "geo") and not is_within(own, "geo.raster") and is_within(name, "geo.raster")


def _learning_or_beam_in_geo(own: str, name: str) -> bool:
    return is_within(own, "geo") and name.split(".")[0] in ("tensorflow", "keras", "apache_beam")


def _beam_in_model(own: str, name: str) -> bool:
    return is_within(own, "model") and not is_within(own, "model.datagen") and is_within(name, "apache_beam")


def rank_in(room: str, ranks: tuple[tuple[str, ...], ...], name: str) -> int | None:
    for rank, modules in enumerate(ranks):
        if any(is_within(name, f"{room}.{module}") for module in modules):
            return rank
    return None


def _against_the_stream(room: str, ranks: tuple[tuple[str, ...], ...], own: str, name: str) -> bool:
    rank, other = rank_in(room, ranks, own), rank_in(room, ranks, name)
    return rank is not None and other is not None and other > rank


def _model_against_the_stream(own: str, name: str) -> bool:
    return _against_the_stream("model", MODEL_RANKS, own, name)


def _command_from_a_package_of_model(own: str, name: str) -> bool:
    if rank_in("model", MODEL_RANKS, own) is None or not is_within(name, "model"):
        return False
    parts = name.split(".")
    return len(parts) > 1 and rank_in("model", MODEL_RANKS, name) is None


def _sideways_between_commands(own: str, name: str) -> bool:
    """Packages of one rank do not know each other."""
    rank, other = rank_in("model", MODEL_RANKS, own), rank_in("model", MODEL_RANKS, name)
    return rank is not None and rank == other and own.split(".")[1] != name.split(".")[1]


def _pipeline_against_the_stream(own: str, name: str) -> bool:
    return _against_the_stream("pipeline", PIPELINE_RANKS, own, name)


RULES = (
    _room_against_the_stream,
    _tests_from_the_product,
    _rasterio_outside_of_its_package,
    _files_in_the_core_of_geo,
    _learning_or_beam_in_geo,
    _beam_in_model,
    _model_against_the_stream,
    _command_from_a_package_of_model,
    _sideways_between_commands,
    _pipeline_against_the_stream,
)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_stream(path: Path) -> None:
    assert breaches(path, imports_of(path)) == []


@pytest.mark.parametrize(
    ("path", "imported"),
    [
        ("geo/grid.py", "model.inference.predictor"),
        ("geo/grid.py", "pipeline"),
        ("model/inference/scan.py", "pipeline.records"),
        ("model/inference/scan.py", "tests.geo"),
        ("geo/grid.py", "rasterio.windows"),
        ("pipeline/steps.py", "rasterio"),
        ("model/synthetic/scene.py", "rasterio"),
        ("geo/boxes.py", "tensorflow"),
        ("geo/boxes.py", "keras.ops"),
        ("geo/boxes.py", "apache_beam"),
        ("model/train.py", "apache_beam"),
        ("geo/raster/reader.py", "model.synthetic.scene"),
        ("geo/grid.py", "geo.raster.reader"),
        ("model/detectors/registry.py", "model.inference.predictor"),
        ("model/training/detector.py", "model.evaluate"),
        ("model/tuning/study.py", "model.ablation.runs"),
        ("pipeline/records.py", "pipeline.steps"),
        ("pipeline/steps.py", "pipeline.transforms"),
        ("pipeline/local.py", "pipeline.run"),
        ("pipeline/transforms.py", "pipeline.serve.app"),
    ],
)
def test_the_rules_catch_what_they_are_for(path: str, imported: str) -> None:
    assert len(breaches(Path(path), {imported})) == 1


@pytest.mark.parametrize(
    ("path", "imported"),
    [
        ("model/inference/scan.py", "geo.grid"),
        ("geo/raster/reader.py", "rasterio.enums"),
        ("model/synthetic/scene.py", "geo.raster.reader"),
        ("model/ablation/runs.py", "model.training.config"),
        ("model/datagen/job.py", "apache_beam"),
        ("pipeline/steps.py", "pipeline.records"),
        ("pipeline/run.py", "pipeline.local"),
        ("geo/grid.py", "rasterization"),
    ],
)
def test_the_rules_allow_what_is_meant(path: str, imported: str) -> None:
    assert breaches(Path(path), {imported}) == []


def test_every_way_to_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "geo").mkdir()
    (tmp_path / "geo" / "some.py").write_text(
        "import a.b as c\nfrom d import e\nfrom . import f\nfrom .g import h\ndef late():\n    import i\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert imports_of(Path("geo/some.py")) == {"a.b", "d", "d.e", "geo", "geo.f", "geo.g", "geo.g.h", "i"}


def test_no_two_modules_of_geo_import_each_other() -> None:
    core = [path for path in FILES if path.parts[0] == "geo"]
    needs = {name_of(path): imports_of(path) for path in core}
    reached = {own: {other for other in needs if other != own and other in names} for own, names in needs.items()}
    for _ in needs:
        reached = {own: others.union(*(reached[other] for other in others)) for own, others in reached.items()}
    circles = [(a, b) for a, b in itertools.combinations(reached, 2) if a in reached[b] and b in reached[a]]
    assert circles == []


def test_geo_works_without_tensorflow_and_beam() -> None:
    modules = [name_of(path) for path in FILES if path.parts[0] == "geo" and path.name != "__main__.py"]
    program = (
        "import importlib, sys\n"
        "for name in ('tensorflow', 'keras', 'apache_beam'): sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Modules of the pipeline that import Beam.
BEAM = {"pipeline/dataflow.py", "pipeline/job.py", "pipeline/sinks/transforms.py", "pipeline/transforms.py"}


def test_beam_is_imported_by_few_modules_of_the_pipeline() -> None:
    own = [path for path in FILES if path.parts[0] == "pipeline"]
    assert {str(path) for path in own if any(is_within(name, "apache_beam") for name in imports_of(path))} == BEAM


def test_lower_modules_of_the_pipeline_do_not_import_their_users() -> None:
    users = {f"pipeline.{name}" for name in ("local", "transforms", "job", "run", "command", "api")}
    for name in ("records", "ledger", "config", "values", "planning", "steps", "sources/resolve"):
        assert not imports_of(Path(f"pipeline/{name}.py")) & users
