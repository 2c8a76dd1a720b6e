import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from geo.errors import ConfigError
from model.common import process

# Says that it is there, and then does nothing for as long as it is let.
STAYS = (
    "import sys, signal; signal.alarm(60); print('there', flush=True); open(sys.argv[1], 'w').close(); signal.pause()"
)
# The same, and does not heed the first word.
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAYS}"


def started(folder: Path, lock: int) -> subprocess.Popen[bytes]:
    """A training that is under way."""
    gate = folder / "gate"
    os.mkfifo(gate)
    running = process.start([sys.executable, "-c", STAYS, str(gate)], folder / process.OUTPUT, lock)
    gate.open().close()
    return running


def is_free(study: Path) -> bool:
    with (study / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_who_is_let_go_of_ends(tmp_path: Path) -> None:
    with process.lock_folder(tmp_path) as lock:
        running = started(tmp_path, lock)
        process.stop(running)
    assert running.returncode == 128 + signal.SIGTERM
    assert (tmp_path / process.OUTPUT).read_text() == "there\n"
    process.stop(running)  # again does no harm


def test_who_does_not_listen_is_made_to_end(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = f"from model.tuning import leash; print(process.run_on_leash({[sys.executable, '-c', STUBBORN, str(gate)]}, 0.01))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        gate.open().close()
        said, _ = running.communicate()
    assert said.split() == ["there", str(128 + signal.SIGKILL)]


def test_a_study_is_in_use_until_its_last_training_has_ended(tmp_path: Path) -> None:
    with process.lock_folder(tmp_path) as lock:
        assert not is_free(tmp_path)
        running = started(tmp_path, lock)
    assert not is_free(tmp_path)
    process.stop(running)
    assert is_free(tmp_path)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; print('one'); sys.exit('two\\n\\n')", "exit status 1: two"),
        ("import os; os._exit(7)", "exit status 7: it said nothing"),
        ("import os, signal; print('so far', flush=True); os.kill(os.getpid(), 9)", "signal SIGKILL: so far"),
        ("import sys; sys.stdout.buffer.write(b'\\xff!'); sys.exit(3)", "exit status 3: \ufffd!"),
    ],
)
def test_the_end_of_a_training_has_a_reason(tmp_path: Path, program: str, said: str) -> None:
    with process.lock_folder(tmp_path) as lock:
        status = process.start([sys.executable, "-c", program], tmp_path / process.OUTPUT, lock).wait()
    assert process.failure_reason(status, tmp_path / process.OUTPUT) == said


def test_a_training_hears_nothing_and_its_end_is_handed_on(tmp_path: Path) -> None:
    with process.lock_folder(tmp_path) as lock:
        program = "import sys; sys.exit(len(sys.stdin.read()))"
        assert process.start([sys.executable, "-c", program], tmp_path / process.OUTPUT, lock).wait() == 0


def test_a_config_says_where_the_run_is(tmp_path: Path) -> None:
    content = {"name": "a", "inner": {"b": [1, 0.001, None]}, "run": "elsewhere"}
    file = process.write_config(tmp_path / "trial", content)
    assert read_yaml(file) == content | {"run": str(tmp_path / "trial" / process.RUN)}
    assert content["run"] == "elsewhere"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match="expected a folder that can be made"),
        process.lock_folder(tmp_path / "file"),
    ):
        pass
