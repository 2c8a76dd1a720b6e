"""Imports of large packages without the optional parts that nobody asked for."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def hidden_packages(*names: str) -> Iterator[None]:
    """Let packages appear not to be installed, to others that are imported in the block and use them where they are.

    This goes for all threads, and what the block imports remains without them: for processes of our own, not for those
    of users.

    Args:
        names: names of packages or modules, such as `google.cloud`.
    """
    loaded = {name: sys.modules[name] for name in names if name in sys.modules}
    # As Python documents it: None makes `import` raise ModuleNotFoundError.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(loaded)
