"""Where airplanes go: files (`files`), tables (`bigquery`), and a Beam transform for each (`transforms`)."""

from __future__ import annotations

#: Suffixes of all formats of `files`.
SUFFIXES = (".geojson", ".geojsonl", ".parquet", ".fgb", ".gpkg", ".coco.json")


def file_suffix(uri: str) -> str | None:
    """Return the suffix that names the format of a file, or None if there is no such format."""
    name = uri.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def is_table(uri: str) -> bool:
    """Return whether an output is a table, `bq://project.dataset.table`, and not a file."""
    return uri.startswith("bq://")
