"""The scans of one output folder, as used on the group level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


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
    model : tuple of str
        Name, checksum, threshold and smallest cluster (mm3) of the model that made the masks.
    missing : dict of str to str
        Reason by subject, for subjects without results.
    columns : tuple of str
        Columns that came from participants.tsv.
    """

    tidy: pd.DataFrame
    scans: pd.DataFrame
    voxels: dict[str, np.ndarray]
    model: tuple[str, ...]
    missing: dict[str, str]
    columns: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Probability threshold of the masks."""
        return float(self.model[2])
