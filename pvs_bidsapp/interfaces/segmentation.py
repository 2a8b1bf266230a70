"""Interfaces of segmentation and measurement."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from ..runtime.files import read_image
from .files import read_transform, write


class _SegmentInputSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True, desc='bias corrected T1w on its own grid')
    t2w = File(exists=True, desc="bias corrected T2w on the T1w's grid")
    brain = File(exists=True, mandatory=True, desc='brain mask at 1 mm')
    tissues = File(exists=True, mandatory=True, desc='tissue classes at 1 mm')
    regions = File(exists=True, mandatory=True, desc="regions on the T1w's grid")
    model = traits.Str(mandatory=True, desc="the model's folder")
    identity = traits.Str(desc='its version and checksum, so that a new model in that folder is run anew')
    precision = traits.Enum('auto', 'fp32', 'bf16', usedefault=True, desc='inside the network')
    device = traits.Str('cpu', usedefault=True, nohash=True)
    num_threads = traits.Int(1, usedefault=True, nohash=True)


class _SegmentOutputSpec(TraitedSpec):
    probability = File(exists=True, desc="probability map on the T1w's grid")
    inference = traits.Dict(desc='engine and precision, for the sidecars')


class Segment(SimpleInterface):
    """Run the network."""

    input_spec = _SegmentInputSpec
    output_spec = _SegmentOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.resampling import Grid
        from ..messages import models
        from ..segmentation.model import load_model
        from ..segmentation.network_input import BrainAnatomy
        from ..segmentation.predict import predict

        model = load_model(self.inputs.model)
        t1w, affine = read_image(self.inputs.t1w)
        images = {'T1w': t1w}
        if isdefined(self.inputs.t2w):
            images['T2w'] = read_image(self.inputs.t2w)[0]
        if missing := [c for c in model.card.channels if c not in images]:
            raise models.NEEDS_CHANNEL.error(name=model.card.name, channel=missing[0])
        brain, anatomy_affine = read_image(self.inputs.brain)
        tissues, _ = read_image(self.inputs.tissues)
        found = predict(
            [images[c] for c in model.card.channels],
            Grid(t1w.shape, affine),
            BrainAnatomy(brain=brain > 0, tissues=tissues, affine=anatomy_affine),
            model,
            regions=read_image(self.inputs.regions)[0],
            device=self.inputs.device,
            precision=self.inputs.precision,
            num_threads=self.inputs.num_threads,
        )
        self._results['probability'] = write(runtime.cwd, 'probability.nii', found.probability, affine)
        self._results['inference'] = {'Engine': found.engine, 'Precision': found.precision}
        return runtime


class _MeasureInputSpec(BaseInterfaceInputSpec):
    probability = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    to_subject = File(exists=True, mandatory=True, desc='template to scan')
    threshold = traits.Float(mandatory=True)
    min_cluster_size = traits.Float(mandatory=True, desc='mm3')


class _MeasureOutputSpec(TraitedSpec):
    probability = File(exists=True, desc='probability map, within the regions')
    regions = File(exists=True, desc='regions, with the ends of the clusters that reach beyond them')
    clusters = File(exists=True, desc='numbered clusters')
    cluster_table = File(exists=True)
    region_table = File(exists=True)
    grades = File(exists=True, desc='estimated visual grades')


class Measure(SimpleInterface):
    """Clusters, their table, the regions' statistics, estimated visual grades."""

    input_spec = _MeasureInputSpec
    output_spec = _MeasureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.registration import apply_points
        from ..clusters.label import label_clusters, rounded, within_regions
        from ..clusters.shape import measure
        from ..clusters.tables import cluster_table, region_table, to_tsv
        from ..clusters.visual_grades import estimate_grades

        probability, affine = read_image(self.inputs.probability)
        regions = read_image(self.inputs.regions)[0]
        probability, regions = within_regions(rounded(probability), regions, self.inputs.threshold)
        voxel = abs(float(np.linalg.det(affine[:3, :3])))
        clusters = label_clusters(
            probability, threshold=self.inputs.threshold,
            minimum=self.inputs.min_cluster_size, voxel_volume=voxel,
        )  # fmt: skip
        shapes = measure(clusters, affine)
        centres = np.array([s.centre for s in shapes]).reshape(-1, 3)
        mni = apply_points(centres, read_transform(self.inputs.to_subject))
        table = cluster_table(shapes, probability, regions, mni)
        folder, out = Path(runtime.cwd), self._results
        out['regions'] = write(runtime.cwd, 'regions.nii', regions, affine)
        out['probability'] = write(runtime.cwd, 'probability.nii', probability, affine)
        out['clusters'] = write(runtime.cwd, 'clusters.nii', clusters, affine)
        for key, text in (
            ('cluster_table', to_tsv(table)),
            ('region_table', to_tsv(region_table(table, regions, voxel))),
            ('grades', json.dumps(estimate_grades(clusters, regions, affine))),
        ):
            path = folder / f'{key}.{"json" if key == "grades" else "tsv"}'
            path.write_text(text)
            out[key] = str(path)
        return runtime
