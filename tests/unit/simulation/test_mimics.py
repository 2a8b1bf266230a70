import numpy as np

from pvs_bidsapp.simulation import mimics


def test_mimics_of_all_common_kinds_are_outside_pvs(brain):
    occupied = np.zeros(brain.labels.shape, bool)
    occupied[60:64, 80:110, 90:95] = True
    found = np.zeros(len(mimics.MIMIC_NAMES) + 1, int)
    for seed in range(3):
        drawn = mimics.draw(brain, occupied, np.random.default_rng(seed), amount=1.0)
        assert drawn.fluid[occupied].max() == 0
        assert drawn.codes[occupied].max() == 0
        assert drawn.lesion.min() >= 0
        assert drawn.lesion.max() <= 1
        found += np.bincount(drawn.codes.ravel(), minlength=len(found))
    assert (found[[1, 2, 4, 5, 6, 7, 8, 9]] > 0).all()
    assert not mimics.draw(brain, occupied, np.random.default_rng(0), amount=0).codes.any()
