"""Interfaces of segmentation and measurement."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
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
from .files import read_transform, write, write_quality

if TYPE_CHECKING:
    import pandas as pd

    from ..clusters.found import Found
    from ..clusters.shape import Shape
    from ..clusters.surroundings import Surroundings
    from ..messages.message import Finding


class _SegmentInputSpec(BaseInterfaceInputSpec):
    anat = File(exists=True, mandatory=True, desc='bias corrected scan on its own grid')
    suffix = traits.Enum('T1w', 'T2w', usedefault=True, desc='what it is')
    t2w = File(exists=True, desc="bias corrected T2w on the T1w's grid")
    brain = File(exists=True, mandatory=True, desc='brain mask at 1 mm')
    tissues = File(exists=True, mandatory=True, desc='tissue classes at 1 mm')
    regions = File(exists=True, mandatory=True, desc="regions on the scan's grid")
    model = traits.Str(mandatory=True, desc="the model's folder")
    identity = traits.Str(desc='its version and checksum, so that a new model in that folder is run anew')
    precision = traits.Enum('auto', 'fp32', 'bf16', usedefault=True, desc='inside the network')
    device = traits.Str('cpu', usedefault=True, nohash=True)
    num_threads = traits.Int(1, usedefault=True, nohash=True)


class _SegmentOutputSpec(TraitedSpec):
    probability = File(exists=True, desc="probability map on the scan's grid")
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
        anat, affine = read_image(self.inputs.anat)
        images = {self.inputs.suffix: anat}
        if isdefined(self.inputs.t2w):
            images['T2w'] = read_image(self.inputs.t2w)[0]
        if missing := [c for c in model.card.channels if c not in images]:
            raise models.NEEDS_CHANNEL.error(name=model.card.name, channel=missing[0])
        brain, anatomy_affine = read_image(self.inputs.brain)
        tissues, _ = read_image(self.inputs.tissues)
        found = predict(
            [images[c] for c in model.card.channels],
            Grid(anat.shape, affine),
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


class _ReadMaskInputSpec(BaseInterfaceInputSpec):
    mask = File(exists=True, mandatory=True, desc='a ready-made mask of PVS, on any grid')
    source = File(exists=True, mandatory=True, desc="the scan's own file, with which it has to agree")
    anat = File(exists=True, mandatory=True, desc="an image on the T1w's own grid")


class ReadMask(SimpleInterface):
    """Take a ready-made mask for what a network would find: probability 1 in it, 0 elsewhere."""

    input_spec = _ReadMaskInputSpec
    output_spec = _SegmentOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.mask_image import ready_made_mask
        from ..anatomy.native import grid_of, labels_to_native

        grid = grid_of(nib.load(self.inputs.anat))
        mask, _ = ready_made_mask(Path(self.inputs.mask), Path(self.inputs.source))
        inside = (labels_to_native(*mask, grid) > 0).astype(np.float32)
        self._results['probability'] = write(runtime.cwd, 'probability.nii', inside, grid.affine)
        self._results['inference'] = {}
        return runtime


class _MeasureInputSpec(BaseInterfaceInputSpec):
    probability = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    landmarks = File(exists=True, mandatory=True, desc='ventricles and cortex at 1 mm')
    anat = File(exists=True, mandatory=True, desc='bias corrected scan on its own grid')
    tissues = File(exists=True, mandatory=True, desc="tissue classes on the scan's grid")
    to_subject = File(exists=True, mandatory=True, desc='template to scan')
    to_template = File(exists=True, mandatory=True, desc='scan to template')
    lesions = File(exists=True, desc='white matter hyperintensities, on any grid')
    source = File(exists=True, desc="the scan's own file, with which the lesions have to agree")
    threshold = traits.Float(mandatory=True)
    min_cluster_size = traits.Float(mandatory=True, desc='mm3')
    burden = traits.Dict(usedefault=True, desc="calibration in the model's card; empty: there is none")
    exclude_wmh = traits.Float(desc='leave out clusters of which this share and more lies in lesions')


class _MeasureOutputSpec(TraitedSpec):
    probability = File(exists=True, desc='probability map, within the regions')
    regions = File(exists=True, desc='regions, with the ends of the clusters that reach beyond them')
    clusters = File(exists=True, desc='numbered clusters')
    cluster_table = File(exists=True)
    region_table = File(exists=True)
    grades = File(exists=True, desc='estimated visual grades, and the AC-PC frame')
    quality = File(exists=True, desc='how well the mask should agree with the spaces; findings on lesions')


class Measure(SimpleInterface):
    """Clusters, their table, the regions' statistics, estimated visual grades."""

    input_spec = _MeasureInputSpec
    output_spec = _MeasureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.acpc import find_frame
        from ..clusters.burden import expected_dice
        from ..clusters.tables import to_tsv
        from ..clusters.visual_grades import estimate_grades

        found, table, about_lesions = self._clusters()
        affine = found.affine
        frame = find_frame(read_transform(self.inputs.to_template))
        grades = estimate_grades(found.clusters, table, affine, frame)
        regions = self._region_table(found, table)
        content = {'frame': frame.dump(), 'grades': {key: asdict(grade) for key, grade in grades.items()}}
        folder, out = Path(runtime.cwd), self._results
        for name in ('regions', 'probability', 'clusters'):
            out[name] = write(runtime.cwd, f'{name}.nii', getattr(found, name), affine)
        for name, text in (
            ('cluster_table.tsv', to_tsv(table)),
            ('region_table.tsv', to_tsv(regions)),
            ('grades.json', json.dumps(content)),
        ):
            (folder / name).write_text(text)
            out[Path(name).stem] = str(folder / name)
        dice = expected_dice(found.probability, found.clusters, found.regions)
        out['quality'] = write_quality(runtime.cwd, 'quality.json', {'expected_dice': dice}, about_lesions)
        return runtime

    def _region_table(self, found: Found, table: pd.DataFrame) -> pd.DataFrame:
        from ..clusters.burden import Burden, sum_probabilities
        from ..clusters.tables import region_table

        voxel = abs(float(np.linalg.det(found.affine[:3, :3])))
        if not self.inputs.burden:
            return region_table(table, found.regions, voxel)
        sums = sum_probabilities(found.probability, found.clusters, found.regions, voxel)
        burden = Burden.from_entry(self.inputs.burden)
        return region_table(table, found.regions, voxel, burden=burden, sums=sums)

    def _clusters(self) -> tuple[Found, pd.DataFrame, list[Finding]]:
        """The clusters and their table, without those in lesions if they are to be left out.

        The findings are about the mask of the lesions.
        """
        from ..anatomy.registration import apply_points
        from ..clusters.found import find_clusters
        from ..clusters.shape import measure
        from ..clusters.tables import cluster_table

        probability, affine = read_image(self.inputs.probability)
        lesions, findings = self._lesions(probability.shape, affine)
        found = find_clusters(
            probability,
            read_image(self.inputs.regions)[0],
            affine,
            threshold=self.inputs.threshold,
            minimum=self.inputs.min_cluster_size,
            lesions=lesions,
            most_in_lesions=self.inputs.exclude_wmh if isdefined(self.inputs.exclude_wmh) else None,
        )
        shapes = measure(found.clusters, affine)
        centres = np.array([s.centre for s in shapes]).reshape(-1, 3)
        table = cluster_table(
            shapes,
            found.probability,
            found.regions,
            apply_points(centres, read_transform(self.inputs.to_subject)),
            surroundings=self._surroundings(shapes, found),
            lesions=lesions,
        )
        return found, table, findings

    def _lesions(self, shape: tuple[int, ...], affine: np.ndarray) -> tuple[np.ndarray | None, list[Finding]]:
        """White matter hyperintensities on the T1w's grid, None if nothing is known of them; findings."""
        from ..anatomy.mask_image import check_volume_left, ready_made_mask
        from ..anatomy.native import labels_to_native
        from ..anatomy.resampling import Grid

        if not isdefined(self.inputs.lesions):
            return None, []
        path, source = Path(self.inputs.lesions), Path(self.inputs.source)
        (mask, own), findings = ready_made_mask(path, source)
        lesions = labels_to_native(mask, own, Grid(shape, affine)) > 0
        check_volume_left(path, source, (mask, Grid(mask.shape, own)), (lesions, Grid(shape, affine)))
        return lesions, [replace(f, finding=f'mask of hyperintensities: {f.finding}') for f in findings]

    def _surroundings(self, shapes: list[Shape], found: Found) -> list[Surroundings]:
        from ..anatomy.noise import noise_level
        from ..anatomy.regions import CORTEX, VENTRICLES
        from ..anatomy.resampling import Grid
        from ..anatomy.tissues import WM
        from ..clusters.surroundings import ScanLevels, measure_surroundings
        from ..segmentation.intensity import measure_levels

        landmarks, affine = read_image(self.inputs.landmarks)
        image, classes = (read_image(path)[0] for path in (self.inputs.anat, self.inputs.tissues))
        return measure_surroundings(
            shapes,
            found,
            image,
            ScanLevels(*measure_levels(image, classes), noise_level(image, classes == WM)),
            ventricles=landmarks == VENTRICLES,
            cortex=landmarks == CORTEX,
            grid=Grid(landmarks.shape, affine),
        )
