from dataclasses import replace
from pathlib import Path

import pytest
from layouts import put

from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.workflows.scan import init_scan_wf, workflow_name


def segment_inputs(settings):
    scan = Scan(Path(settings.bids_dir) / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz')
    return init_scan_wf(scan, settings).get_node('segment').inputs.get_hashval()[1]


@pytest.mark.parametrize('change', [{'model_sha256': 'def'}, {'model_version': '2'}])
def test_new_weights_in_the_same_folder_are_run_anew_in_an_old_work_folder(settings, change):
    other = replace(settings, analysis=replace(settings.analysis, **change))
    assert segment_inputs(settings) == segment_inputs(settings)
    assert segment_inputs(settings) != segment_inputs(other)


def test_a_newer_program_does_not_go_on_with_what_an_older_one_began(settings, monkeypatch):
    scan = Scan(Path(settings.bids_dir) / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz')
    before = workflow_name(scan, settings)
    monkeypatch.setattr('pvs_bidsapp.workflows.scan.RESULTS_VERSION', '99')
    assert workflow_name(scan, settings) != before


def test_a_ready_made_mask_takes_the_place_of_the_network(settings, tmp_path):
    mask = put(tmp_path, 'mask.nii') / 'mask.nii'
    put(settings.bids_dir, 'sub-1/anat/sub-1_T1w.nii.gz')
    scan = Scan(Path(settings.bids_dir) / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz', pvs_mask=mask)
    workflow = init_scan_wf(scan, settings)
    step, measure = workflow.get_node('segment'), workflow.get_node('measure')
    assert step.inputs.mask == str(mask)
    assert not hasattr(step.inputs, 'model')
    assert workflow._graph.get_edge_data(step, measure)['connect'] == [('probability', 'probability')]
