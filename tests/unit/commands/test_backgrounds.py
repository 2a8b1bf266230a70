"""Outputs of ``participant`` as backgrounds of training patches."""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import pytest
from real_backgrounds import make_maps, write_background_scan
from refusals import refused

from pvs_bidsapp.commands import backgrounds
from pvs_bidsapp.commands.backgrounds import find_backgrounds, read_maps
from pvs_bidsapp.messages import training
from pvs_bidsapp.runtime.files import save_image


@pytest.fixture
def out(tmp_path):
    write_background_scan(tmp_path / 'out', 'sub-01_T1w.nii.gz', ('T1w', 'T2w'))
    write_background_scan(tmp_path / 'out', 'sub-02_T1w.nii.gz')
    return tmp_path / 'out'


def test_scans_with_all_channels_are_found(out, caplog):
    assert [scan.name for scan in find_backgrounds([out], ('T1w',))] == ['sub-01', 'sub-02']
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        for channels in (('T1w', 'T2w'), ('T2w',)):
            (scan,) = find_backgrounds([out], channels)
            assert scan.name == 'sub-01'
            assert [path.name.split('_')[-1] for path in scan.images] == [f'{c}.nii.gz' for c in channels]
    assert '1 of 2 scans have no T1w+T2w' in caplog.text


def test_a_t2w_alone_is_found(tmp_path):
    write_background_scan(tmp_path, 'sub-01_T2w.nii.gz', ('T2w',))
    (scan,) = find_backgrounds([tmp_path], ('T2w',))
    assert scan.images[0].name == 'sub-01_desc-preproc_T2w.nii.gz'
    with refused(training.BACKGROUND_CHANNELS, naming=str(tmp_path)):
        find_backgrounds([tmp_path], ('T1w',))


def test_what_is_missing_is_named(out, tmp_path):
    (tmp_path / 'bids').mkdir()
    with refused(training.NO_BACKGROUND, naming=f'--backgrounds {tmp_path / "bids"}'):
        find_backgrounds([tmp_path / 'bids'], ('T1w',))
    (out / 'sub-02/anat/sub-02_label-PVS_probseg.nii.gz').unlink()
    with refused(training.BACKGROUND_INCOMPLETE, naming='sub-02_label-PVS_probseg.nii.gz'):
        find_backgrounds([out], ('T1w',))


def test_a_region_map_of_another_version_is_refused(out):
    table = out / 'sub-02/anat/sub-02_seg-regions_dseg.tsv'
    table.write_text(table.read_text().replace('21\tcaudate left', '21\tbasal ganglia left'))
    with refused(training.BACKGROUND_REGIONS, naming=f'{table}: '):
        find_backgrounds([out], ('T1w',))
    table.unlink()
    with refused(training.BACKGROUND_REGIONS, naming=f'{table}: '):
        find_backgrounds([out], ('T1w',))


def test_a_scan_comes_in_the_units_of_a_network(out):
    (scan,) = find_backgrounds([out], ('T1w', 'T2w'))
    maps, made = read_maps(scan, (0.6, 1.2)), make_maps()
    np.testing.assert_allclose(maps.spacing, [1.0, 0.9, 1.1], atol=1e-5)
    white = maps.tissues == 3
    assert white.sum() == (made.tissues == 3).sum()
    for channel in maps.image:
        assert np.median(channel[white]) == pytest.approx(0.4, abs=0.02)
        assert np.median(channel[maps.tissues == 1]) == pytest.approx(-2.0, abs=0.1)
    left, right = (np.argwhere(maps.regions == index)[:, 0].mean() for index in (1, 11))
    assert left < right


def test_a_scan_without_regions_is_refused(out, tmp_path):
    scan = find_backgrounds([out], ('T1w',))[0]
    image = nib.load(scan.regions)
    save_image(scan.regions, np.zeros(image.shape), image.affine, np.uint8)
    with refused(training.BACKGROUND_EMPTY, naming=scan.regions.name):
        backgrounds._cache_background(scan, 1.0, tmp_path / 'a.npz')
    assert not (tmp_path / 'a.npz').exists()
