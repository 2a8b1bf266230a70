"""PVS BIDS-App: finds and measures perivascular spaces on T1w (and T2w) brain MRI."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import PVSResult, find_pvs, group, measure

__all__ = ['PVSResult', '__version__', 'find_pvs', 'group', 'measure']

#: What a build without git is called, see ``setuptools_scm`` in pyproject.toml.
_BUILT_WITHOUT_GIT = '0.0.0.dev0'

try:
    __version__ = version('pvs-bidsapp')
except PackageNotFoundError:  # run from a folder of sources that was never installed
    __version__ = _BUILT_WITHOUT_GIT
if __version__ == _BUILT_WITHOUT_GIT:
    __version__ = '0+unknown'


def __getattr__(name: str) -> Any:
    """The functions of `pvs_bidsapp.api`, which is imported when one of them is asked for."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module('.api', __name__), name)
