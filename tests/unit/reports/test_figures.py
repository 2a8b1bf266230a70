"""Pictures of a scan: what is where in them."""

from __future__ import annotations

import numpy as np
import pytest
from finished_scans import AFFINE, BOXES, head
from PIL import Image

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.reports.contact_sheet import COLUMNS, TILE, colour_of, draw_sheet
from pvs_bidsapp.reports.figures import draw_all, pyplot
from pvs_bidsapp.reports.palette import GROUPS, OTHER, SERIES, group_of


@pytest.fixture
def arrays():
    return head()


def test_every_region_belongs_to_a_group_with_a_colour_of_its_own():
    groups = {group_of(region.name) for region in REGIONS}
    assert groups <= set(GROUPS)
    assert len({group.colour for group in (*GROUPS, OTHER)}) == len(GROUPS) + 1
    assert len(set(SERIES)) == len(SERIES)
    assert group_of('somewhere else') is OTHER


def test_the_sheet_shows_each_cluster_plain_and_outlined(tmp_path, arrays):
    zooms = np.linalg.norm(AFFINE[:3, :3], axis=0)
    path = draw_sheet(
        arrays['t1w'], zooms, arrays['brain'], arrays['regions'], arrays['clusters'], tmp_path / 'sheet.webp'
    )
    sheet = np.asarray(Image.open(path).convert('RGB')).astype(int)
    assert sheet.shape == (TILE, COLUMNS * 2 * TILE, 3)
    for k in range(len(BOXES)):
        plain, outlined = (sheet[:, (2 * k + side) * TILE : (2 * k + side + 1) * TILE] for side in (0, 1))
        assert np.ptp(plain, axis=2).max() < 25  # grey
        assert np.ptp(outlined, axis=2).max() > 45  # coloured
        middle = slice(TILE // 2 - 2, TILE // 2 + 2)
        assert plain[middle, middle].mean() < plain.mean()  # the cluster is dark, and in the middle
    assert sheet[:, 2 * len(BOXES) * TILE :].max() < 5  # but for the noise of the compression


def test_a_sheet_without_clusters_is_black(tmp_path, arrays):
    empty = np.zeros_like(arrays['clusters'])
    path = draw_sheet(
        arrays['t1w'], np.ones(3), arrays['brain'], arrays['regions'], empty, tmp_path / 'a.webp'
    )
    assert np.asarray(Image.open(path).convert('RGB')).max() < 5


def test_the_spaces_are_seen_on_their_side_in_the_colour_of_their_region(tmp_path, arrays):
    left = next(r.index for r in REGIONS if group_of(r.name).name == 'deep white matter')
    right = next(r.index for r in REGIONS if group_of(r.name).name == 'hippocampus')
    x = np.arange(arrays['brain'].shape[0])[:, None, None]
    # the first axis points to the left
    arrays['regions'] = np.where(arrays['brain'] > 0, np.where(x >= 24, left, right), 0).astype(np.uint8)
    clusters = np.where(arrays['clusters'] == 1, 0, arrays['clusters'])  # the first lies on both sides
    made = draw_all(
        arrays['t1w'], AFFINE, brain=arrays['brain'], regions=arrays['regions'], clusters=clusters,
        t2w=None, folder=tmp_path,
    )  # fmt: skip
    assert set(made) == {'glass', 'clusters', 'brain', 'regions'}
    picture = np.asarray(Image.open(made['glass']).convert('RGB')).astype(int)
    views = np.array_split(picture[: int(0.85 * len(picture))], 4, axis=1)  # without the legend
    for region, seen in ((left, [True, False]), (right, [False, True])):
        distance = [np.abs(view - colour_of(region)).sum(2).min() for view in views[:2]]
        assert [d < 60 for d in distance] == seen


def test_a_space_across_a_border_has_the_colour_of_the_region_that_counts_it(tmp_path, arrays):
    one, other = (
        next(r.index for r in REGIONS if group_of(r.name).name == n)
        for n in ('deep white matter', 'hippocampus')
    )
    clusters = np.where(arrays['clusters'] == 1, 1, 0)
    x = np.arange(arrays['brain'].shape[0])[:, None, None]
    regions = np.where(arrays['brain'] > 0, np.where(x >= 23, one, other), 0).astype(np.uint8)
    made = draw_all(
        arrays['t1w'],
        AFFINE,
        brain=arrays['brain'],
        regions=regions,
        clusters=clusters,
        t2w=None,
        folder=tmp_path,
    )
    picture = np.asarray(Image.open(made['glass']).convert('RGB')).astype(int)
    from_above = np.array_split(picture[: int(0.85 * len(picture))], 4, axis=1)[3]
    nearest = [np.abs(from_above - colour_of(region)).sum(2).min() for region in (one, other)]
    assert nearest[0] < 60 < nearest[1]


def test_figures_leave_the_backend_of_a_notebook_as_it_is():
    import matplotlib.pyplot as plt

    before = plt.get_backend()
    try:
        plt.switch_backend('svg')
        pyplot()
        assert plt.get_backend() == 'svg'
    finally:
        plt.switch_backend(before)
