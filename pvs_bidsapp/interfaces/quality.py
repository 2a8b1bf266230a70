"""Interface that measures the quality of a scan and of the steps before."""

from __future__ import annotations

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
from .files import read_quality, read_transform, write_quality


class _AssessInputSpec(BaseInterfaceInputSpec):
    anat = File(exists=True, mandatory=True, desc='bias corrected scan on its own grid')
    suffix = traits.Enum('T1w', 'T2w', usedefault=True, desc='what it is')
    brain = File(exists=True, mandatory=True, desc="brain mask on the scan's grid")
    tissues = File(exists=True, mandatory=True, desc="tissue classes on the scan's grid")
    to_template = File(exists=True, mandatory=True, desc='scan to template')
    brain_quality = File(exists=True, mandatory=True, desc='how well the template fits')
    region_quality = File(exists=True, mandatory=True, desc='how well white matter agrees with the template')
    t2w_quality = File(exists=True, desc='how the T2w lies on the T1w')
    mask_quality = File(exists=True, desc='how well the mask should agree with the spaces')


class _AssessOutputSpec(TraitedSpec):
    quality = File(exists=True, desc='all measures, and a finding for each that is out of its range')


class Assess(SimpleInterface):
    """Measure the quality of a scan, its masks and registrations."""

    input_spec = _AssessInputSpec
    output_spec = _AssessOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.quality import METRICS, assess, masks_against_template, unexpected
        from ..messages import scans

        image, affine = read_image(self.inputs.anat)
        brain = read_image(self.inputs.brain)[0] > 0
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        tissues = read_image(self.inputs.tissues)[0]
        values = assess(image, brain, tissues, spacing, self.inputs.suffix)
        values |= masks_against_template(brain, affine, read_transform(self.inputs.to_template))
        values['template_fit'] = read_quality(self.inputs.brain_quality)[0]['TemplateCorrelation']
        findings = []
        for name in ('region_quality', 't2w_quality', 'mask_quality'):
            if isdefined(getattr(self.inputs, name)):
                measured, told = read_quality(getattr(self.inputs, name))
                values |= measured
                findings += told if name == 'mask_quality' else []  # the others are told by their steps
        values = {name: values[name] for name in METRICS if name in values}
        outside = unexpected(values)
        # two have findings of their own; that of the template's fit stands with the registration
        findings += [
            scans.QUALITY.finding(metric=name, value=f'{values[name]:.3g}', range=METRICS[name].range)
            for name in outside
            if name not in ('template_fit', 'expected_dice')
        ]
        if 'expected_dice' in outside:
            findings.append(scans.MASK_IN_DOUBT.finding(dice=values['expected_dice']))
        self._results['quality'] = write_quality(runtime.cwd, 'quality.json', values, findings)
        return runtime
