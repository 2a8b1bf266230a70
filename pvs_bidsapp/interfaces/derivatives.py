"""Interface that writes the results of one scan."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

if TYPE_CHECKING:
    from ..messages.message import Finding
    from ..outputs.scan import StandardFiles


def about_unused_t2w(findings: Iterable[Finding]) -> list[Finding]:
    """What is worth telling of a T2w that the model does not take: its voxels and its cover are not.

    Parameters
    ----------
    findings : iterable of Finding
        All that was found in the T2w.
    """
    from ..messages import scans

    of_channels = {scans.T2W_PARTIAL.code, scans.THICK.code, scans.NARROW.code}
    return [finding for finding in findings if finding.code not in of_channels]


class _WriteDerivativesInputSpec(BaseInterfaceInputSpec):
    scan = traits.Any(mandatory=True, desc='Scan')
    settings = traits.Any(mandatory=True, desc='Settings')
    preproc = File(exists=True, mandatory=True)
    brain = File(exists=True, mandatory=True)
    tissues = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    probability = File(exists=True, mandatory=True)
    clusters = File(exists=True, mandatory=True)
    cluster_table = File(exists=True, mandatory=True)
    region_table = File(exists=True, mandatory=True)
    grades = File(exists=True, mandatory=True)
    figures = traits.Dict(mandatory=True)
    inference = traits.Dict(mandatory=True)
    stripped = traits.Bool(mandatory=True)
    source = File(exists=True, mandatory=True)
    quality = File(exists=True, mandatory=True)
    assessed = File(exists=True, mandatory=True)
    standard_probability = File(exists=True)
    standard_mask = File(exists=True)
    standard_to_template = File(exists=True)
    standard_to_subject = File(exists=True)
    t2w = File(exists=True)
    t2w_quality = File(exists=True)


class _WriteDerivativesOutputSpec(TraitedSpec):
    out_files = traits.List(traits.Str)


class WriteDerivatives(SimpleInterface):
    """Write the results of one scan as BIDS derivatives."""

    input_spec = _WriteDerivativesInputSpec
    output_spec = _WriteDerivativesOutputSpec
    always_run = True  # outputs lie outside the node's folder: nipype cannot know of them

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..outputs.scan import Results, write
        from .files import read_quality, read_source

        files = (
            'preproc', 'brain', 'tissues', 'regions', 'probability', 'clusters',
            'cluster_table', 'region_table', 'grades',
        )  # fmt: skip
        source, step, findings = read_source(self.inputs.source)
        quality, found = read_quality(self.inputs.quality)
        findings += found
        t2w_values: dict[str, float] = {}
        if isdefined(self.inputs.t2w_quality):
            is_channel = 'T2w' in self.inputs.settings.analysis.channels
            t2w_values, found = read_quality(self.inputs.t2w_quality)
            findings += found if is_channel else about_unused_t2w(found)
        assessed, found = read_quality(self.inputs.assessed)
        findings += found
        results = Results(
            **{name: Path(getattr(self.inputs, name)) for name in files},
            figures={k: Path(v) for k, v in self.inputs.figures.items()},
            inference=self.inputs.inference,
            stripped=self.inputs.stripped,
            source=source,
            step=step,
            t2w_step=t2w_values.get('step', 0.0),
            t2w_stripped=bool(t2w_values.get('stripped', False)),
            quality=quality,
            assessed=assessed,
            findings=tuple(findings),
            t2w=Path(self.inputs.t2w) if isdefined(self.inputs.t2w) else None,
            standard=self._standard(),
        )
        written = write(self.inputs.scan, self.inputs.settings, results)
        self._results['out_files'] = [str(p) for p in written]
        return runtime

    def _standard(self) -> StandardFiles | None:
        """The results in the template's space; None if they are not wanted."""
        from ..outputs.scan import StandardFiles

        if not isdefined(self.inputs.standard_mask):
            return None
        names = ('probability', 'mask', 'to_template', 'to_subject')
        return StandardFiles(**{name: Path(getattr(self.inputs, f'standard_{name}')) for name in names})
