"""The look that the pages of evaluation and tuning share."""

from pathlib import Path

from model.common.templates import render_template

_FOLDER = Path(__file__).parent


def fill(template: Path, **values: object) -> str:
    """Return a page's HTML; it can include `table.html` of this folder, and has its style as `css`."""
    css = (_FOLDER / "page.css").read_text(encoding="utf-8")
    return render_template(template, _FOLDER, css=css, **values)
