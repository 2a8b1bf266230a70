"""Pages in a real browser, that of the machine, which is watched while it shows them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
#: WebGL without a graphics card.
ARGUMENTS = ('--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader')
#: Addresses that stay on the machine.
LOCAL = ('file:', 'blob:', 'data:')


@contextmanager
def open_browser() -> Iterator[Any]:
    """A browser; the test is skipped, aloud, where there is none."""
    api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed: no page was shown')
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f'none of {", ".join(BROWSERS)} is installed: no page was shown')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def show(browser: Any, path: Path, *, width: int = 1280, scheme: str = 'light', script: str = '') -> Iterator:
    """A page as a new visitor sees it; it may neither complain nor ask a network for anything.

    `script` runs before those of the page.
    """
    context = browser.new_context(
        viewport={'width': width, 'height': 800}, color_scheme=scheme, accept_downloads=True
    )
    page, complaints = context.new_page(), []
    page.set_default_timeout(60_000)
    page.on('pageerror', lambda error: complaints.append(str(error)))
    page.on('console', lambda line: complaints.append(line.text) if line.type == 'error' else None)
    page.on('dialog', lambda dialog: (complaints.append(f'dialog {dialog.message}'), dialog.dismiss()))
    page.on('request', lambda asked: None if asked.url.startswith(LOCAL) else complaints.append(asked.url))
    if script:
        page.add_init_script(script)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert complaints == []


def pixels(locator: Any) -> Any:
    """What an element looks like; ndarray of uint8, shape (rows, columns, 3)."""
    import io

    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert('RGB'))
