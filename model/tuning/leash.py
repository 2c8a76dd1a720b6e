"""Runs a command that ends when the one who started it does: `python -m model.tuning.leash COMMAND ...`.

Standard input is the leash: when nobody holds its other end any more, the command is ended. So a trial ends when its
study lets go of it, and when the study is gone, however that came to be.
"""

import os
import subprocess
import sys
import threading

# How long a command may take to end before it is made to.
_PATIENCE_S = 20


def main(command: list[str], patience_s: float = _PATIENCE_S) -> int:
    """Runs a command to its end; returns its exit status, as a shell does: 128 and the signal, if it was one."""
    # What is open here and can be inherited is meant to be: the lock of the study.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603  # as it was asked to
    threading.Thread(target=_end, args=(process, patience_s), daemon=True).start()
    status = process.wait()
    return status if status >= 0 else 128 - status


def _end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Waits until the leash is let go of, and ends the command."""
    while os.read(0, 1):
        pass
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
