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


def test_dense_spaces_are_more_and_thinner(template_head):
    distances = vessels.Distances.of(template_head)
    drawn = {
        is_dense: [
            v
            for v in vessels.draw(
                template_head, np.random.default_rng(3), burden=0.6, distances=distances, is_dense=is_dense
            )
            if v.region == 'white-matter'
        ]
        for is_dense in (False, True)
    }
    white = (
        vessels.territories(template_head, distances)[0].mask.sum() * np.prod(template_head.spacing) / 1000
    )
    low, high = vessels.DENSITIES['white-matter'].count
    assert 3 * low < len(drawn[True]) / white < high
    assert len(drawn[True]) > 1.5 * len(drawn[False])
    thin, wide = (np.mean([v.width for v in drawn[k]]) for k in (True, False))
    assert thin < 0.9 * wide
