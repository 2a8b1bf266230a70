"""Contents of the sidecars: sources, settings and versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..settings import Settings

_LIBRARIES = ('antspyx', 'picsl-greedy', 'torch', 'openvino', 'nipype', 'pybids', 'nibabel', 'numpy', 'scipy')


def software_versions() -> str:
    """Versions of this program and of the libraries that decide its results.

    They are one string, as BIDS requires of this key.
    """
    found = [f'pvs-bidsapp {__version__}']
    for name in _LIBRARIES:
        try:
            found.append(f'{name} {version(name)}')
        except PackageNotFoundError:
            continue
    return '; '.join(found)


def bids_uri(path: Path, bids_dir: Path) -> str:
    """``bids:raw:`` address of an input."""
    return f'bids:raw:{Path(path).relative_to(bids_dir).as_posix()}'


def common(sources: list[str], settings: Settings) -> dict[str, Any]:
    """Keys of every sidecar.

    Parameters
    ----------
    sources : list of str
        BIDS URIs of the inputs.
    settings : Settings
    """
    return {
        'Sources': sources,
        'RandomSeed': settings.analysis.random_seed,
        'SoftwareVersions': software_versions(),
    }


def model(settings: Settings) -> dict[str, Any]:
    """Further keys of the sidecars of the results of a model."""
    analysis = settings.analysis
    excluded = {'ExcludedFromLesionShare': analysis.exclude_wmh} if analysis.exclude_wmh is not None else {}
    return excluded | {
        'Threshold': analysis.threshold,
        'MinimumClusterSize': analysis.min_cluster_size,
        'ModelName': analysis.model_name,
        'ModelVersion': analysis.model_version,
        'ModelSHA256': analysis.model_sha256,
        'ModelUse': analysis.model_use,
        'Device': settings.execution.device,
    }
