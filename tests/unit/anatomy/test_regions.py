import numpy as np

from pvs_bidsapp.anatomy import regions, template, tissues
from pvs_bidsapp.anatomy.registration import Transform, deterministic


def test_white_matter_keeps_its_dark_spots():
    classes = np.full((60, 60, 60), tissues.WM, np.uint8)
    classes[30, 30, 30:34] = tissues.CSF
    classes[:, :, :10] = tissues.CSF
    white = regions.white_matter(classes, np.full(classes.shape, 0.8), np.zeros(classes.shape, np.uint8))
    assert white[30, 30, 30:34].all()
    assert not white[:, :, :5].any()


def test_regions_of_the_template_itself(tmp_path):
    deterministic(1)
    atlas = template.load()
    classes = np.where(atlas.wm > 0.5, 3, np.where(atlas.gm > 0.4, 2, 1)) * atlas.brain_mask
    ventricles = np.isin(atlas.cerebra, [41, 92])
    classes[ventricles] = 1
    found = regions.find_regions(atlas.brain_mask, classes.astype(np.uint8), atlas.affine, Transform((), ()))
    assert set(np.unique(found)) - {0} == {r.index for r in regions.REGIONS}
    assert not found[ventricles].any()
    putamen = np.isin(atlas.cerebra, template.FREESURFER_CODES[12])
    assert (found[putamen] == 21).mean() > 0.9
    x = (np.argwhere(found == 1) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])[:, 0]
    assert (x < 1).all()
