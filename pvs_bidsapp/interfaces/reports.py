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

from ..runtime.files import read_image


class _DrawFiguresInputSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True)
    brain = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    clusters = File(exists=True, mandatory=True)
    probability = File(exists=True, mandatory=True)
    t2w = File(exists=True)


class _DrawFiguresOutputSpec(TraitedSpec):
    figures = traits.Dict(desc='pictures, and images of the viewer, by desc')


class DrawFigures(SimpleInterface):
    """Draw the brain mask, the regions and the perivascular spaces, and write what the viewer shows."""

    input_spec = _DrawFiguresInputSpec
    output_spec = _DrawFiguresOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..reports.figures import draw_all
        from ..reports.viewer import write_images

        t1w, affine = read_image(self.inputs.t1w)
        labels = {
            name: read_image(getattr(self.inputs, name))[0] for name in ('brain', 'regions', 'clusters')
        }
        t2w = read_image(self.inputs.t2w)[0] if isdefined(self.inputs.t2w) else None
        probability = read_image(self.inputs.probability)[0]
        folder = Path(runtime.cwd)
        made = draw_all(t1w, affine, t2w=t2w, folder=folder, **labels)
        made |= write_images(t1w, affine, probability=probability, t2w=t2w, folder=folder, **labels)
        self._results['figures'] = {k: str(v) for k, v in made.items()}
        return runtime
