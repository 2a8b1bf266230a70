"""The workflow of one scan: a factory that only connects interfaces."""

from __future__ import annotations

import re

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from ..bids.naming import Naming
from ..bids.query import Scan
from ..interfaces.anatomy import Conform, Coregister, ExtractBrain, FindRegions, ToNative
from ..interfaces.derivatives import WriteDerivatives
from ..interfaces.reports import DrawFigures
from ..interfaces.segmentation import Measure, Segment
from ..settings import Settings


def workflow_name(scan: Scan, settings: Settings) -> str:
    """Name of a scan's workflow: its entities, as nipype allows them."""
    return 'scan_' + re.sub(r'\W', '_', Naming.of(settings.out_dir, scan.t1w).stem)


def init_scan_wf(scan: Scan, settings: Settings) -> pe.Workflow:
    """Build the workflow of one scan.

    Parameters
    ----------
    scan : Scan
    settings : Settings

    Returns
    -------
    Workflow
        Reads the scan, writes its derivatives.
    """
    workflow = pe.Workflow(name=workflow_name(scan, settings))
    inputs = pe.Node(IdentityInterface(fields=['t1w']), name='inputnode')
    inputs.inputs.t1w = str(scan.t1w)
    write = pe.Node(WriteDerivatives(scan=scan, settings=settings), name='write', mem_gb=1.0)
    draw = pe.Node(DrawFigures(), name='draw', mem_gb=1.0)
    anatomy, native = _connect_anatomy(workflow, inputs, scan, settings)
    segment = _connect_segmentation(workflow, anatomy, native, write, settings)
    workflow.connect([
        (native, write, [
            ('preproc', 'preproc'), ('brain', 'brain'), ('tissues', 'tissues'),
        ]),
        (native, draw, [('preproc', 't1w'), ('brain', 'brain')]),
        (anatomy, write, [('stripped', 'stripped')]),
        (draw, write, [('figures', 'figures')]),
    ])  # fmt: skip
    measure = workflow.get_node('measure')
    workflow.connect([(measure, draw, [('clusters', 'clusters'), ('regions', 'regions')])])
    if scan.t2w is not None:
        coregister = _coregistration(scan, settings)
        workflow.connect([
            (workflow.get_node('conform'), coregister, [('out_file', 't1w')]),
            (anatomy, coregister, [('brain', 'brain')]),
            (native, coregister, [('preproc', 'reference')]),
            (coregister, draw, [('out_file', 't2w')]),
            (coregister, write, [('out_file', 't2w')]),
        ])  # fmt: skip
        if 'T2w' in settings.analysis.channels:
            workflow.connect(coregister, 'out_file', segment, 't2w')
    return workflow


def _connect_anatomy(
    workflow: pe.Workflow, inputs: pe.Node, scan: Scan, settings: Settings
) -> tuple[pe.Node, pe.Node]:
    """Brain, tissues, regions; then the same on the scan's own grid."""
    seed = settings.analysis.random_seed
    conform = pe.Node(Conform(), name='conform', mem_gb=1.0)
    anatomy = pe.Node(ExtractBrain(seed=seed), name='extract_brain', mem_gb=2.5)
    if scan.brain_mask is not None:
        anatomy.inputs.brain_mask = str(scan.brain_mask)
    if scan.segmentation is not None:
        anatomy.inputs.segmentation = str(scan.segmentation)
    regions = pe.Node(FindRegions(seed=seed), name='find_regions', mem_gb=2.0)
    native = pe.Node(ToNative(), name='to_native', mem_gb=1.5)
    workflow.connect([
        (inputs, conform, [('t1w', 'in_file')]),
        (conform, anatomy, [('out_file', 'in_file')]),
        (anatomy, regions, [('brain', 'brain'), ('tissues', 'tissues'), ('to_subject', 'to_subject')]),
        (inputs, native, [('t1w', 'in_file')]),
        (anatomy, native, [('brain', 'brain'), ('tissues', 'tissues'), ('bias', 'bias')]),
        (regions, native, [('regions', 'regions')]),
    ])  # fmt: skip
    return anatomy, native


def _connect_segmentation(
    workflow: pe.Workflow, anatomy: pe.Node, native: pe.Node, write: pe.Node, settings: Settings
) -> pe.Node:
    """Network, clusters and tables."""
    analysis, execution = settings.analysis, settings.execution
    segment = pe.Node(
        Segment(
            model=analysis.model_dir, identity=f'{analysis.model_version} {analysis.model_sha256}',
            device=execution.device, num_threads=execution.omp_nthreads,
        ),
        name='segment', mem_gb=4.5, n_procs=execution.omp_nthreads,
    )  # fmt: skip
    measure = pe.Node(
        Measure(threshold=analysis.threshold, min_cluster_size=analysis.min_cluster_size),
        name='measure', mem_gb=1.0,
    )  # fmt: skip
    workflow.connect([
        (native, segment, [('preproc', 't1w')]),
        (anatomy, segment, [('brain', 'brain'), ('tissues', 'tissues')]),
        (segment, measure, [('probability', 'probability')]),
        (native, measure, [('regions', 'regions')]),
        (anatomy, measure, [('to_subject', 'to_subject')]),
        (measure, write, [
            ('probability', 'probability'), ('regions', 'regions'), ('clusters', 'clusters'), ('cluster_table', 'cluster_table'),
            ('region_table', 'region_table'), ('grades', 'grades'),
        ]),
    ])  # fmt: skip
    return segment


def _coregistration(scan: Scan, settings: Settings) -> pe.Node:
    return pe.Node(
        Coregister(t2w=str(scan.t2w), seed=settings.analysis.random_seed),
        name='coregister', mem_gb=2.5,
    )  # fmt: skip
