"""How a trial does: the values of its metric, epoch by epoch, out of a table that the training keeps."""

import csv
from pathlib import Path

from geo.errors import ConfigError
from model.tuning.config import MetricConfig


def read(run: Path, config: MetricConfig) -> dict[int, float]:
    """Reads what a run says so far; a line that is still being written is left for later.

    Args:
        run: the run's folder, which need not be there yet.
        config: which table, column and set.

    Returns:
        The metric by epoch, in the order of the table.

    Raises:
        ConfigError: the table has no such column, or lines of several sets of which none is named, or no number.
    """
    table = run / f"{config.table}.csv"
    if not table.is_file():
        return {}
    ended = table.read_bytes().rpartition(b"\n")[0]
    lines = csv.DictReader(ended.decode().splitlines())
    names = list(lines.fieldnames or ())
    if names:
        _check_columns(table.name, names, config)
    return {
        int(line["epoch"]): _number(line[config.column], table, config.column)
        for line in lines
        if config.set is None or line["set"] == config.set
    }


def name(config: MetricConfig) -> str:
    """The metric in words."""
    return f"{config.column} of {config.set}" if config.set else config.column


def _check_columns(table: str, names: list[str], config: MetricConfig) -> None:
    if config.column not in names:
        raise ConfigError(f"metric.column: expected one of {table} ({', '.join(names)}), got {config.column}")
    if config.set is None and "set" in names:
        raise ConfigError(f"metric.set: expected one of the sets of {table}, got none: name one, or together")
    if config.set is not None and "set" not in names:
        raise ConfigError(f"metric.set: expected none, since {table} has lines of no sets, got {config.set}")


def _number(text: str, table: Path, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"metric.column: expected numbers in {column} of {table.name}, got {text!r}") from None
