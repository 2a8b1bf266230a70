"""The other simulator: a seed gives one head, masks and d' are as they should be, and scores are fair."""

from __future__ import annotations

import sys

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from pvs_bidsapp.bids.naming import Naming, labels_dir
from pvs_bidsapp.outputs.ground_truth import read_detectability
from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.simulation.label_maps import Anatomy

WHITE_MATTER, CORTEX, VENTRICLE, CAUDATE = 2, 3, 4, 11
SIGNAL = 20.0


@pytest.fixture(scope='module')
def benchmark(script):
    with script('other_simulator') as module:
        yield module


@pytest.fixture(scope='module')
def heads(benchmark):
    return sys.modules['other_heads']


@pytest.fixture(scope='module')
def anatomy() -> Anatomy:
    """A round brain with a ventricle in its middle and a nucleus beside it."""
    grid = np.stack(np.indices((46, 44, 42)), -1) - np.array([23, 22, 21])
    distance = np.linalg.norm(grid, axis=-1)
    labels = np.zeros(distance.shape, np.int16)
    for radius, code in ((18, CORTEX), (16, WHITE_MATTER), (3, VENTRICLE)):
        labels[distance < radius] = code
    labels[np.linalg.norm(grid - [9, 0, 0], axis=-1) < 4] = CAUDATE
    affine = np.eye(4)
    affine[:3, 3] = [-23, 5, 70]
    return Anatomy(labels, affine, 'round')


@pytest.fixture(scope='module')
def head(heads, anatomy):
    return heads.draw_head(anatomy, heads.SUITES['easy'], np.random.default_rng(5))


def arrays(head):
    return {name: value for name, value in vars(head).items() if name != 'table'}


def test_a_seed_gives_one_head(heads, anatomy, head):
    again = heads.draw_head(anatomy, heads.SUITES['easy'], np.random.default_rng(5))
    other = heads.draw_head(anatomy, heads.SUITES['easy'], np.random.default_rng(6))
    for name, value in arrays(head).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert head.table.equals(again.table)
    assert not np.array_equal(head.index, other.index)


def test_hard_heads_have_more_noise_and_thinner_spaces(heads, anatomy, head):
    hard = heads.draw_head(anatomy, heads.SUITES['hard'], np.random.default_rng(5))
    assert hard.table['width_mm'].mean() < 0.85 * head.table['width_mm'].mean()
    white = (head.labels == WHITE_MATTER) & (head.index == 0) & (hard.index == 0)
    steps = [np.abs(np.diff(h.t1w, axis=0)[white[1:]]).mean() for h in (head, hard)]
    assert steps[1] > 1.5 * steps[0]


def test_spaces_are_in_white_matter_and_nuclei(head):
    touched = head.occupancy > 0
    np.testing.assert_array_equal(touched, head.index > 0)
    assert set(np.unique(head.labels[touched])) == {WHITE_MATTER, CAUDATE}
    assert head.occupancy.max() == 1
    assert head.brain[touched].all()
    assert set(head.table['index']) == set(np.unique(head.index[touched]))
    codes = {'white-matter': WHITE_MATTER, 'basal-ganglia': CAUDATE}
    for row in head.table.itertuples():
        assert set(np.unique(head.labels[head.index == row.index])) == {codes[row.region]}


def test_spaces_are_dark_in_t1w_and_bright_in_t2w(head):
    full, white = head.occupancy == 1, (head.labels == WHITE_MATTER) & (head.index == 0)
    assert np.median(head.t1w[full]) < 0.7 * np.median(head.t1w[white])
    assert np.median(head.t2w[full]) > 1.4 * np.median(head.t2w[white])


def test_the_crop_keeps_its_place(heads, anatomy):
    cropped, brain, _ = heads.cut(anatomy)
    assert cropped.labels.shape < anatomy.labels.shape
    voxels = np.argwhere(brain)
    places = apply_affine(np.linalg.inv(anatomy.affine) @ cropped.affine, voxels).round().astype(int)
    np.testing.assert_array_equal(anatomy.labels[tuple(places.T)], cropped.labels[tuple(voxels.T)])


def rod(heads, **changes):
    """A straight oblique rod of 12 mm, in the middle of 24 voxels each way."""
    along = np.arange(-6, 6.01, 0.2)[:, None]
    parts = {'length': 12.0, 'width': 2.4, 'contrast': 0.5, 'region': 'white-matter'} | changes
    return heads.Rod(points=np.array([12.0, 12.0, 12.0]) + along * np.array([0.36, 0.48, 0.8]), **parts)


def test_a_rod_has_its_volume(heads):
    everywhere = {'white-matter': np.ones((48, 48, 48), bool)}
    index = heads.render([rod(heads)], everywhere, (48, 48, 48))
    exact = np.pi * 1.2**2 * 12 + 4 / 3 * np.pi * 1.2**3  # its ends are round
    assert (index > 0).sum() / 8 == pytest.approx(exact, rel=0.03)
    assert heads.coarsen((index > 0).astype(float)).sum() == pytest.approx((index > 0).sum() / 8)
    assert np.argwhere(index).mean(0) == pytest.approx([24.5] * 3)  # the middle of voxel 12


def test_detectability_is_contrast_over_noise_by_the_root_of_the_energy(heads, anatomy):
    occupancy, index = np.zeros((2, 4, 4, 4), np.float32)
    occupancy[0, 0], occupancy[1, 0] = 1, 0.5
    occupancy[3, 3, 3] = 1  # of another space
    index[:2, 0], index[3, 3, 3] = 1, 3
    rods = [rod(heads), rod(heads), rod(heads, contrast=0.25)]
    table = heads.rod_table(rods, anatomy, occupancy, index.astype(int), SIGNAL)
    assert table['index'].tolist() == [1, 3]
    assert table['detectability'].tolist() == pytest.approx([0.5 * SIGNAL * np.sqrt(5), 0.25 * SIGNAL])
    assert table['volume_mm3'].tolist() == [6, 1]


def test_heads_are_read_as_written(heads, head, tmp_path):
    head.save(tmp_path / 'head.npz')
    back = heads.Head.load(tmp_path / 'head.npz')
    for name, value in arrays(head).items():
        np.testing.assert_array_equal(value, getattr(back, name))
    assert back.table.equals(head.table)


def test_a_perfect_network(benchmark, head):
    scores = benchmark.score_head('one', head, head.reference.astype(np.float32), 0.4)
    assert scores.auprc == 1
    assert (scores.dice == 1).all()
    assert (scores.volume == 1).all()
    assert scores.false_clusters == 0
    is_found = scores.spaces.set_index('index')['is_found']
    assert set(is_found.index[is_found]) == set(np.unique(head.index[head.reference]))
    assert benchmark.main_row([scores], 0.4)[2:] == ['1.000 (at 0.4)', '1.00', '0.0', '1.000', '0.000']


def test_a_network_that_finds_nothing(benchmark, head):
    scores = benchmark.score_head('one', head, np.zeros(head.brain.shape, np.float32), 0.4)
    assert scores.auprc == pytest.approx(head.reference.sum() / head.brain.sum())
    assert (scores.dice == 0).all()
    assert (scores.volume == 0).all()
    assert not scores.spaces['is_found'].any()
    assert scores.false_clusters == 0
    assert np.isnan(scores.calibration).all()
    assert np.isnan(scores.expected)
    assert set(benchmark.recall_row([scores], 0.4)) <= {'none', *(f'0.00 ({n})' for n in range(999))}


def test_false_clusters_and_calibration(benchmark, head):
    probability = head.reference.astype(np.float32)
    far = np.argwhere(head.brain & (head.labels == CORTEX))[0]
    probability[tuple(far)] = 0.6
    probability[head.labels == VENTRICLE] = 0.6
    inside = np.argwhere(head.reference)[:7]
    probability[tuple(inside.T)] = 0.6
    scores = benchmark.score_head('one', head, probability, 0.5)
    assert scores.false_clusters == 2
    number = 1 + (head.labels == VENTRICLE).sum()
    assert scores.calibration[:, 2] == pytest.approx([0.6, 7 / (7 + number)])
    assert benchmark.score_head('one', head, probability, 0.65).false_clusters == 0


def test_the_tables_of_a_perfect_network(benchmark, head, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'probability_map', lambda head, _: head.reference.astype(np.float32) * 0.8)
    model = load_model('t2')
    benchmark.print_tables(
        [(model.card, benchmark.judge(model, {('easy', '13'): head, ('easy', '14'): head}))]
    )
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| t2')]
    assert len(rows) == 4
    default = model.card.threshold
    shown = f'| easy | 1.000 | 1.000 (at 0.05) | 1.000 (at {default:g}) | 1.00 | 0.0 | 0.889 | 0.111 |'
    assert shown in rows[0]
    assert rows[2].count('1.000 (1.00)') == 5
    assert rows[3].endswith('| none | none | none | 0.80: 1.00 |')


def test_patches_replace_those_of_the_card(benchmark):
    model = load_model('t2')
    assert benchmark.with_patches(model, None) is model
    card = benchmark.with_patches(model, [64, 48]).card
    assert (card.patch_size, card.stride, card.threshold) == (64, 48, model.card.threshold)


def test_the_dataset_holds_the_heads(benchmark, head, tmp_path):
    benchmark.write_bids({('easy', '13'): head}, tmp_path)
    names = Naming(tmp_path, (('sub', 'easy13'),))
    t1w = nib.load(names.anat('T1w'))
    np.testing.assert_array_equal(t1w.affine, head.affine)
    np.testing.assert_array_equal(np.asarray(t1w.dataobj), np.where(head.brain, head.t1w, 0))
    labels = Naming(labels_dir(tmp_path), names.entities)
    mask = np.asarray(nib.load(labels.anat('mask', label='PVS')).dataobj)
    np.testing.assert_array_equal(mask, head.reference)
    known = read_detectability(labels.anat('dseg', '.tsv', desc='pvs'))
    assert known.to_numpy() == pytest.approx(head.table['detectability'].to_numpy())
