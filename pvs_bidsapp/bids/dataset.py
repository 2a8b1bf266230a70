"""Files that describe a dataset: ``dataset_description.json`` and ``README``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import __version__
from ..runtime.files import write_json, write_text

BIDS_VERSION = '1.10.0'
#: How the names of datasets with the ground truth of simulated spaces begin.
GROUND_TRUTH = 'Ground truth'
URL = 'https://github.com/pvs-bidsapp/pvs-bidsapp'


def describe_raw(root: Path, name: str, readme: str) -> None:
    """Write ``dataset_description.json`` and ``README`` of a raw (simulated) dataset.

    In a folder without a description, a ``README`` is somebody's own, and stays.

    Parameters
    ----------
    root : Path
    name : str
    readme : str
        Text of ``README``.
    """
    description = root / 'dataset_description.json'
    is_others = (root / 'README').exists() and not description.exists()
    write_json(
        description,
        {
            'Name': name,
            'BIDSVersion': BIDS_VERSION,
            'DatasetType': 'raw',
            'License': 'CC0',
            'GeneratedBy': [generated_by()],
        },
    )
    if not is_others:
        write_text(root / 'README', readme)


def describe_derivative(root: Path, name: str, source: Path | None = None) -> None:
    """Write ``dataset_description.json`` of a derivative dataset.

    Parameters
    ----------
    root : Path
    name : str
    source : Path, optional
        The raw dataset that ``bids:raw:`` in ``Sources`` stands for.
    """
    content: dict[str, Any] = {
        'Name': name,
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [generated_by()],
        'HowToAcknowledge': 'Cite the papers in CITATION.bib.',
    }
    if source is not None:
        content['DatasetLinks'] = {'raw': Path(source).resolve().as_uri()}
    write_json(root / 'dataset_description.json', content)


def generated_by() -> dict[str, str]:
    """An entry of ``GeneratedBy`` for this program."""
    return {'Name': 'PVS BIDS-App', 'Version': __version__, 'CodeURL': URL}
