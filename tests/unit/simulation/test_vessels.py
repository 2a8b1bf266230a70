import numpy as np

from pvs_bidsapp.simulation import label_maps, vessels


def test_medullary_pvs_point_from_the_cortex_to_the_ventricle(template_head):
    territory = vessels.territories(template_head, vessels.Distances.of(template_head))[0]
    to_ventricle = label_maps.distance(template_head.select(*label_maps.VENTRICLES), template_head.spacing)
    points = np.argwhere(territory.mask & (to_ventricle < 20))[::5000] * template_head.spacing
    closer = 0
    for point in points:
        heading = territory.direction(point)
        heading /= np.linalg.norm(heading)
        there = np.rint((point + 3 * heading) / template_head.spacing).astype(int)
        here = np.rint(point / template_head.spacing).astype(int)
        closer += to_ventricle[tuple(there)] < to_ventricle[tuple(here)]
    assert closer > 0.8 * len(points)
