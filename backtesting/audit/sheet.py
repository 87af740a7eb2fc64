"""What the pages of this room share: their assets, and a policy that allows nothing but what is in the page."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data.model.escape import escape_line

ASSETS = Path(__file__).parent / "assets"


def environment(assets: Path = ASSETS) -> Environment:
    """Templates in which every text is escaped, for HTML and for the eye."""
    return Environment(
        loader=FileSystemLoader(assets), autoescape=True, undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def sheet(template: str, library: str, script: str, style: str, **told: object) -> str:
    """A page of one library, one script and one style, all of them in it."""
    return (
        environment()
        .get_template(template)
        .render(
            policy=policy((library, script), style),
            library=Markup(library),  # noqa: S704 - our own files, not a run's text
            script=Markup(script),  # noqa: S704
            style=Markup(style),  # noqa: S704
            **told,
        )
    )


def policy(scripts: tuple[str, ...], style: str) -> str:
    """A content security policy: these scripts, if any, and this style by their digests, and no request at all."""
    allowed = " ".join(_source(text) for text in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def asset(name: str) -> str:
    """The text of one of our own files."""
    return (ASSETS / name).read_text(encoding="utf-8")


def enclosed(*names: str) -> str:
    """Several of our scripts as one, whose names nobody else sees."""
    return "(() => {\n'use strict';\n" + "".join(asset(name) for name in names) + "})();\n"


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(value: object) -> object:
    return escape_line(value) if type(value) is str else value
