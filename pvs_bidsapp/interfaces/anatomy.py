"""Nipype interfaces of the anatomical steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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

from ..messages.message import Finding
from ..runtime.files import read_image
from .files import read_transform, write, write_quality, write_source, write_transform


class _ConformInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='a T1w or T2w scan')


class _ConformOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the scan at 1 mm, in RAS order')


class Conform(SimpleInterface):
    """Check a scan and resample it to the 1 mm working grid."""

    input_spec = _ConformInputSpec
    output_spec = _ConformOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.conform import load_scan, working_image

        image, grid = working_image(load_scan(Path(self.inputs.in_file)))
        self._results['out_file'] = write(runtime.cwd, 'working.nii', image, grid.affine)
        return runtime


class _ExtractBrainInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='the scan at 1 mm')
    source = File(exists=True, mandatory=True, desc="the scan's own file, with which masks have to agree")
    suffix = traits.Enum('T1w', 'T2w', usedefault=True, desc='what the scan is')
    brain_mask = File(exists=True, desc='a ready-made brain mask, on any grid')
    segmentation = File(exists=True, desc='a ready-made segmentation, on any grid')
    seed = traits.Int(mandatory=True)
    num_threads = traits.Int(1, usedefault=True, nohash=True)


class _ExtractBrainOutputSpec(TraitedSpec):
    brain = File(exists=True, desc='brain mask at 1 mm')
    tissues = File(exists=True, desc='tissue classes at 1 mm')
    bias = File(exists=True, desc='logarithm of the bias field at 4 mm')
    to_subject = File(exists=True, desc='template to scan')
    to_template = File(exists=True, desc='scan to template')
    stripped = traits.Bool(desc='the scan was skull-stripped already')
    quality = File(exists=True, desc='how well the template fits, and findings')


class ExtractBrain(SimpleInterface):
    """Brain mask, tissue classes, bias field and registration to the template."""

    input_spec = _ExtractBrainInputSpec
    output_spec = _ExtractBrainOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.brain import extract_brain
        from ..anatomy.mask_image import ready_made_labels, ready_made_mask
        from ..anatomy.native import brain_to_native
        from ..anatomy.registration import deterministic
        from ..anatomy.resampling import Grid, resample
        from ..anatomy.tissues import from_segmentation

        deterministic(self.inputs.seed)
        image, affine = read_image(self.inputs.in_file)
        grid, brain_mask, segmentation = Grid(image.shape, affine), None, None
        findings: list[Finding] = []
        if isdefined(self.inputs.brain_mask):
            mask, found = ready_made_mask(Path(self.inputs.brain_mask), Path(self.inputs.source))
            brain_mask = brain_to_native(*mask, grid)
            findings += found
        if isdefined(self.inputs.segmentation):
            labels, found = ready_made_labels(Path(self.inputs.segmentation), Path(self.inputs.source))
            segmentation = from_segmentation(resample(*labels, grid, order=0))
            findings += found
        brain = extract_brain(
            image,
            affine,
            Path(runtime.cwd),
            brain_mask=brain_mask,
            segmentation=segmentation,
            suffix=self.inputs.suffix,
            threads=self.inputs.num_threads,
        )
        out, cwd = self._results, runtime.cwd
        out['brain'] = write(cwd, 'brain.nii', brain.mask, affine)
        out['tissues'] = write(cwd, 'tissues.nii', brain.tissues, affine)
        out['bias'] = write(cwd, 'bias.nii', brain.bias.logarithm, brain.bias.grid.affine)
        out['to_subject'] = write_transform(cwd, 'to_subject.json', brain.to_subject)
        out['to_template'] = write_transform(cwd, 'to_template.json', brain.to_template)
        out['stripped'] = brain.stripped
        quality = {'TemplateCorrelation': round(brain.fit, 3)}
        out['quality'] = write_quality(cwd, 'quality.json', quality, [*findings, *brain.findings])
        return runtime


class _FindRegionsInputSpec(BaseInterfaceInputSpec):
    brain = File(exists=True, mandatory=True)
    tissues = File(exists=True, mandatory=True)
    to_subject = File(exists=True, mandatory=True)
    source = File(exists=True, desc="the scan's own file, with which a ready-made segmentation has to agree")
    segmentation = File(exists=True, desc='a ready-made segmentation, on any grid')
    seed = traits.Int(mandatory=True)


class _FindRegionsOutputSpec(TraitedSpec):
    regions = File(exists=True, desc='region map at 1 mm')
    landmarks = File(exists=True, desc='ventricles (1) and cortex (2) at 1 mm')
    quality = File(exists=True, desc='how well white matter agrees with the template')


class FindRegions(SimpleInterface):
    """The regions in which PVS are segmented."""

    input_spec = _FindRegionsInputSpec
    output_spec = _FindRegionsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.mask_image import ready_made_labels
        from ..anatomy.native import labels_to_native
        from ..anatomy.regions import find_regions
        from ..anatomy.registration import deterministic
        from ..anatomy.resampling import Grid

        deterministic(self.inputs.seed)
        brain, affine = read_image(self.inputs.brain)
        segmentation = None
        if isdefined(self.inputs.segmentation):  # ExtractBrain tells what is odd about it
            labels, _ = ready_made_labels(Path(self.inputs.segmentation), Path(self.inputs.source))
            segmentation = labels_to_native(*labels, Grid(brain.shape, affine), np.int32)
        found = find_regions(
            brain > 0,
            read_image(self.inputs.tissues)[0],
            affine,
            read_transform(self.inputs.to_subject),
            segmentation=segmentation,
        )
        self._results['regions'] = write(runtime.cwd, 'regions.nii', found.labels, affine)
        values = {'template_overlap': found.overlap}
        self._results['quality'] = write_quality(runtime.cwd, 'quality.json', values, [])
        self._results['landmarks'] = write(runtime.cwd, 'landmarks.nii', found.landmarks, affine)
        return runtime


class _ToNativeInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='the scan, not processed')
    brain = File(exists=True, mandatory=True)
    tissues = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    bias = File(exists=True, mandatory=True)


class _ToNativeOutputSpec(TraitedSpec):
    preproc = File(exists=True, desc='the bias corrected scan')
    brain = File(exists=True, desc='brain mask')
    tissues = File(exists=True, desc='tissue classes')
    regions = File(exists=True, desc='region map')
    source = File(exists=True, desc="the file's own grid, and findings about the file")


class ToNative(SimpleInterface):
    """Bias corrected scan, brain mask, tissues and regions on the scan's own grid."""

    input_spec = _ToNativeInputSpec
    output_spec = _ToNativeOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.bias import BiasField
        from ..anatomy.conform import load_scan
        from ..anatomy.native import labels_to_native, to_native
        from ..anatomy.resampling import Grid

        logarithm, field_affine = read_image(self.inputs.bias)
        brain, affine = read_image(self.inputs.brain)
        scan = load_scan(Path(self.inputs.in_file))
        native = to_native(
            scan,
            brain,
            read_image(self.inputs.tissues)[0],
            affine,
            bias_field=BiasField(logarithm, Grid(logarithm.shape, field_affine)),
        )
        regions = labels_to_native(read_image(self.inputs.regions)[0], affine, native.grid)
        for name, array in (
            ('preproc', native.image),
            ('brain', native.brain),
            ('tissues', native.tissues * native.brain),
            ('regions', regions * native.brain),
        ):
            self._results[name] = write(runtime.cwd, f'{name}.nii', array, native.grid.affine)
        self._results['source'] = write_source(runtime.cwd, 'source.json', scan)
        return runtime


class _ToStandardInputSpec(BaseInterfaceInputSpec):
    probability = File(exists=True, mandatory=True)
    clusters = File(exists=True, mandatory=True)
    to_template = File(exists=True, mandatory=True)
    to_subject = File(exists=True, mandatory=True)


class _ToStandardOutputSpec(TraitedSpec):
    probability = File(exists=True, desc="probability map in the template's space")
    mask = File(exists=True, desc="mask in the template's space")
    to_template = File(exists=True, desc='transform of images to the template, as one file')
    to_subject = File(exists=True, desc='transform of images to the scan, as one file')


class ToStandard(SimpleInterface):
    """Mask and probability in the template's space, and the transforms as single files."""

    input_spec = _ToStandardInputSpec
    output_spec = _ToStandardOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy import template
        from ..anatomy.registration import apply, write_composite
        from ..anatomy.resampling import Grid

        atlas = template.load()
        grid = Grid(atlas.t1w.shape, atlas.affine)
        to_template = read_transform(self.inputs.to_template)
        probability, affine = read_image(self.inputs.probability)
        moved = np.clip(apply(probability, affine, grid, to_template), 0, 1)
        mask = (read_image(self.inputs.clusters)[0] > 0).astype(np.float32)
        # spaces are as thin as a voxel: by the nearest one, their volume is kept on average
        nearest = apply(mask, affine, grid, to_template, interpolation='nearestNeighbor') > 0.5
        out, cwd = self._results, runtime.cwd
        out['probability'] = write(cwd, 'probability.nii', moved, grid.affine)
        out['mask'] = write(cwd, 'mask.nii', nearest, grid.affine)
        for name in ('to_template', 'to_subject'):
            path = Path(cwd) / f'{name}.h5'
            write_composite(read_transform(getattr(self.inputs, name)), path)
            out[name] = str(path)
        return runtime


class _CoregisterInputSpec(BaseInterfaceInputSpec):
    t2w = File(exists=True, mandatory=True, desc='the T2w, not processed')
    t1w = File(exists=True, mandatory=True, desc='T1w at 1 mm')
    brain = File(exists=True, mandatory=True, desc='brain mask at 1 mm')
    reference = File(exists=True, mandatory=True, desc="an image on the T1w's own grid")
    seed = traits.Int(mandatory=True)
    is_channel = traits.Bool(mandatory=True, desc='the model needs the T2w')


class _CoregisterOutputSpec(TraitedSpec):
    out_file = File(desc="bias corrected T2w on the T1w's grid; undefined if it cannot be used")
    quality = File(exists=True, desc='findings about the T2w')


class Coregister(SimpleInterface):
    """Register the T2w rigidly to the T1w, resample it, and correct its bias field.

    A T2w that cannot be used ends the scan only if the model needs it; else it is left out, with a finding.
    """

    input_spec = _CoregisterInputSpec
    output_spec = _CoregisterOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..errors import ImageError
        from ..messages import scans

        findings: list[Finding] = []
        values: dict[str, float] = {}
        try:
            values = self._coregister(runtime, findings)
        except ImageError as error:
            if self.inputs.is_channel:
                raise scans.T2W_UNUSABLE.error(reason=str(error)) from error
            findings = [scans.T2W_LEFT_OUT.finding(reason=_without_folder(error, self.inputs.t2w))]
        self._results['quality'] = write_quality(runtime.cwd, 'quality.json', values, findings)
        return runtime

    def _coregister(self, runtime: Bunch, findings: list[Finding]) -> dict[str, float]:
        """Write the T2w and add findings; returns the step of its values, and measures of its alignment."""
        from ..anatomy.brain import is_stripped
        from ..anatomy.conform import load_scan, working_image
        from ..anatomy.coregistration import WELL_COVERED, coregister_t2w
        from ..anatomy.native import grid_of
        from ..anatomy.registration import deterministic
        from ..messages import scans

        deterministic(self.inputs.seed)
        t1w, affine = read_image(self.inputs.t1w)
        brain_mask = read_image(self.inputs.brain)[0] > 0
        grid = grid_of(nib.load(self.inputs.reference))
        t2w = load_scan(Path(self.inputs.t2w))
        findings += [replace(f, finding=f'T2w: {f.finding}') for f in t2w.findings]
        out, alignment = coregister_t2w(t2w, t1w, brain_mask, affine, grid, Path(runtime.cwd))
        if alignment.covered < WELL_COVERED:
            findings.append(scans.T2W_PARTIAL.finding(percent=100 * alignment.covered))
        if alignment.is_mirrored:
            findings.append(
                scans.T2W_MIRRORED.finding(mirrored=alignment.mirrored, correlation=alignment.correlation)
            )
        self._results['out_file'] = write(runtime.cwd, 't2w.nii', out, grid.affine)
        return {
            'step': t2w.step,
            'stripped': is_stripped(working_image(t2w)[0]),
            't2w_contrast': alignment.correlation,
            't2w_moved_mm': alignment.moved,
        }


def _without_folder(error: Exception, path: str) -> str:
    """A message with the name of a file in place of its path."""
    return str(error).replace(path, Path(path).name)
