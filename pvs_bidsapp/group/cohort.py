"""The scans of one output folder, as used on the group level."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..messages.message import Finding

#: What everybody together is called, and what else if that is the name of a cohort.
EVERYBODY, OTHERWISE = 'all', 'all people'


def name_of_everybody(cohorts: Collection[str]) -> str:
    """What the people of all cohorts together are called: not like any of them.

    Parameters
    ----------
    cohorts : collection of str
        Names of the cohorts, which may be anything.
    """
    further = (f'{OTHERWISE} ({number})' for number in itertools.count(2))
    return next(name for name in itertools.chain((EVERYBODY, OTHERWISE), further) if name not in cohorts)


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """What made the masks, in the words of the sidecars; results of different settings are not combined.

    Attributes
    ----------
    model, sha256, use : str
        Name of the model, and checksums of its weights and of how its card says that they are used.
    threshold : str
        Of the probability.
    min_cluster_size : str
        In mm3.
    excluded_wmh : str
        Share in lesions from which clusters are left out; empty if none are.
    """

    model: str
    sha256: str
    threshold: str
    min_cluster_size: str
    excluded_wmh: str = ''
    use: str = ''

    def __str__(self) -> str:
        """Model and threshold, and what is left out, in a line."""
        without = f', --exclude-wmh {self.excluded_wmh}' if self.excluded_wmh else ''
        used = f', used as {self.use}' if self.use else ''
        return f'{self.model} at {self.threshold}{without}{used}'


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """All finished scans of one output folder.

    Attributes
    ----------
    tidy : DataFrame
        One row for each scan and region, with the participants' columns.
    scans : DataFrame
        One row for each scan: totals, ICV (mm3) and cluster counts, with the participants' columns.
    voxels : dict of str to ndarray
        By scan: flat indices of the voxels of the frequency map that its clusters pass through.
    masked : frozenset of str
        Scans of which these are the voxels of the mask in the template's space, not of lines.
    masks : MaskSettings
    missing : dict of str to str
        Reason by name of the scan, for scans without results.
    damaged : tuple of str
        Names of those of them whose results are there, but cannot be read.
    without_scans : dict of str to str
        Reason by ``participant_id``, for people without any scan.
    columns : tuple of str
        Columns that came from participants.tsv, under the names that they have here.
    renamed : dict of str to str
        Their names in participants.tsv, for those that have another one here.
    coded, measured : frozenset of str
        Columns that hold codes, and columns that hold measurements, as far as that is known.
    unlisted : frozenset of str
        ``participant_id`` of people with results who are not in participants.tsv.
    listed : tuple of str
        ``participant_id`` of all who are in participants.tsv.
    hint : str
        Which identifiers of participants.tsv nearly match those of the results.
    findings : tuple of Finding
        What was found in participants.tsv and the results, and is worth a word; already logged.
    """

    tidy: pd.DataFrame
    scans: pd.DataFrame
    voxels: dict[str, np.ndarray]
    masks: MaskSettings
    missing: dict[str, str]
    columns: tuple[str, ...]
    without_scans: dict[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    coded: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    listed: tuple[str, ...] = ()
    hint: str = ''
    masked: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    @property
    def threshold(self) -> float:
        """Probability threshold of the masks."""
        return float(self.masks.threshold)
