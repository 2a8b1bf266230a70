"""The one place where templates of pages are loaded: whatever is put into them is escaped."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, Template


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
    environment = Environment(loader=PackageLoader('pvs_bidsapp.reports'), autoescape=True)
    environment.filters.update(filters)
    return environment.get_template(name)
