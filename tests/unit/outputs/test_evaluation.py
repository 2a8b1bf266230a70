import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.commands.evaluate import run
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.outputs.evaluation import COLUMNS, find_mask_pairs


def save(root, name, data, affine):
    path = root / 'sub-01' / 'anat' / f'sub-01_{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


@pytest.fixture
def data_sets(tmp_path):
    """Reference mask, and the same mask, its probability and regions on a mirrored grid."""
    mask = np.zeros((10, 12, 14), bool)
    mask[2:4, 5, 6] = mask[8, 2:9, 3] = True
    affine = np.diag([0.8, 0.8, 0.8, 1])
    mirrored = affine @ np.diag([-1, 1, 1, 1])
    mirrored[0, 3] = 0.8 * 9
    save(tmp_path / 'reference', 'label-PVS_mask', mask, affine)
    save(tmp_path / 'predicted', 'label-PVS_mask', mask[::-1], mirrored)
    save(tmp_path / 'predicted', 'label-PVS_probseg', 0.7 * mask[::-1], mirrored)
    save(tmp_path / 'predicted', 'seg-regions_dseg', np.full(mask.shape, 21), mirrored)
    return tmp_path / 'predicted', tmp_path / 'reference', mask


def test_predicted_images_come_to_the_grid_of_the_reference(data_sets):
    predicted, reference, mask = data_sets
    (files,) = find_mask_pairs(predicted, reference)
    pair = files.read()
    assert pair.name == 'sub-01'
    np.testing.assert_array_equal(pair.predicted, mask)
    np.testing.assert_array_equal(pair.reference, mask)
    np.testing.assert_allclose(pair.probability, 0.7 * mask, atol=1e-6)
    assert (pair.regions == 21).all()
    assert pair.voxel_volume == pytest.approx(0.8**3)


def test_tables_and_figure_are_written(data_sets, tmp_path):
    predicted, reference, _ = data_sets
    run(predicted, reference, tmp_path / 'out', (0.0, 5.0), (0.5, 0.9))
    names = {p.name for p in (tmp_path / 'out').iterdir()}
    assert names == {
        'evaluation.tsv', 'evaluation_summary.tsv', 'evaluation_agreement.tsv', 'evaluation_sweep.tsv',
        'evaluation_sweep.png', 'evaluation.json',
    }  # fmt: skip
    table = pd.read_csv(tmp_path / 'out' / 'evaluation.tsv', sep='\t')
    assert (table['dice'] == 1).all()
    assert set(json.loads((tmp_path / 'out' / 'evaluation.json').read_text())) == set(COLUMNS)


def test_masks_without_a_partner_are_an_error(data_sets, tmp_path):
    predicted, _, _ = data_sets
    with pytest.raises(InputError, match='of the same name'):
        find_mask_pairs(predicted, tmp_path / 'empty')
