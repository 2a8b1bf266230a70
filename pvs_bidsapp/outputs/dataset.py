"""Files that describe the output folder as a BIDS derivative dataset."""

from __future__ import annotations

import json
import logging
from importlib.resources import files
from pathlib import Path
from typing import Any

from .. import __version__
from ..bids.dataset import GROUND_TRUTH, describe_derivative, generated_by
from ..bids.naming import logs_dir
from ..messages import options
from ..runtime.files import remove_leftovers, write_json, write_text
from ..settings import Settings

LOG = logging.getLogger(__name__)
#: Files of the output folder, with the files of the package that hold their texts.
_TEXTS = {'README.md': 'README.md', '.bidsignore': 'bidsignore', 'CITATION.bib': 'CITATION.bib'}


def describe_output(settings: Settings) -> None:
    """Write the description, ``README.md``, ``.bidsignore`` and ``CITATION.bib``, and make ``logs``.

    A text whose content would not change is not written again. Of an existing description, only the dataset
    whose scans are analysed is changed, with a warning. In a folder that had no description, texts that are
    there are somebody's own, and stay. What killed runs have left is removed.

    Raises
    ------
    InputError
        If the folder holds the dataset of another program.
    """
    out = settings.out_dir
    described = check_own(out)
    out.mkdir(parents=True, exist_ok=True)
    texts = {out / name: _package_text(source) for name, source in _TEXTS.items()}
    source = None if settings.is_staged else settings.bids_dir
    if described is None:
        texts = {path: text for path, text in texts.items() if not path.exists()}
        describe_derivative(out, 'Perivascular spaces (PVS BIDS-App)', source)
    elif source is not None:
        _change_source(out, described, source)
    for path, text in texts.items():
        if not path.exists() or path.read_bytes() != text.encode('utf-8'):
            write_text(path, text)
    logs_dir(out).mkdir(exist_ok=True)
    for folder in (out, logs_dir(out)):
        remove_leftovers(folder)


def _change_source(out: Path, described: dict[str, Any], source: Path) -> None:
    """Put another dataset into the description of results, if they are of another one so far."""
    links, new = described.get('DatasetLinks'), source.resolve().as_uri()
    if not isinstance(links, dict) or (former := links.get('raw')) in (None, new):
        return
    options.OTHER_SOURCE.log(LOG, out, former=former)
    write_json(out / 'dataset_description.json', described | {'DatasetLinks': links | {'raw': new}})


def check_own(folder: Path, dataset_type: str = 'derivative') -> dict[str, Any] | None:
    """Check that a folder holds no dataset, or one of this program and kind, whose files may be overwritten.

    Parameters
    ----------
    folder : Path
    dataset_type : str
        ``derivative`` for results, ``raw`` for simulated scans.

    Returns
    -------
    description : dict or None
        Of the dataset, if there is one.

    Raises
    ------
    InputError
        If it holds another one: the scans of a study, what another program has derived from them, or what
        this one makes of another kind, such as the ground truth of simulated heads.
    """
    try:
        content = json.loads((folder / 'dataset_description.json').read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise options.FOREIGN_OUTPUT.error(folder, name='its description is no JSON')
    name = str(content.get('Name', 'without a name'))[:80]
    if generated_by()['Name'] not in _names(content.get('GeneratedBy')):
        raise options.FOREIGN_OUTPUT.error(folder, name=name)
    if content.get('DatasetType', dataset_type) != dataset_type or name.startswith(GROUND_TRUTH):
        raise options.OTHER_OUTPUT.error(folder, name=name)
    return content


def _names(generators: Any) -> list[Any]:
    """Names in ``GeneratedBy``."""
    entries = generators if isinstance(generators, list) else []
    return [entry.get('Name') for entry in entries if isinstance(entry, dict)]


def _package_text(name: str) -> str:
    text = files('pvs_bidsapp.data').joinpath(name).read_text(encoding='utf-8')
    return text.replace('{version}', __version__)
