"""PVS BIDS-App: finds and measures perivascular spaces on T1w (and T2w) brain MRI."""

from importlib.metadata import PackageNotFoundError, version

try:
    #: Of the installed package: the git tag, or ``0+unknown`` where it was built without git.
    __version__ = version('pvs-bidsapp')
except PackageNotFoundError:  # run from a folder of sources that was never installed
    __version__ = '0+unknown'
