"""HTML pages from Jinja templates: one self-contained file each, which opens without a network."""

from pathlib import Path

import jinja2


def render_template(template: Path, shared: Path | None = None, /, **values: object) -> str:
    """Return the HTML of a page; every value is escaped, and a value that the template misses is an error.

    Args:
        template: a Jinja file; files next to it can be included.
        shared: another folder with files to include, or None.
        values: variables of the template.
    """
    folders = [folder for folder in (template.parent, shared) if folder]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template(template.name).render(**values)
