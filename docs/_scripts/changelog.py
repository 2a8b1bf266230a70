"""Show CHANGELOG.md, which lies at the root of the repository, as a page of the site."""

from __future__ import annotations

from pathlib import Path

import mkdocs_gen_files

with mkdocs_gen_files.open('changelog.md', 'w') as page:
    page.write(Path('CHANGELOG.md').read_text(encoding='utf-8'))
