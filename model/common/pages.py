"""Result pages of the commands of `model`: templates with one style sheet and one table."""

from pathlib import Path

from model.common import templates

_FOLDER = Path(__file__).parent


def render_template(template: Path, **values: object) -> str:
    """Return the HTML of a page.

    Args:
        template: a Jinja file. It can include files of its own folder and `table.html` of this one; `css` is the
            style sheet of all pages.
        values: other variables of the template.
    """
    css = (_FOLDER / "page.css").read_text(encoding="utf-8")
    return templates.render_template(template, _FOLDER, css=css, **values)
