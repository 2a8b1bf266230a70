"""Measures and results in the template's space, by the nodes that give them, on the template itself."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nipype.interfaces.base import Bunch

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.anatomy.regions import find_regions
from pvs_bidsapp.anatomy.registration import Transform
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS
from pvs_bidsapp.errors import ImageError
from pvs_bidsapp.interfaces.anatomy import ToStandard
from pvs_bidsapp.interfaces.files import read_quality, write_quality, write_transform
from pvs_bidsapp.interfaces.quality import Assess
from pvs_bidsapp.interfaces.segmentation import Measure


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """What the steps before have found in the template: three spaces, one of them in a lesion."""
    folder = tmp_path_factory.mktemp('steps')
    atlas = template.load()
    classes = np.where(atlas.wm > 0.5, 3, np.where(atlas.gm > 0.4, 2, 1)) * atlas.brain_mask
    found = find_regions(atlas.brain_mask, classes.astype(np.uint8), atlas.affine, Transform((), ()))
    probability, lesions = np.zeros(classes.shape, np.float32), np.zeros(classes.shape, np.uint8)
    for x, length in ((70, 12), (74, 8), (120, 5)):
        probability[x, 100 : 100 + length, 112] = 0.9
    lesions[120] = 1
    image = np.where(probability > 0, 0.5 * atlas.t1w, atlas.t1w)

    def save(name, data):
        nib.save(nib.Nifti1Image(data, atlas.affine), folder / f'{name}.nii')
        return str(folder / f'{name}.nii')

    identity = write_transform(str(folder), 'identity.json', Transform((), ()))
    return (
        {
            'probability': save('probability', probability),
            'regions': save('regions', found.labels),
            'landmarks': save('landmarks', found.landmarks),
            'anat': save('t1w', image.astype(np.float32)),
            'tissues': save('tissues', classes.astype(np.uint8)),
            'to_subject': identity,
            'to_template': identity,
        },
        save('lesions', lesions),
        save('brain', atlas.brain_mask.astype(np.uint8)),
    )


def measure(files, folder, **options) -> Bunch:
    node = Measure(threshold=0.5, min_cluster_size=0.0, source=files['anat'], **files, **options)
    return node.run(cwd=str(folder)).outputs


def test_all_that_is_measured_of_a_scan(files, tmp_path):
    outputs = measure(files[0], tmp_path)
    table = pd.read_csv(outputs.cluster_table, sep='\t')
    assert list(table) == list(CLUSTER_COLUMNS)
    assert table['n_voxels'].tolist() == [12, 8, 5]
    assert set(table['region'].str[:17]) == {'deep white matter'}
    assert table['hemisphere'].tolist() == ['left', 'left', 'right']
    assert (table['contrast_to_noise'] > 3).all()
    assert table['ventricle_distance_mm'].between(1.5, 40).all()
    assert table['cortex_distance_mm'].between(1, 40).all()
    assert table['wmh_fraction'].isna().all()
    content = json.loads(Path(outputs.grades).read_text())
    assert content['grades']['potter_centrum_semiovale']['value'] == 1
    assert len(content['frame']['axes']) == 3


def test_clusters_in_lesions(files, tmp_path):
    (tmp_path / 'kept').mkdir()
    kept = pd.read_csv(measure(files[0], tmp_path / 'kept', lesions=files[1]).cluster_table, sep='\t')
    assert kept['wmh_fraction'].tolist() == [0, 0, 1]
    outputs = measure(files[0], tmp_path, lesions=files[1], exclude_wmh=0.5)
    assert pd.read_csv(outputs.cluster_table, sep='\t')['n_voxels'].tolist() == [12, 8]
    assert np.asarray(nib.load(outputs.clusters).dataobj)[120].max() == 0


def test_lesions_of_another_head_are_refused(files, tmp_path):
    image = nib.load(files[1])
    moved = image.affine.copy()
    moved[0, 3] += 500
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / 'elsewhere.nii')
    with pytest.raises(ImageError, match=r'elsewhere\.nii'):
        measure(files[0], tmp_path, lesions=str(tmp_path / 'elsewhere.nii'))


def test_what_is_odd_about_lesions_is_told(files, tmp_path):
    image = nib.load(files[1])
    soft = 0.8 * np.asarray(image.dataobj, np.float32)
    soft[120, 0, 0] = 0.2
    nib.save(nib.Nifti1Image(soft, image.affine), tmp_path / 'soft.nii')
    outputs = measure(files[0], tmp_path, lesions=str(tmp_path / 'soft.nii'))
    _, findings = assess(files, tmp_path, mask_quality=outputs.quality)
    assert any(f.finding.startswith('mask of hyperintensities: ') for f in findings)


def assess(files, folder, *, overlap: float = 0.9, **options):
    """Measures of quality, with findings."""
    brain = write_quality(str(folder), 'brain.json', {'TemplateCorrelation': 0.9}, [])
    region = write_quality(str(folder), 'region.json', {'template_overlap': overlap}, [])
    node = Assess(
        anat=files[0]['anat'], brain=files[2], tissues=files[0]['tissues'],
        to_template=files[0]['to_template'], brain_quality=brain, region_quality=region, **options,
    )  # fmt: skip
    return read_quality(node.run(cwd=str(folder)).outputs.quality)


def test_a_mask_of_sure_voxels_is_expected_to_be_right(files, tmp_path):
    values, _ = read_quality(measure(files[0], tmp_path).quality)
    probability = nib.load(files[0]['probability']).get_fdata()
    inside = probability[probability >= 0.5]
    assert values['expected_dice'] == pytest.approx(2 * inside.sum() / (len(inside) + inside.sum()), rel=1e-3)


def test_a_mask_in_doubt_has_a_finding_of_its_own(files, tmp_path):
    mask = write_quality(str(tmp_path), 'mask.json', {'expected_dice': 0.31}, [])
    values, findings = assess(files, tmp_path, mask_quality=mask)
    assert values['expected_dice'] == 0.31
    assert [f.code for f in findings] == ['scan-mask-in-doubt']
    assert 'a Dice of only 0.31' in findings[0].finding


def test_the_quality_of_the_template_is_good(files, tmp_path):
    values, findings = assess(files, tmp_path, overlap=0.2)
    assert values['template_coverage'] > 0.99
    assert [f.code for f in findings] == ['scan-quality']
    assert 'template_overlap is 0.2; in good scans it is at least 0.6' in findings[0].finding


def test_results_in_the_template_s_space(files, tmp_path):
    inner = {name: files[0][name] for name in ('to_template', 'to_subject')}
    clusters = measure(files[0], tmp_path).clusters
    node = ToStandard(probability=files[0]['probability'], clusters=clusters, **inner)
    outputs = node.run(cwd=str(tmp_path)).outputs
    given = nib.load(files[0]['probability']).get_fdata()
    np.testing.assert_allclose(nib.load(outputs.probability).get_fdata(), given, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(nib.load(outputs.mask).dataobj) > 0, given > 0.5)
    assert Path(outputs.to_template).stat().st_size > 0
