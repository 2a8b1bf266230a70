import edt
import numpy as np
import pytest

from pvs_bidsapp.anatomy import regions, template, tissues
from pvs_bidsapp.anatomy.registration import Transform, deterministic
from pvs_bidsapp.anatomy.structures import Structure, template_structures

IDENTITY = Transform((), ())


def test_white_matter_keeps_its_dark_spots():
    classes = np.full((60, 60, 60), tissues.WM, np.uint8)
    classes[30, 30, 30:34] = tissues.CSF
    classes[:, :, :10] = tissues.CSF
    white = regions.white_matter(classes, np.full(classes.shape, 0.8), np.ones(classes.shape, bool))
    assert white[30, 30, 30:34].all()
    assert not white[:, :, :5].any()


@pytest.fixture(scope='module')
def atlas():
    return template.load()


@pytest.fixture(scope='module')
def classes(atlas):
    """Tissue classes of the template."""
    deterministic(1)
    made = np.where(atlas.wm > 0.5, 3, np.where(atlas.gm > 0.4, 2, 1)) * atlas.brain_mask
    made[np.isin(atlas.cerebra, [41, 92])] = 1
    return made.astype(np.uint8)


@pytest.fixture(scope='module')
def found(atlas, classes):
    return regions.find_regions(atlas.brain_mask, classes, atlas.affine, IDENTITY)


def index_of(name, hemisphere):
    (region,) = (r for r in regions.REGIONS if (r.name, r.hemisphere) == (name, hemisphere))
    return region.index


def test_regions_of_the_template_itself(atlas, found):
    assert set(np.unique(found.labels)) - {0} == {r.index for r in regions.REGIONS}
    assert not found.labels[np.isin(atlas.cerebra, [41, 92])].any()  # lateral ventricles
    putamen = np.isin(atlas.cerebra, template.FREESURFER_CODES[12])
    assert (found.labels[putamen] == index_of('lentiform nucleus', 'left')).mean() > 0.9
    x = (np.argwhere(found.labels == 1) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])[:, 0]
    assert (x < 1).all()
    assert found.overlap > 0.9


def test_what_lies_about_the_third_ventricle_belongs_to_no_lobe(atlas, found):
    third = template_structures() == Structure.THIRD_VENTRICLE
    lobar = np.isin(found.labels, regions.indices_of('deep white matter'))
    assert edt.edt(~third)[lobar].min() > regions.CENTRAL


def test_the_corpus_callosum_is_not_deep_white_matter(found):
    assert not found.labels[template_structures() == Structure.CALLOSUM].any()


def test_landmarks(atlas, found):
    assert (found.landmarks[np.isin(atlas.cerebra, [41, 92])] == regions.VENTRICLES).mean() > 0.9
    cortex = found.landmarks == regions.CORTEX
    assert cortex.sum() > 200_000
    assert not found.labels[cortex].any()


def test_no_brain_no_regions(atlas, classes):
    empty = regions.find_regions(np.zeros_like(atlas.brain_mask), classes, atlas.affine, IDENTITY)
    assert not empty.labels.any()
    assert not empty.landmarks.any()


def test_a_wide_field_of_view_changes_nothing(atlas, classes, found):
    widths = ((30, 8), (5, 12), (20, 3))
    moved = np.eye(4)
    moved[:3, 3] = [-before for before, _ in widths]
    wide = regions.find_regions(
        np.pad(atlas.brain_mask, widths), np.pad(classes, widths), atlas.affine @ moved, IDENTITY
    )
    np.testing.assert_array_equal(wide.labels, np.pad(found.labels, widths))
    np.testing.assert_array_equal(wide.landmarks, np.pad(found.landmarks, widths))
    assert wide.overlap == found.overlap


def test_a_ready_made_segmentation_decides_what_is_what(atlas, classes, found):
    """FreeSurfer codes with a caudate that is a putamen by the template."""
    labels = np.where(atlas.wm > 0.5, 2, np.where(atlas.brain_mask, 3, 0)).astype(np.int32)
    putamen = np.isin(atlas.cerebra, template.FREESURFER_CODES[12])
    labels[putamen] = 11
    own = regions.find_regions(atlas.brain_mask, classes, atlas.affine, IDENTITY, segmentation=labels)
    assert (own.labels[putamen] == index_of('caudate', 'left')).mean() > 0.9
    tissue = regions.find_regions(
        atlas.brain_mask, classes, atlas.affine, IDENTITY, segmentation=classes.astype(np.int32)
    )
    np.testing.assert_array_equal(tissue.labels, found.labels)  # they name no structure


def test_each_region_belongs_to_one_total():
    members = [index for total in regions.TOTALS for index in regions.indices_of(total)]
    assert sorted(members) == [r.index for r in regions.REGIONS]
    for side, other in (('left', 'right'), ('right', 'left')):
        assert not set(regions.indices_of('basal ganglia', side)) & set(
            regions.indices_of('basal ganglia', other)
        )
    assert regions.indices_of('midbrain', 'left') == []
