"""The job as a Dataflow Flex Template: its metadata, made from the command line's own options, and its launcher.

`make template` writes the metadata: `python -m pipeline.flex_template > docker/template/metadata.json`. With `--image`
the command prints the whole template spec, which is uploaded to a bucket and then run: docs/deploying.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from geo.errors import CommandError
from model.common.command import Parser, command
from pipeline import run
from pipeline.command import make_parser

#: Options that need the machine on which the command is typed: its terminal, its folders, its wait for the job.
NOT_IN_TEMPLATE = frozenset({"help", "mosaic", "plan", "report", "work_dir"})

#: Beam's options that are parameters; machine types, limits and the network belong to the job's environment.
_IMAGE = {
    "name": "sdk_container_image",
    "label": "sdk_container_image",
    "helpText": "image of the workers, built from docker/Dockerfile (target cpu or gpu)",
    "isOptional": False,
    "regexes": [r"^\S+$"],
    "paramType": "TEXT",
}

_NUMBER = r"\d+(\.\d+)?"
_FLAG = ("BOOLEAN", "^(true|false)$")
#: Type of each parameter, and what its whole value must match. Several values are separated by spaces.
_CHECKS: dict[str, tuple[str, str]] = {
    "input": ("TEXT", r"^(gs|https?)://\S+( +(gs|https?)://\S+)*$"),
    "output": ("TEXT", r"^(gs|bq)://\S+( +(gs|bq)://\S+)*$"),
    "config": ("TEXT", r"^\S+\.ya?ml$"),
    "model": ("TEXT", r"^\S+$"),
    "trust_model": _FLAG,
    "min_score": ("NUMBER", r"^(0(\.\d+)?|1(\.0+)?)$"),
    "aoi": ("TEXT", r"^\S+$"),
    "force": _FLAG,
    "gpu": ("TEXT", r"^[a-z0-9-]+$"),
    "max_cost": ("NUMBER", f"^{_NUMBER}$"),
}


def make_metadata() -> dict[str, Any]:
    """Return the metadata of the template, as JSON's plain values: one parameter for each option of the command."""
    parser = make_parser()
    parameters = [_parameter(action) for action in _template_options(parser).values()]
    return {
        "name": "airplane-finder",
        "description": parser.description,
        "parameters": [*parameters, _IMAGE],
    }


def make_spec(image: str) -> dict[str, Any]:
    """Return the template spec.

    Args:
        image: image of the launcher, built from docker/Dockerfile (target template).
    """
    return {"image": image, "sdkInfo": {"language": "PYTHON"}, "metadata": make_metadata()}


def command_words(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of `pipeline.run` for the parameters with which the service starts the launcher.

    Args:
        words: `--name=value` each; names as in the metadata; others are Beam's, and pass unchanged.

    Raises:
        CommandError: a flag is neither true nor false.
    """
    options = _template_options(make_parser())
    for word in words:
        name, _, value = word.partition("=")
        action = options.get(name.removeprefix("--"))
        if action is None:
            yield word
        elif action.nargs == 0:
            if value not in ("true", "false"):
                raise CommandError(f"{name}: expected true or false, got '{value}': see the template's metadata")
            yield from action.option_strings if value == "true" else ()
        else:
            values = value.split() if isinstance(action, argparse._AppendAction) else [value]
            yield from (f"{action.option_strings[0]}={value}" for value in values)


@command("error")
def launch(arguments: Sequence[str] | None = None) -> int:
    """Stage the job in the launcher's container, and return the exit status."""
    return run.main(list(command_words(sys.argv[1:] if arguments is None else arguments)))


def _template_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions if action.dest not in NOT_IN_TEMPLATE}


def _parameter(action: argparse.Action) -> dict[str, Any]:
    if action.dest not in _CHECKS:
        raise CommandError(
            f"{action.option_strings[0]}: expected its check for the Flex Template, got none: add it to _CHECKS, or the"
            " option to NOT_IN_TEMPLATE"
        )
    kind, pattern = _CHECKS[action.dest]
    several = "; several are separated by spaces" if isinstance(action, argparse._AppendAction) else ""
    return {
        "name": action.dest,
        "label": action.dest,
        "helpText": f"{(action.help or '').removesuffix('; repeatable')}{several}",
        "isOptional": not action.required,
        "regexes": [pattern],
        "paramType": kind,
    }


@command("pipeline.flex_template")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the metadata, or the spec, and return the exit status."""
    parser = Parser(prog="python -m pipeline.flex_template", description="Prints the Flex Template's metadata as JSON.")
    parser.add_argument("--image", help="image of the launcher: print the whole template spec")
    image = parser.parse_args(arguments).image
    print(json.dumps(make_spec(image) if image else make_metadata(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
