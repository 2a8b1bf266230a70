import numpy as np

from pvs_bidsapp.simulation import ageing, label_maps


def test_the_old_have_larger_ventricles_and_less_cortex(brain):
    young, old = (ageing.age_anatomy(brain, np.random.default_rng(1), age) for age in (25, 85))
    for codes, grows in ((label_maps.LATERAL_VENTRICLES, True), (label_maps.CORTEX, False)):
        sizes = [a.select(*codes).sum() for a in (young, old)]
        assert (sizes[1] > 1.05 * sizes[0]) == grows
        assert (sizes[1] < 0.98 * sizes[0]) != grows
