"""PVS BIDS-App: finds and measures perivascular spaces on T1w (and T2w) brain MRI."""

from importlib.metadata import PackageNotFoundError, version

#: What a build without git is called, see ``setuptools_scm`` in pyproject.toml.
_BUILT_WITHOUT_GIT = '0.0.0.dev0'

try:
    __version__ = version('pvs-bidsapp')
except PackageNotFoundError:  # run from a folder of sources that was never installed
    __version__ = _BUILT_WITHOUT_GIT
if __version__ == _BUILT_WITHOUT_GIT:
    __version__ = '0+unknown'
