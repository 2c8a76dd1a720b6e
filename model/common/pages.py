"""HTML pages from Jinja templates: one file each, which opens anywhere, without a network.

A template extends `layout.html`, which has the head, the theme (`page.css`), the data for scripts and the scripts.
Values are escaped; the content security policy forbids every request and every script but those of the page.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
from xstatic.pkg import leaflet as leaflet_package

_FOLDER = Path(__file__).parent


def render_template(
    template: Path,
    *,
    styles: Sequence[Path] = (),
    scripts: Sequence[Path] = (),
    data: object = None,
    leaflet: bool = False,
    served: bool = False,
    **values: object,
) -> str:
    """Return the HTML of a page, with all values escaped.

    Args:
        template: a Jinja file that extends `layout.html`. It can include files of its own folder, and of this one
            `table.html` and `leaflet_licence.html`, which belongs on every page with Leaflet.
        styles: style sheets of the page, after the theme.
        scripts: scripts of the page, run in this order at its end, after `page.js` and Leaflet.
        data: what the scripts work on, a JSON value, which they find as `Page.data`.
        leaflet: whether the page uses Leaflet, which is then part of it.
        served: whether the page is served and may load images and data from its own server; else it loads nothing.
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
    style_texts = [_leaflet_file("leaflet.css")] if leaflet else []
    script_texts = [_leaflet_file("leaflet.js")] if leaflet else []
    style_texts += map(_text, [_FOLDER / "page.css", *styles])
    script_texts += map(_text, [_FOLDER / "page.js", *scripts] if scripts else [])
    return environment.get_template(template.name).render(
        policy=_policy(script_texts, served),
        styles=style_texts,
        scripts=script_texts,
        data=data,
        leaflet_version=leaflet_package.VERSION,
        **values,
    )


def _policy(scripts: Iterable[str], served: bool) -> str:
    """Return the content security policy: what the page may load, which is nothing but its own parts."""
    own = " 'self'" if served else ""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    rules = {
        "default-src": "'none'",
        "img-src": f"data:{own}",
        "style-src": "'unsafe-inline'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'",
        "connect-src": own.strip() or "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _leaflet_file(name: str) -> str:
    """Return a file of Leaflet without its references to other files."""
    text = _text(Path(leaflet_package.BASE_DIR) / name)
    # The source map; images of markers and of the layer control, which no page uses; a behaviour of Internet Explorer.
    return re.sub(r"\n//# sourceMappingURL=.*|[\w-]+:\s*url\([^)]*\);", "", text)
