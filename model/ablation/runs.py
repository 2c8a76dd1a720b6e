"""Goes up the ladder: every step of every rung in a process of its own, and what is done already is not done again."""

import time
from pathlib import Path

import yaml

from geo.errors import ConfigError, FinderError
from model.ablation import summary
from model.ablation.config import RENDERED, LadderConfig, RungConfig, trainings
from model.ablation.steps import Command, Step, folder, module, steps
from model.common import process
from model.common.atomic import write_atomically
from model.common.config import read_yaml

# In the folder of a rung's training: the settings with which it began.
_SETTINGS = "settings.yaml"
# Of a rung's file, what the ladder or the command says in its place.
_FREE = ("run", "seed", "data")
# So many lines of a log are shown where a step fails.
_LINES = 12


class StepError(FinderError, RuntimeError):
    """A training or an evaluation that failed."""


def climb(config: LadderConfig, rungs: tuple[RungConfig, ...], command: Command = module) -> None:
    """Does what is left to do, in the ladder's order; the summary in its folder follows.

    Args:
        config: the ladder.
        rungs: those of it that are wanted.
        command: what a step is.

    Raises:
        ConfigError: a rung's file is not there or damaged, or another than that with which its training began.
        StepError: a step failed.
    """
    with process.lock_folder(config.run) as lock:
        summary.write(config, trainings(config))
        for rung in rungs:
            for seed in rung.seeds:
                known = trainings(config)  # as they are when it is their turn, for training reads them then
                _measure(config, rung, seed, steps(config, rung, seed, known[rung.name], command), lock)
                summary.write(config, known)


def _measure(config: LadderConfig, rung: RungConfig, seed: int, todo: list[Step], lock: int) -> None:
    """Trains and measures one model."""
    own = folder(config, rung, seed)
    own.mkdir(parents=True, exist_ok=True)
    _keep_settings(own, rung)
    _share_rendered(own, config)
    for step in todo:
        _do(step, f"{rung.name}, seed {seed}: {step.name}", lock)


def _do(step: Step, title: str, lock: int) -> None:
    """Does a step, if there is anything to do.

    Raises:
        StepError: it failed.
    """
    if step.is_done():
        print(f"{title}: done before", flush=True)
        return
    for file in step.outdated:
        file.unlink(missing_ok=True)
    print(f"{title}: {step.log}", flush=True)
    began = time.monotonic()
    status = _run(step, lock)
    if status or not step.is_done():
        why = process.failure_reason(status, step.log) if status else "it ended without what it was to make"
        raise StepError(f"{title} failed: {why}; its last words in {step.log}:\n{_last_words(step.log)}")
    print(f"{title}: done, {time.monotonic() - began:.0f} s", flush=True)


def _run(step: Step, lock: int) -> int:
    started = process.start(step.command, step.log, lock)
    try:
        return started.wait()
    finally:
        process.stop(started)


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:])


def _keep_settings(own: Path, rung: RungConfig) -> None:
    """Notes the settings of a training, and refuses to go on with others: figures would be those of another rung.

    Raises:
        ConfigError: the rung's file has changed since the training began.
    """
    file = own / _SETTINGS
    now = {key: value for key, value in read_yaml(rung.config).items() if key not in _FREE}
    if not file.is_file():
        write_atomically(file, yaml.safe_dump(now, sort_keys=False))
    before = read_yaml(file)
    other = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
    if other:
        raise ConfigError(
            f"{rung.config}: expected the settings with which {own} began, got other {', '.join(other)}: put them "
            "back, or remove that folder to train anew"
        )


def _share_rendered(own: Path, config: LadderConfig) -> None:
    """Lets the evaluations of all models use the same drawn scenes, which they look for beside their figures."""
    shared = config.run / RENDERED
    shared.mkdir(exist_ok=True)
    link = own / RENDERED
    if not link.exists():
        link.symlink_to(shared.resolve(), target_is_directory=True)
