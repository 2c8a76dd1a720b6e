"""Files that appear whole or not at all."""

from pathlib import Path


def write_atomically(file: Path, text: str) -> None:
    """Writes beside a file, and moves it into place."""
    part = file.with_name(f".{file.name}.partial")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
