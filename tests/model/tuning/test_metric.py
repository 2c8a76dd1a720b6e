from pathlib import Path
from typing import Literal

import pytest

from geo.errors import ConfigError
from model.tuning import metric
from model.tuning.config import MetricConfig

VAL = "epoch,set,ap50,ap75\n1,one,0.2,\n1,together,0.4,0.3\n3,one,0.6,\n3,together,0.5,0.4\n"
LOG = "epoch,crops,loss\r\n0,10,3.5\r\n1,20,nan\r\n2,30,1e-3\r\n"


def of(table: Literal["log", "val"], column: str, some: str | None = None) -> MetricConfig:
    return MetricConfig(table, column, "maximize", some)


def written(folder: Path, log: str = LOG, val: str = VAL) -> Path:
    (folder / "log.csv").write_bytes(log.encode())
    (folder / "val.csv").write_bytes(val.encode())
    return folder


def test_values_come_by_epoch_of_the_table_column_and_set_that_are_named(tmp_path: Path) -> None:
    run = written(tmp_path)
    assert metric.read(run, of("val", "ap50", "one")) == {1: 0.2, 3: 0.6}
    assert metric.read(run, of("val", "ap50", "together")) == {1: 0.4, 3: 0.5}
    assert metric.read(run, of("val", "ap50", "none")) == {}
    values = metric.read(run, of("log", "loss"))
    assert [*values] == [0, 1, 2]
    assert (values[0], values[2]) == (3.5, 0.001)
    assert values[1] != values[1]


def test_a_table_is_read_line_by_line_as_it_grows(tmp_path: Path) -> None:
    whole = metric.read(written(tmp_path), of("log", "crops"))
    for end in range(len(LOG) + 1):
        lines = LOG[:end].count("\n")
        assert metric.read(written(tmp_path, LOG[:end]), of("log", "crops")) == dict(
            list(whole.items())[: lines - 1] if lines else []
        )


def test_a_run_that_has_said_nothing_has_no_values(tmp_path: Path) -> None:
    assert metric.read(tmp_path / "not yet", of("log", "loss")) == {}
    assert metric.read(written(tmp_path, log=""), of("log", "loss")) == {}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (of("log", "ap50"), r"metric.column: expected one of log.csv \(epoch, crops, loss\), got ap50"),
        (of("val", "ap50"), "metric.set: expected one of the sets of val.csv, got none"),
        (of("log", "loss", "one"), "metric.set: expected none, since log.csv has lines of no sets, got one"),
        (of("val", "ap75", "one"), "metric.column: expected numbers in ap75 of val.csv, got ''"),
    ],
)
def test_what_is_not_in_the_table_is_named(tmp_path: Path, config: MetricConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        metric.read(written(tmp_path), config)


def test_a_metric_has_a_name() -> None:
    assert metric.name(of("log", "loss")) == "loss"
    assert metric.name(of("val", "ap50", "together")) == "ap50 of together"
