"""The workflow of one scan: its steps in running order, and what passes between them."""

from __future__ import annotations

import re
from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from ..bids.naming import Naming
from ..bids.query import Scan
from ..interfaces.anatomy import Conform, Coregister, ExtractBrain, FindRegions, ToNative, ToStandard
from ..interfaces.derivatives import WriteDerivatives
from ..interfaces.quality import Assess
from ..interfaces.reports import DrawFigures
from ..interfaces.segmentation import Measure, ReadMask, Segment
from ..settings import RESULTS_VERSION, Settings
from .step import Step

Nodes = dict[str, pe.Node]
#: From a node to a node: pairs of an output and an input.
Edge = tuple[pe.Node, pe.Node, list[tuple[str, str]]]
#: Peak memory of each step in GiB, measured on a whole head of 40 million voxels (0.67 mm), and a fifth more.
#: A head of 1 mm needs a third to four fifths of it.
MEMORY = {
    'conform': 1.3, 'extract_brain': 1.3, 'find_regions': 1.1, 'to_native': 1.3, 'coregister': 1.5,
    'segment': 1.5, 'measure': 1.5, 'assess': 1.5, 'to_standard': 1.5, 'draw': 1.25, 'write': 1.2,
}  # fmt: skip


def workflow_name(scan: Scan, settings: Settings) -> str:
    """Name of a scan's workflow: its entities, as nipype allows them, the key of its files, a version.

    Work folders may be shared: without the key, a scan would be given the intermediate files of another one
    of the same name, size and time. Without the version, a scan that is begun by one program and ended by a
    newer one would be given the older one's.
    """
    stem = Naming.of(settings.out_dir, scan.anat).stem.replace('+', '__')
    version = RESULTS_VERSION.replace('.', '_')
    return f'scan_{re.sub(r"[^a-zA-Z0-9]", "_", stem)}_{scan.key}_{version}'


def init_scan_wf(scan: Scan, settings: Settings) -> pe.Workflow:
    """Build the workflow of one scan.

    Parameters
    ----------
    scan : Scan
    settings : Settings

    Returns
    -------
    workflow : Workflow
        Reads the scan, writes its derivatives.
    """
    workflow = pe.Workflow(name=workflow_name(scan, settings))
    nodes = make_nodes(scan, settings)
    edges = [*anatomy_edges(nodes), *segmentation_edges(nodes)]
    edges += [*network_edges(nodes), *doubt_edges(nodes)] if scan.pvs_mask is None else []
    edges += [*quality_edges(nodes), *output_edges(nodes)]
    if scan.t2w is not None:
        edges += t2w_edges(nodes, is_channel='T2w' in settings.analysis.channels)
    workflow.connect(edges)
    if settings.analysis.output_spaces:
        workflow.connect(standard_edges(nodes))
    return workflow


def make_nodes(scan: Scan, settings: Settings) -> Nodes:
    """The steps of one scan by name, in running order, each with the memory (GiB) that it reserves.

    Parameters
    ----------
    scan : Scan
    settings : Settings

    Returns
    -------
    nodes : dict of str to Node
        With an ``inputnode``; ``coregister`` is only there if the scan has a T2w.
    """
    analysis, execution = settings.analysis, settings.execution
    source = pe.Node(IdentityInterface(fields=['anat']), name='inputnode')
    source.inputs.anat = str(scan.anat)
    ready_made = {
        name: str(path)
        for name, path in (('brain_mask', scan.brain_mask), ('segmentation', scan.segmentation))
        if path is not None
    }
    segmentation = {name: path for name, path in ready_made.items() if name == 'segmentation'}
    lesions: dict[str, Any] = {'lesions': str(scan.lesions)} if scan.lesions is not None else {}
    if analysis.exclude_wmh is not None:
        lesions['exclude_wmh'] = analysis.exclude_wmh
    suffix = {'suffix': analysis.suffix}
    threads = {'num_threads': execution.omp_nthreads}  # nipype reserves as many processors
    steps: dict[str, Any] = {
        'conform': Conform(),
        'extract_brain': ExtractBrain(seed=analysis.random_seed, **suffix, **threads, **ready_made),
        'find_regions': FindRegions(seed=analysis.random_seed, **segmentation),
        'to_native': ToNative(),
    }
    if scan.t2w is not None:
        steps['coregister'] = Coregister(
            t2w=str(scan.t2w), seed=analysis.random_seed, is_channel='T2w' in analysis.channels
        )
    steps |= {
        'segment': _segment(scan, settings),
        'measure': Measure(
            threshold=analysis.threshold,
            min_cluster_size=analysis.min_cluster_size,
            burden=analysis.burden or {},
            **lesions,
        ),
        'assess': Assess(**suffix),
        **({'to_standard': ToStandard()} if analysis.output_spaces else {}),
        'draw': DrawFigures(**suffix),
        'write': WriteDerivatives(scan=scan, settings=settings),
    }
    made = {name: Step(interface, name=name, mem_gb=MEMORY[name]) for name, interface in steps.items()}
    return {'inputnode': source, **made}


def _segment(scan: Scan, settings: Settings) -> Segment | ReadMask:
    """The step that marks voxels: the network, or a ready-made mask."""
    if scan.pvs_mask is not None:
        return ReadMask(mask=str(scan.pvs_mask), source=str(scan.anat))
    analysis, execution = settings.analysis, settings.execution
    return Segment(
        suffix=analysis.suffix,
        model=analysis.model_dir,
        identity=f'{analysis.model_version} {analysis.model_sha256} {analysis.model_use}',
        precision=analysis.precision,
        device=execution.device,
        num_threads=execution.omp_nthreads,
    )


def anatomy_edges(nodes: Nodes) -> list[Edge]:
    """Brain, tissues and regions at 1 mm; then the same on the scan's own grid."""
    brain, native = nodes['extract_brain'], nodes['to_native']
    return [
        (nodes['inputnode'], nodes['conform'], [('anat', 'in_file')]),
        (nodes['conform'], brain, [('out_file', 'in_file')]),
        (nodes['inputnode'], nodes['find_regions'], [('anat', 'source')]),
        (nodes['inputnode'], brain, [('anat', 'source')]),
        (brain, nodes['find_regions'], [(name, name) for name in ('brain', 'tissues', 'to_subject')]),
        (nodes['inputnode'], native, [('anat', 'in_file')]),
        (brain, native, [('brain', 'brain'), ('tissues', 'tissues'), ('bias', 'bias')]),
        (nodes['find_regions'], native, [('regions', 'regions')]),
    ]


def segmentation_edges(nodes: Nodes) -> list[Edge]:
    """Probabilities, then clusters and their measures."""
    return [
        (nodes['to_native'], nodes['segment'], [('preproc', 'anat')]),
        (nodes['segment'], nodes['measure'], [('probability', 'probability')]),
        (nodes['inputnode'], nodes['measure'], [('anat', 'source')]),
        (nodes['to_native'], nodes['measure'], [(n, n) for n in ('regions', 'tissues')]),
        (nodes['to_native'], nodes['measure'], [('preproc', 'anat')]),
        (nodes['find_regions'], nodes['measure'], [('landmarks', 'landmarks')]),
        (nodes['extract_brain'], nodes['measure'], [(n, n) for n in ('to_subject', 'to_template')]),
    ]


def network_edges(nodes: Nodes) -> list[Edge]:
    """What the network needs beside the T1w."""
    return [
        (nodes['to_native'], nodes['segment'], [('regions', 'regions')]),
        (nodes['extract_brain'], nodes['segment'], [('brain', 'brain'), ('tissues', 'tissues')]),
    ]


def t2w_edges(nodes: Nodes, *, is_channel: bool) -> list[Edge]:
    """The T2w on the T1w's grid, for the outputs; for the network only if it is a channel of the model.

    Parameters
    ----------
    nodes : dict of str to Node
        With ``coregister``.
    is_channel : bool
        Whether the model has a T2w channel.
    """
    coregister = nodes['coregister']
    edges = [
        (nodes['conform'], coregister, [('out_file', 't1w')]),
        (nodes['extract_brain'], coregister, [('brain', 'brain')]),
        (nodes['to_native'], coregister, [('preproc', 'reference')]),
        (coregister, nodes['draw'], [('out_file', 't2w')]),
        (coregister, nodes['assess'], [('quality', 't2w_quality')]),
        (coregister, nodes['write'], [('out_file', 't2w'), ('quality', 't2w_quality')]),
    ]
    return [*edges, (coregister, nodes['segment'], [('out_file', 't2w')])] if is_channel else edges


def quality_edges(nodes: Nodes) -> list[Edge]:
    """Measures of quality."""
    assess = nodes['assess']
    return [
        (nodes['to_native'], assess, [('preproc', 'anat'), ('brain', 'brain'), ('tissues', 'tissues')]),
        (nodes['extract_brain'], assess, [('to_template', 'to_template'), ('quality', 'brain_quality')]),
        (nodes['find_regions'], assess, [('quality', 'region_quality')]),
    ]


def doubt_edges(nodes: Nodes) -> list[Edge]:
    """How good the mask is by the network's probabilities; a ready-made mask has none."""
    return [(nodes['measure'], nodes['assess'], [('quality', 'mask_quality')])]


def standard_edges(nodes: Nodes) -> list[Edge]:
    """Results in the template's space."""
    moved = nodes['to_standard']
    names = ('probability', 'mask', 'to_template', 'to_subject')
    return [
        (nodes['measure'], moved, [(name, name) for name in ('probability', 'clusters')]),
        (nodes['extract_brain'], moved, [(name, name) for name in ('to_template', 'to_subject')]),
        (moved, nodes['write'], [(name, f'standard_{name}') for name in names]),
    ]


def output_edges(nodes: Nodes) -> list[Edge]:
    """What is drawn and written."""
    native, measure = nodes['to_native'], nodes['measure']
    measured = ('probability', 'regions', 'clusters', 'cluster_table', 'region_table', 'grades')
    return [
        (native, nodes['draw'], [('preproc', 'anat'), ('brain', 'brain')]),
        (
            measure,
            nodes['draw'],
            [(name, name) for name in ('clusters', 'regions', 'probability', 'grades')],
        ),
        (native, nodes['write'], [(name, name) for name in ('preproc', 'brain', 'tissues', 'source')]),
        (nodes['extract_brain'], nodes['write'], [('stripped', 'stripped'), ('quality', 'quality')]),
        (measure, nodes['write'], [(name, name) for name in measured]),
        (nodes['segment'], nodes['write'], [('inference', 'inference')]),
        (nodes['assess'], nodes['write'], [('quality', 'assessed')]),
        (nodes['draw'], nodes['write'], [('figures', 'figures')]),
    ]
