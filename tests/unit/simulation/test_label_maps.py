"""Label maps as they are read."""

import nibabel as nib
import numpy as np

from pvs_bidsapp.simulation.label_maps import PUTAMEN, load_label_map


def test_spaces_that_the_person_has_become_the_tissue_about_them(tmp_path):
    labels = np.zeros((30, 30, 30), np.int16)
    labels[2:28, 2:28, 2:28] = 2
    labels[2:14, 2:28, 2:28] = 41
    labels[16:26, 5:25, 5:25] = PUTAMEN[0]
    plain = labels.copy()
    labels[19:23, 14:17, 8:14] = 30
    paths = [tmp_path / 'with.nii.gz', tmp_path / 'without.nii.gz']
    for path, array in zip(paths, (labels, plain), strict=True):
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    found, wanted = (load_label_map(p).labels for p in paths)
    np.testing.assert_array_equal(found, wanted)
    assert (found == PUTAMEN[0]).any()
