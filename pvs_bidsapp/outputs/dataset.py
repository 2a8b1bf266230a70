"""Files that describe the output folder as a BIDS derivative dataset."""

from __future__ import annotations

from importlib.resources import files

from .. import __version__
from ..bids.dataset import describe_derivative
from ..bids.naming import logs_dir
from ..runtime.files import write_text
from ..settings import Settings

#: Files of the output folder, with the files of the package that hold their texts.
_TEXTS = {'README.md': 'README.md', '.bidsignore': 'bidsignore', 'CITATION.bib': 'CITATION.bib'}


def describe_output(settings: Settings) -> None:
    """Write the description, ``README.md``, ``.bidsignore`` and ``CITATION.bib``, and make ``logs``.

    A text whose content would not change is not written again, nor is an existing description.
    """
    out = settings.out_dir
    out.mkdir(parents=True, exist_ok=True)
    if not (out / 'dataset_description.json').exists():
        describe_derivative(out, 'Perivascular spaces (PVS BIDS-App)', settings.bids_dir)
    for name, source in _TEXTS.items():
        text = _package_text(source)
        if not (out / name).exists() or (out / name).read_text(encoding='utf-8') != text:
            write_text(out / name, text)
    logs_dir(out).mkdir(exist_ok=True)


def _package_text(name: str) -> str:
    text = files('pvs_bidsapp.data').joinpath(name).read_text(encoding='utf-8')
    return text.replace('{version}', __version__)
