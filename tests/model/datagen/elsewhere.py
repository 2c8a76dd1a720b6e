"""A file system of Beam, as `gs://` is one: `elsewhere://` is a local folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

SCHEME = "elsewhere"


class Elsewhere(LocalFileSystem):  # type: ignore[misc]
    """Knows no folders, as buckets do not: only names with slashes."""

    root: ClassVar[Path]
    writable: ClassVar[bool] = True

    @classmethod
    def scheme(cls) -> str:
        return SCHEME

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for file in sorted(self.root.rglob("*")):
            uri = f"{SCHEME}://{file.relative_to(self.root).as_posix()}"
            if file.is_file() and uri.startswith(dir_or_prefix):
                yield FileMetadata(uri, file.stat().st_size)

    def _path_open(self, path: str, *arguments: Any, **options: Any) -> Any:
        return super()._path_open(self._here(path), *arguments, **options)

    def create(self, path: str, *arguments: Any, **options: Any) -> Any:
        if not self.writable:
            raise PermissionError("403 Forbidden")
        Path(self._here(path)).parent.mkdir(parents=True, exist_ok=True)
        return self._path_open(path, "wb", *arguments, **options)

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        super().rename([*map(self._here, source_file_names)], [*map(self._here, destination_file_names)])

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            Path(self._here(path)).unlink()

    def _here(self, uri: str) -> str:
        assert uri.startswith(f"{SCHEME}://")
        return str(self.root / uri.removeprefix(f"{SCHEME}://"))
