"""What is read of the scans beside their tables: quality, and masks in the template's space."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from pvs_bidsapp.anatomy.template import SPACE
from pvs_bidsapp.group.standard import COLUMNS
from pvs_bidsapp.outputs.cohort import map_grid, read_cohort
from pvs_bidsapp.outputs.result_tables import find_results
from pvs_bidsapp.segmentation.model import bundled_card, load_model
from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort


@pytest.fixture
def cohort(tmp_path):
    """Output folder of three finished scans, and their names."""
    write_cohort(tmp_path, 3, Effects(), seed=1)
    return tmp_path, sorted(find_results(tmp_path / 'out')[0], key=lambda names: names.stem)


def read(folder):
    return read_cohort(folder / 'bids', folder / 'out', (0.0,))


def test_quality_is_part_of_the_table_of_scans(cohort):
    folder, (first, second, _) = cohort
    header = 'metric\tvalue\tunit\tlow\thigh\tfinding\n'
    first.anat('stats', '.tsv', desc='qc').write_text(
        f'{header}cjv\t0.9\tn/a\tn/a\t0.75\tout of range\nsnr\t20\tn/a\t7\tn/a\tn/a\n'
    )
    second.anat('stats', '.tsv', desc='qc').write_text(f'{header}cjv\t0.6\tn/a\tn/a\t0.75\tn/a\n')
    scans = read(folder).scans.set_index('scan')
    assert scans['qc_cjv'].tolist()[:2] == [0.9, 0.6]
    assert scans['qc_out_of_range'].tolist()[:2] == [1, 0]
    assert scans.iloc[2][['qc_cjv', 'qc_snr', 'qc_out_of_range']].isna().all()


def test_without_measures_of_quality_there_are_no_columns(cohort):
    assert not [c for c in read(cohort[0]).scans if c.startswith('qc_')]


def test_measures_at_the_reference_quality_are_those_of_the_model(cohort, monkeypatch):
    folder, (first, second, third) = cohort
    for names, noise in ((first, 0.04), (second, 0.08)):
        names.anat('stats', '.tsv', desc='qc').write_text(
            'metric\tvalue\tunit\tlow\thigh\tfinding\n'
            f'noise_to_csf\t{noise}\tn/a\tn/a\tn/a\tn/a\nvoxel_mm3\t1\tmm3\tn/a\tn/a\tn/a\n'
        )
    assert 'standard_count' not in read(folder).scans  # the model of these results is not bundled
    exponents = {key: {'noise': -1, 'voxel': 0} for key in COLUMNS}
    known = SimpleNamespace(standard=exponents)
    monkeypatch.setattr('pvs_bidsapp.outputs.cohort.bundled_card', {'0': known}.get)
    tables = read(folder)
    scans = tables.scans.set_index('scan')
    ratio = (scans['standard_volume_mm3'] / scans['volume_mm3'])[[n.stem for n in (first, second, third)]]
    np.testing.assert_allclose(ratio, [1, 2, np.nan])
    by_region = tables.tidy[tables.tidy['scan'] == second.stem]
    np.testing.assert_allclose(by_region['standard_count'], 2 * by_region['count'])


def test_estimated_grades_are_part_of_the_table_of_scans(cohort):
    folder, (first, *_) = cohort
    assert 'zhu_white_matter' not in read(folder).scans  # results of versions without them
    path = first.anat('stats', '.json', desc='pvs')
    content = json.loads(path.read_text()) | {'EstimatedVisualGrades': {'zhu_white_matter': {'Value': 3}}}
    path.write_text(json.dumps(content))
    scans = read(folder).scans.set_index('scan')
    assert scans.loc[first.stem, 'zhu_white_matter'] == 3
    assert scans['zhu_white_matter'].isna().sum() == 2


def test_a_bundled_model_is_known_by_its_weights():
    card = load_model('joliot2021-t1').card
    assert bundled_card(card.sha256) == card
    assert bundled_card('0') is None


def test_a_mask_in_the_template_s_space_takes_the_place_of_lines(cohort):
    folder, names = cohort
    shape, affine = map_grid()
    fine = affine @ np.diag([0.5, 0.5, 0.5, 1])
    mask = np.zeros([2 * n for n in shape], np.uint8)
    mask[80, 100, 60:64] = 1
    nib.save(nib.Nifti1Image(mask, fine), names[0].anat('mask', space=SPACE, label='PVS'))
    found = read(folder)
    voxels = found.voxels
    assert found.masked == {names[0].stem}
    places = np.stack(np.unravel_index(voxels[names[0].stem], shape), 1)
    np.testing.assert_array_equal(places, [[40, 50, 30], [40, 50, 31], [40, 50, 32]])
    assert len(voxels[names[1].stem]) > 3
