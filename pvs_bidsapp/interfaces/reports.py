"""Interface that draws the pictures of one scan."""

from __future__ import annotations

import json
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

from ..runtime.files import read_image


class _DrawFiguresInputSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True)
    brain = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    clusters = File(exists=True, mandatory=True)
    grades = File(exists=True, mandatory=True, desc='estimated visual grades, and the AC-PC frame')
    t2w = File(exists=True)


class _DrawFiguresOutputSpec(TraitedSpec):
    figures = traits.Dict(desc='pictures by desc')


class DrawFigures(SimpleInterface):
    """Draw the brain mask, the regions and the perivascular spaces over the T1w."""

    input_spec = _DrawFiguresInputSpec
    output_spec = _DrawFiguresOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.acpc import Frame
        from ..clusters.visual_grades import Grade
        from ..reports.figures import draw_all
        from ..reports.sections import draw_grades

        t1w, affine = read_image(self.inputs.t1w)
        t2w = read_image(self.inputs.t2w)[0] if isdefined(self.inputs.t2w) else None
        made = draw_all(
            t1w,
            affine,
            brain=read_image(self.inputs.brain)[0],
            regions=read_image(self.inputs.regions)[0],
            clusters=read_image(self.inputs.clusters)[0],
            t2w=t2w,
            folder=Path(runtime.cwd),
        )
        content = json.loads(Path(self.inputs.grades).read_text())
        made['grades'] = draw_grades(
            t1w,
            affine,
            read_image(self.inputs.clusters)[0],
            Frame.load(content['frame']),
            {key: Grade(**grade) for key, grade in content['grades'].items()},
            Path(runtime.cwd),
        )
        self._results['figures'] = {k: str(v) for k, v in made.items()}
        return runtime
