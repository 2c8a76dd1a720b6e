import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from geo.errors import OutputError
from model.common import process
from model.common.config import read_yaml

# Prints a line, and then waits to be stopped.
WAITS = (
    "import sys, signal; signal.alarm(60); print('there', flush=True); open(sys.argv[1], 'w').close(); signal.pause()"
)
# The same, and ignores SIGTERM.
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def start_waiting(folder: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start a command that is under way when this returns."""
    gate = folder / "gate"
    os.mkfifo(gate)
    running = process.start([sys.executable, "-c", WAITS, str(gate)], folder / process.OUTPUT, lock)
    gate.open().close()
    return running


def is_unlocked(folder: Path) -> bool:
    with (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_stopped_command_ends(tmp_path: Path) -> None:
    with process.lock_folder(tmp_path) as lock:
        running = start_waiting(tmp_path, lock)
        process.stop(running)
    assert running.returncode == 128 + signal.SIGTERM
    assert (tmp_path / process.OUTPUT).read_text() == "there\n"
    process.stop(running)  # again does no harm


def test_a_command_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = [sys.executable, "-c", STUBBORN, str(gate)]
    program = f"from model.common import process; print(process.run_on_leash({command}, 0.01))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        gate.open().close()
        output, _ = running.communicate()
    assert output.split() == ["there", str(128 + signal.SIGKILL)]


def test_a_folder_is_locked_until_its_last_command_has_ended(tmp_path: Path) -> None:
    with process.lock_folder(tmp_path) as lock:
        assert not is_unlocked(tmp_path)
        running = start_waiting(tmp_path, lock)
    assert not is_unlocked(tmp_path)
    process.stop(running)
    assert is_unlocked(tmp_path)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; print('one'); sys.exit('two\\n\\n')", "exit status 1: two"),
        ("import os; os._exit(7)", "exit status 7: no output"),
        ("import os, signal; print('so far', flush=True); os.kill(os.getpid(), 9)", "signal SIGKILL: so far"),
        ("import sys; sys.stdout.buffer.write(b'\\xff!'); sys.exit(3)", "exit status 3: \ufffd!"),
    ],
)
def test_a_failure_has_a_reason(tmp_path: Path, program: str, reason: str) -> None:
    with process.lock_folder(tmp_path) as lock:
        status = process.start([sys.executable, "-c", program], tmp_path / process.OUTPUT, lock).wait()
    assert process.failure_reason(status, tmp_path / process.OUTPUT) == reason


def test_a_command_has_an_empty_stdin_and_its_status_is_passed_on(tmp_path: Path) -> None:
    with process.lock_folder(tmp_path) as lock:
        program = "import sys; sys.exit(len(sys.stdin.read()))"
        assert process.start([sys.executable, "-c", program], tmp_path / process.OUTPUT, lock).wait() == 0


def test_a_config_names_the_run_beside_it(tmp_path: Path) -> None:
    content = {"name": "a", "inner": {"b": [1, 0.001, None]}, "run": "elsewhere"}
    file = process.write_config(tmp_path / "trial", content)
    assert read_yaml(file) == content | {"run": str(tmp_path / "trial" / process.RUN)}
    assert content["run"] == "elsewhere"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: expected a writable path"), process.lock_folder(tmp_path / "file"):
        pass
