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
    anat = File(exists=True, mandatory=True)
    suffix = traits.Enum('T1w', 'T2w', usedefault=True, desc='what it is')
    brain = File(exists=True, mandatory=True)
    regions = File(exists=True, mandatory=True)
    clusters = File(exists=True, mandatory=True)
    probability = File(exists=True, mandatory=True)
    grades = File(exists=True, mandatory=True, desc='estimated visual grades, and the AC-PC frame')
    t2w = File(exists=True)


class _DrawFiguresOutputSpec(TraitedSpec):
    figures = traits.Dict(desc='pictures, and images of the viewer, by desc')


class DrawFigures(SimpleInterface):
    """Draw the brain mask, the regions and the perivascular spaces, and write what the viewer shows."""

    input_spec = _DrawFiguresInputSpec
    output_spec = _DrawFiguresOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from ..anatomy.acpc import Frame
        from ..clusters.burden import cluster_owners
        from ..clusters.visual_grades import Grade
        from ..reports.figures import draw_all
        from ..reports.sections import draw_grades
        from ..reports.viewer import write_images

        anat, affine = read_image(self.inputs.anat)
        labels = {
            name: read_image(getattr(self.inputs, name))[0] for name in ('brain', 'regions', 'clusters')
        }
        t2w = read_image(self.inputs.t2w)[0] if isdefined(self.inputs.t2w) else None
        probability = read_image(self.inputs.probability)[0]
        folder = Path(runtime.cwd)
        made = draw_all(anat, affine, t2w=t2w, folder=folder, **labels)
        scans = {self.inputs.suffix: anat} | ({'T2w': t2w} if t2w is not None else {})
        made |= write_images(scans, affine, probability=probability, folder=folder, **labels)
        content = json.loads(Path(self.inputs.grades).read_text())
        frame = Frame.load(content['frame'])
        grades = {key: Grade(**grade) for key, grade in content['grades'].items()}
        clusters = labels['clusters']
        owners = cluster_owners(clusters, labels['regions'])
        made['grades'] = draw_grades(anat, affine, clusters, owners, frame, grades, folder)
        self._results['figures'] = {k: str(v) for k, v in made.items()}
        return runtime
