"""The Python API from its arguments to its results; no step of the workflow is run."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from finished_scans import AFFINE, finish_scan, head
from layouts import put_images, put_results
from model_cards import card
from refusals import refused

from pvs_bidsapp.api import find_pvs, group, measure
from pvs_bidsapp.bids.naming import GroupNaming
from pvs_bidsapp.cli.main import main
from pvs_bidsapp.commands.group import GroupOutcome
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.messages import datasets, masks, options, people, scans
from pvs_bidsapp.outputs.methods import methods
from pvs_bidsapp.runtime.files import save_image, write_text
from pvs_bidsapp.segmentation.model import write_model
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.settings import GIVEN_MASK
from pvs_bidsapp.workflows import engine

#: Step of the probabilities in their file.
STEP = 2.0**-15


@pytest.fixture
def worked_on(monkeypatch):
    """Finish every scan at once with made-up results; returns what the steps would have been given."""
    given = []

    def run_scans(todo, settings, failures, *, total, on_end):
        for scan in todo:
            given.append((scan, settings, {name: nib.load(path).shape for name, path in scan.files.items()}))
            description = settings.out_dir / 'dataset_description.json'
            own = description.read_bytes()
            names, arrays = finish_scan(settings.out_dir, scan.anat.name, drawn=False), head()
            description.write_bytes(own)
            put_results(scan, settings)
            inside = arrays['clusters'] > 0
            save_image(names.anat('mask', label='PVS'), inside, AFFINE, np.uint8)
            save_image(names.anat('probseg', label='PVS'), arrays['probability'], AFFINE, np.int16, step=STEP)
            save_image(names.anat('dseg', seg='regions'), arrays['regions'], AFFINE, np.uint8)
            on_end(scan)

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    return given


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """The arguments of a model that is built in no time, and of the device."""
    folder = tmp_path_factory.mktemp('data') / 'model'
    architecture = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 2, 'filters': 2, 'dropout': 0.0}
    write_model(folder, build(architecture), card(architecture=architecture))
    return {'model': folder, 'device': 'cpu'}


@pytest.fixture
def t1w(tmp_path):
    return put_images(tmp_path, 'head.nii.gz') / 'head.nii.gz'


def end_without_results(todo, settings, failures, *, total, on_end):
    for scan in todo:
        on_end(scan)


def cube(size=60):
    image = np.zeros((size,) * 3, np.uint8)
    image[10:20, 10:20, 10:20] = 1
    return nib.Nifti1Image(image, np.diag([3.0, 3, 3, 1]))


def test_it_imports_no_network_and_no_workflow_before_they_are_needed():
    code = 'import sys, pvs_bidsapp.api; assert not {"torch", "nipype", "ants"} & set(sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_the_command_keeps_what_the_function_has_found(tmp_path, t1w, model, worked_on, capsys):
    find_pvs(t1w, out_dir=tmp_path / 'out', threshold=0.25, min_cluster_size=3, **model)
    command = ['predict', t1w, tmp_path / 'out', '--device', 'cpu', '--model', model['model']]
    assert main([*map(str, command), '--threshold', '0.25', '--min-cluster-size', '3']) == 0
    assert len(worked_on) == 1
    assert 'head.nii.gz: done before with the same settings, kept' in capsys.readouterr().out


def test_the_steps_run_in_the_process_that_calls(tmp_path, t1w, model, worked_on):
    find_pvs(t1w, threads=3, **model)
    execution = worked_on[0][1].execution
    assert Path(execution.plugin).name == 'in_process.yml'
    assert execution.omp_nthreads == 3
    assert not execution.work_dir.exists()


def test_images_in_memory_reach_the_steps_as_files_do(tmp_path, t1w, model, worked_on):
    put_images(tmp_path, 't2.nii')
    find_pvs(nib.load(t1w), tmp_path / 't2.nii', brain_mask=cube(40), segmentation=str(t1w), **model)
    scan, _, shapes = worked_on[0]
    assert scan.anat.name == 'sub-head_T1w.nii.gz'
    assert shapes == {'t1w': (60,) * 3, 't2w': (60,) * 3, 'brain_mask': (40,) * 3, 'segmentation': (60,) * 3}
    find_pvs(cube(), **model)
    assert worked_on[1][0].anat.name == 'sub-scan_T1w.nii.gz'


def test_an_image_in_memory_is_known_again_and_another_one_is_not(tmp_path, model, worked_on):
    for _ in range(2):
        find_pvs(cube(), out_dir=tmp_path / 'out', **model)
    assert len(worked_on) == 1
    with pytest.raises(InputError, match='OUT_DIR holds results for sub-scan'):
        find_pvs(cube(61), out_dir=tmp_path / 'out', **model)


def test_it_works_in_a_thread(tmp_path, t1w, model, worked_on):
    with ThreadPoolExecutor() as pool:
        assert pool.submit(find_pvs, t1w, **model).result().counts['all', 'both'] == 1


def test_results_are_those_of_the_files(tmp_path, t1w, model, worked_on):
    result, arrays = find_pvs(t1w, **model), head()
    np.testing.assert_array_equal(result.mask.get_fdata(), arrays['clusters'] > 0)
    np.testing.assert_array_equal(result.labels.get_fdata(), arrays['clusters'])
    np.testing.assert_array_equal(result.regions.get_fdata(), arrays['regions'])
    np.testing.assert_allclose(result.probability.get_fdata(), arrays['probability'], atol=STEP)
    for image, dtype in ((result.mask, np.uint8), (result.probability, np.float32)):
        assert image.get_data_dtype() == dtype
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert list(result.clusters['n_voxels']) == [32, 24, 12, 2]
    assert result.counts['all', 'both'] == result.volumes['all', 'both'] == 1
    assert result.grades == {'a': 2}
    assert result.findings == [{'Finding': 'it is odd', 'Mend': 'look at it'}]
    (result.folder / 'work').mkdir()  # as a scan that failed leaves it
    saved = result.save(tmp_path / 'saved')
    assert (saved / result.page.name).read_text() == result.page.read_text()
    assert not list(saved.glob('work'))
    folder = result.folder
    del result
    assert not folder.exists()


def test_refusals_are_errors(tmp_path, t1w, model, worked_on, monkeypatch):
    with refused(options.VALUE, naming='--threshold 2'):
        find_pvs(t1w, threshold=2)
    with refused(datasets.NO_FILE):
        find_pvs(tmp_path / 'gone.nii')
    monkeypatch.setattr(engine, 'run_scans', end_without_results)
    with refused(scans.NOT_FINISHED, naming='head.nii.gz', status=1):
        find_pvs(t1w, **model)
    with refused(people.NO_RESULTS):
        group(tmp_path / 'nothing')


def test_a_mask_is_measured_without_a_model(t1w, worked_on, caplog):
    measure(cube(), t1w, min_cluster_size=2)
    _, settings, shapes = worked_on[0]
    assert shapes['pvs_mask'] == (60,) * 3
    analysis = settings.analysis
    assert (analysis.model_name, analysis.model_dir, analysis.min_cluster_size) == (GIVEN_MASK, '', 2)
    assert analysis.is_of_given_mask
    assert 'measured' in (paragraph := methods(settings.analysis))
    assert 'The voxels of a given mask' in paragraph
    assert 'network' not in paragraph
    # 27,000 mm3 were given, and the table tells of 1 mm3
    assert masks.OUTSIDE.finding('mask.nii.gz', percent=100 * (1 - 1 / 27000)).finding in caplog.text


def test_another_mask_is_measured_anew(tmp_path, t1w, worked_on):
    smaller = cube()
    smaller.dataobj[10] = 0
    for mask in (cube(), smaller):
        nib.save(mask, tmp_path / 'mask.nii')
        measure(tmp_path / 'mask.nii', t1w, out_dir=tmp_path / 'out')
    assert len(worked_on) == 2


@pytest.fixture
def grouped(monkeypatch):
    """Write two tables in place of statistics; returns what was asked for."""
    asked = []

    def run_group(options):
        asked.append(options)
        names = GroupNaming(options.out_dir)
        write_text(names.table('summary'), 'region\tmean\nall\tn/a\nNA\t2.5\n')
        write_text(names.table('size_filters'), 'size\n5\n')
        return GroupOutcome(page=names.page)

    monkeypatch.setattr('pvs_bidsapp.commands.group.run_group', run_group)
    return asked


def test_a_group_takes_the_options_of_the_command_and_returns_its_tables(tmp_path, grouped):
    tables = group(
        tmp_path / 'out', tmp_path, cohort='site', match=['age', 'sex'], size_filters=[0, 5], rating=None,
    )  # fmt: skip
    wanted = grouped[0]
    assert (wanted.bids_dir, wanted.out_dir) == (tmp_path, tmp_path / 'out')
    assert (wanted.cohort, wanted.match, wanted.rating) == ('site', ('age', 'sex'), None)
    assert wanted.size_filters == (0, 5)
    assert set(tables) == {'summary', 'size_filters'}
    assert tables['summary']['mean'].isna().tolist() == [True, False]
    assert tables['summary']['region'].tolist() == ['all', 'NA']
    assert tables['size_filters']['size'].tolist() == [5]


def test_an_option_that_may_be_repeated_takes_a_list(tmp_path, grouped):
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
    group(tmp_path / 'out', tmp_path, compare=[f'{name}={tmp_path / name}' for name in ('one', 'two')])
    assert set(grouped[0].compare) == {'one', 'two'}


def test_the_outputs_name_the_dataset_of_a_group(tmp_path, grouped):
    group(tmp_path / 'out')
    assert grouped[0].bids_dir is None
    with refused(options.UNKNOWN, naming='--colour'):
        group(tmp_path / 'out', colour='red')
