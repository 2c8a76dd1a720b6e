"""Pages out of a template: one HTML file each, which opens anywhere, without a network."""

from pathlib import Path

import jinja2

_FOLDER = Path(__file__).parent


def fill(template: Path, **values: object) -> str:
    """Returns a page's HTML, with every word escaped.

    Args:
        template: a Jinja file. It finds its neighbours, `table.html` of this folder, and the pages' style as `css`.
        values: what the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (_FOLDER / "page.css").read_text(encoding="utf-8")
    return environment.get_template(template.name).render(css=css, **values)
