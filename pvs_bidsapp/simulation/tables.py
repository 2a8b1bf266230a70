"""Tables of simulated PVS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .rendering import Rendering
from .vessels import Vessel

#: Columns of the table of simulated PVS, with their descriptions.
VESSEL_COLUMNS = {
    'index': 'value in the map of numbered PVS',
    'name': 'PVS and the index',
    'region': 'region of the PVS: white-matter, basal-ganglia, midbrain, hippocampus',
    'length_mm': 'length of the centre line, without its branch, in mm',
    'width_mm': 'mean diameter in mm',
    'volume_mm3': 'volume of the voxels that belong to this PVS, in mm3',
    'n_branches': 'number of branches',
    'x_mm': 'middle of the centre line, scanner RAS+, in mm',
    'y_mm': 'middle of the centre line, scanner RAS+, in mm',
    'z_mm': 'middle of the centre line, scanner RAS+, in mm',
    'centre_line': 'points x,y,z in mm (scanner RAS+), joined by semicolons',
    'detectability': "detectability index d' on the scan: root of the energy of the PVS over the noise",
}


def vessel_table(
    vessels: Sequence[Vessel],
    lines: Sequence[np.ndarray],
    rendering: Rendering,
    voxel_volume: float,
    detectability: np.ndarray,
) -> pd.DataFrame:
    """Table with one row per PVS, including those that are too small for the mask.

    Parameters
    ----------
    vessels : sequence of Vessel
    lines : sequence of ndarray, shape (n, 3)
        Their centre lines in scanner RAS+ mm.
    rendering : Rendering
    voxel_volume : float
        In mm3.
    detectability : ndarray, shape (n,)
        Of each PVS on its scan.

    Returns
    -------
    table : DataFrame
        Columns as `VESSEL_COLUMNS`.
    """
    volumes = np.bincount(rendering.index.ravel(), rendering.occupancy.ravel(), len(vessels) + 1)
    rows = []
    for number, (vessel, line) in enumerate(zip(vessels, lines, strict=True), start=1):
        text = ';'.join(','.join(f'{c:.2f}' for c in point) for point in line)
        middle = line[len(line) // 2]
        sizes = (vessel.length, vessel.width, volumes[number] * voxel_volume)
        rows.append([
            number, f'PVS{number}', vessel.region, *np.round(sizes, 3), len(vessel.tubes) - 1,
            *np.round(middle, 3), text, round(float(detectability[number - 1]), 2),
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(VESSEL_COLUMNS))
