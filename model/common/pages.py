"""HTML pages from Jinja templates: one file each, which opens anywhere, without a network."""

from pathlib import Path

import jinja2

_FOLDER = Path(__file__).parent


def render_template(template: Path, **values: object) -> str:
    """Return the HTML of a page, with all values escaped.

    Args:
        template: a Jinja file. It can include files of its own folder and `table.html` of this one; `css` is the
            style sheet of all pages.
        values: the variables of the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    css = (_FOLDER / "page.css").read_text(encoding="utf-8")
    return environment.get_template(template.name).render(css=css, **values)
