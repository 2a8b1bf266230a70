"""Interface that draws the pictures of one scan."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from .files import read


class _DrawFiguresInputSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True)
    brain = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    clusters = File(exists=True, mandatory=True)
    t2w = File(exists=True)


class _DrawFiguresOutputSpec(TraitedSpec):
    figures = traits.Dict(desc='pictures by desc')


class DrawFigures(SimpleInterface):
    """Draw the brain mask, the regions and the perivascular spaces over the T1w."""

    input_spec = _DrawFiguresInputSpec
    output_spec = _DrawFiguresOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..reports.figures import draw_all

        t1w, affine = read(self.inputs.t1w)
        t2w = read(self.inputs.t2w)[0] if isdefined(self.inputs.t2w) else None
        made = draw_all(
            t1w, affine, read(self.inputs.brain)[0], read(self.inputs.regions)[0],
            read(self.inputs.clusters)[0], t2w, Path(runtime.cwd),
        )  # fmt: skip
        self._results['figures'] = {k: str(v) for k, v in made.items()}
        return runtime
