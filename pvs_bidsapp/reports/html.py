"""The one place where templates of pages are loaded: whatever is put into them is escaped."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup


@lru_cache
def template(name: str, **filters: Callable[..., Any]) -> Template:
    """A template of the package; it is compiled once.

    Parameters
    ----------
    name : str
        Such as ``subject.html``.
    **filters
        Filters of its own.
    """
    environment = Environment(
        loader=PackageLoader('pvs_bidsapp.reports'), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    environment.globals['asset'] = asset
    return environment.get_template(name)


@lru_cache
def asset(name: str) -> Markup:
    """A script or style sheet of the package, to be put into a page as it is.

    Parameters
    ----------
    name : str
        Such as ``page.css``.
    """
    return Markup(files('pvs_bidsapp.reports').joinpath('templates', name).read_text(encoding='utf-8'))


def as_json(content: Any) -> Markup:
    """JSON for a script element, which no text in it can end."""
    text = json.dumps(content, allow_nan=False)
    for sign in '<>&':
        text = text.replace(sign, f'\\u{ord(sign):04x}')
    return Markup(text)
