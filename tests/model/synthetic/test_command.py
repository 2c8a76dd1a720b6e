import json
from pathlib import Path

import pytest

from model.synthetic.__main__ import main


def test_command_writes_scene_and_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "x.tif"
    assert main(["--size", "700", "--seed", "3", "--resolution", "0.5", "--output", str(output)]) == 0
    features = json.loads((tmp_path / "x.truth.geojson").read_text())["features"]
    assert f"{len(features)} airplanes" in capsys.readouterr().out
    assert output.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", "10", "--output", "x.tif"], "size"),
        (["--size", "many", "--output", "x.tif"], "many"),
        (["--seed", "-4", "--output", "x.tif"], "seed"),
        (["--resolution", "99", "--output", "x.tif"], "resolution"),
        (["--output", "x.png"], ".tif"),
        (["--colour", "red", "--output", "x.tif"], "--colour"),
        ([], "--output"),
    ],
)
def test_invalid_arguments_exit_2_with_one_line(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status: object = main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert expected in error
    assert not list(tmp_path.iterdir())


def test_unwritable_output_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--size", "64", "--output", str(tmp_path / "file" / "x.tif")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
