"""docker/ as far as it can be checked without a container engine."""

import dataclasses
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.devtools import cloudbuild_v1
from google.protobuf import json_format

FOLDER = Path("docker")
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
CUDA = re.compile(r"nvidia-[a-z]+(-[a-z]+)*-cu12$")
SECRET = re.compile(r"AIza|BEGIN [A-Z ]*PRIVATE KEY|password|token|client_secret|_authToken", re.IGNORECASE)
INSTRUCTIONS = {"ARG", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "WORKDIR"}


@dataclasses.dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.split()


def read_instructions(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, with continued lines joined, without comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [Instruction(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def read_versions(path: Path) -> dict[str, set[str]]:
    """The versions that a lock file pins, by package: more than one where they depend on the platform."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ \\;]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


INSTRUCTIONS_READ = read_instructions(DOCKERFILE)
LOCK = read_versions(Path("requirements.lock"))
IMAGE_LOCKS = {hardware: read_versions(FOLDER / f"{hardware}.lock") for hardware in ("cpu", "gpu")}


def stages() -> dict[str, str]:
    """The image that each stage is built on."""
    bases = {}
    for instruction in INSTRUCTIONS_READ:
        if instruction.name == "FROM":
            base, keyword, stage = instruction.words
            assert keyword == "AS"
            bases[stage] = base
    return bases


def test_only_known_instructions_are_used() -> None:
    assert {instruction.name for instruction in INSTRUCTIONS_READ} == INSTRUCTIONS


def test_every_base_has_a_fixed_tag() -> None:
    bases = stages()
    for base in bases.values():
        assert base in bases or re.fullmatch(r"[a-z0-9./_-]+:(?!latest)[A-Za-z0-9._-]+", base), base


def test_python_and_beam_are_those_of_the_lock() -> None:
    bases = stages()
    (beam,) = LOCK["apache-beam"]
    assert bases["beam"] == f"apache/beam_python3.11_sdk:{beam}"
    assert bases["worker"].startswith("python:3.11-")
    assert "python311-" in bases["launcher"]
    assert "--python-version 3.11" in Path("Makefile").read_text(encoding="utf-8")


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    ignored = Path(".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    copied = []
    for instruction in INSTRUCTIONS_READ:
        if instruction.name == "COPY" and not instruction.text.startswith("--from="):
            for hardware in IMAGE_LOCKS:
                copied += [source.replace("${HARDWARE}", hardware) for source in instruction.words[:-1]]
    assert "docker/gpu.lock" in copied
    for source in copied:
        assert Path(source).exists(), source
        assert f"!{source.partition('/')[0]}" in ignored, source


def test_all_of_the_project_is_in_the_image() -> None:
    copied = {word for step in INSTRUCTIONS_READ if step.name == "COPY" for word in step.words[:-1]}
    assert {"geo", "model", "pipeline", "configs", "setup.py"} <= copied


def test_stages_copy_from_stages_that_exist() -> None:
    sources = re.findall(r"--from=(\S+)", DOCKERFILE)
    assert sources == ["beam", "launcher"]
    assert set(sources) <= set(stages())


def test_the_images_start_what_the_service_expects() -> None:
    starts = [step.text for step in INSTRUCTIONS_READ if step.name == "ENTRYPOINT"]
    assert starts == ['["/opt/apache/beam/boot"]', '["/opt/google/dataflow/python_template_launcher"]']


def test_installing_checks_hashes() -> None:
    installs = [
        command
        for step in INSTRUCTIONS_READ
        if step.name == "RUN"
        for command in step.text.split("&&")
        if "pip install" in command and "--editable ." not in command
    ]
    assert len(installs) == 2
    assert all("--require-hashes" in command and "--no-deps" in command for command in installs)


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_an_image_installs_the_versions_of_the_lock(hardware: str) -> None:
    own = {name for name in IMAGE_LOCKS[hardware] if CUDA.match(name)}
    assert bool(own) == (hardware == "gpu")
    for name in IMAGE_LOCKS[hardware].keys() - own:
        assert IMAGE_LOCKS[hardware][name] <= LOCK[name], name
        assert len(IMAGE_LOCKS[hardware][name]) == 1, name


def test_each_image_has_one_tensorflow() -> None:
    kinds = ("tensorflow", "tensorflow-cpu")
    assert [name for name in kinds if name in IMAGE_LOCKS["cpu"]] == ["tensorflow-cpu"]
    assert [name for name in kinds if name in IMAGE_LOCKS["gpu"]] == ["tensorflow"]
    rest = [IMAGE_LOCKS[hardware].keys() - {*kinds} for hardware in ("cpu", "gpu")]
    assert {name for name in rest[1] - rest[0] if not CUDA.match(name)} == set()
    assert rest[0] <= rest[1]


def test_every_requirement_of_the_project_is_in_the_images() -> None:
    (listed,) = re.findall(
        r"^RUNTIME = \[(.*?)^\]", Path("setup.py").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    names = {name.lower() for name in re.findall(r'^    "([A-Za-z0-9_-]+)', listed, re.MULTILINE)}
    assert len(names) > 20
    for hardware, tensorflow in (("cpu", "tensorflow"), ("gpu", "tensorflow-cpu")):
        assert names - {tensorflow} <= IMAGE_LOCKS[hardware].keys()


def test_the_build_is_what_the_service_takes() -> None:
    content: dict[str, Any] = yaml.safe_load((FOLDER / "cloudbuild.yaml").read_text(encoding="utf-8"))
    build = cloudbuild_v1.Build(json_format.ParseDict(content, cloudbuild_v1.Build.pb(cloudbuild_v1.Build())))
    (step,) = build.steps
    arguments = list(step.args)
    assert arguments[arguments.index("--target") + 1] == "${_TARGET}"
    assert build.substitutions["_TARGET"] in stages()
    assert build.substitutions["_HARDWARE"] in IMAGE_LOCKS
    assert "ARG HARDWARE=" in DOCKERFILE
    assert list(build.images) == ["${_IMAGE}"]
    assert build.options.machine_type.name == "E2_HIGHCPU_8"


def test_no_file_holds_a_secret_or_the_host_of_an_index() -> None:
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file() and not fnmatch(path.name, "*.pyc")):
        text = path.read_text(encoding="utf-8")
        assert not SECRET.search(text), path
        assert "index-url" not in text or path.suffix != ".lock", path
    for hardware in IMAGE_LOCKS:
        assert "://" not in (FOLDER / f"{hardware}.lock").read_text(encoding="utf-8")


def test_a_dockerfile_is_read_as_docker_reads_it() -> None:
    text = "# c\nFROM a:1 AS b\nRUN x \\\n  # why\n  && y\nCOPY c d\n"
    assert [(step.name, step.words) for step in read_instructions(text)] == [
        ("FROM", ["a:1", "AS", "b"]),
        ("RUN", ["x", "&&", "y"]),
        ("COPY", ["c", "d"]),
    ]
