import numpy as np

from pvs_bidsapp.anatomy import template


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
