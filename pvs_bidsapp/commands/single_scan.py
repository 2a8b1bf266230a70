"""Process a scan without BIDS, in a BIDS tree of links."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..bids.naming import Naming
from ..bids.query import Selection
from ..errors import InputError
from ..messages import scans
from ..messages.message import error_of
from ..runtime.files import check_writable, temporary_folder
from ..settings import Settings
from ..workflows.engine import remove_empty_work_folder
from .participant import run
from .predict import stage


@contextmanager
def staged(selection: Selection, settings: Settings) -> Iterator[tuple[Selection, Settings]]:
    """The selected scans in a BIDS tree of links, and the settings for it; it is removed at the end.

    Parameters
    ----------
    selection : Selection
        As `pvs_bidsapp.commands.predict.select_scans` returns it.
    settings : Settings

    Raises
    ------
    InputError
        If the output folder, or the work folder, cannot be written to.
    """
    check_writable(settings.out_dir, 'OUT_DIR')
    check_writable(settings.execution.work_dir, 'work folder')
    with temporary_folder(settings.execution.work_dir) as folder:
        yield stage(selection, folder), replace(settings, bids_dir=folder, is_staged=True)


def process_one(selection: Selection, settings: Settings) -> Naming:
    """Process a single scan.

    Parameters
    ----------
    selection : Selection
        As `pvs_bidsapp.commands.predict.select_scans` returns it for one file.
    settings : Settings

    Returns
    -------
    names : Naming
        Names of the outputs.

    Raises
    ------
    InputError
        If the file cannot be used, or a folder cannot be written to.
    ImageError
        If the scan could not be finished; the message gives the reason.
    """
    for refused in selection.refused:
        raise error_of(refused.finding, InputError)
    with staged(selection, settings) as (linked, own):
        outcome = run(linked, own)
    for name, reason in outcome.failed.items():
        raise scans.NOT_FINISHED.error(name, reason=reason)
    if settings.execution.clean_workdir:
        remove_empty_work_folder(settings)
    return Naming.of(settings.out_dir, selection.scans[0].anat)
