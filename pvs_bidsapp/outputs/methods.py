"""The paragraph for a paper's methods section."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..bids.naming import Naming
from ..settings import GIVEN_MASK, Analysis


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The paper of a network.

    Attributes
    ----------
    name : str
        As a text cites it.
    key : str
        Of its entry in ``CITATION.bib``.
    """

    name: str
    key: str


#: The paper that each architecture follows.
PAPERS = {
    'joliot2021': Paper(name='Boutinaud et al. 2021', key='joliot2021'),
    'm2ss': Paper(name='Chai et al., M2SS-PVS', key='chai'),
}


#: What is said of files from other programs.
_GIVEN = {
    'brain_mask': 'Brain masks of another program were used where there were such.',
    'segmentation': 'Where a segmentation of another program was given, it decided on tissues and regions.',
    'lesions': 'Lesion masks of another program were used to tell clusters in white matter hyperintensities.',
}
#: Input files that come from other programs, by their keys in the record of a scan.
READY_MADE = frozenset(_GIVEN)


def methods(a: Analysis, ready_made: Collection[str] = ()) -> str:
    """Describe what was done to a scan, in one paragraph.

    Parameters
    ----------
    a : Analysis
    ready_made : collection of str
        Which of `READY_MADE` were given, for some of the scans at least.
    """
    t2w = ' and the T2w of the same session, rigidly registered to it' if a.channels == ('T1w', 'T2w') else ''
    small = f' Clusters of less than {a.min_cluster_size:g} mm3 were dropped.' if a.min_cluster_size else ''
    if a.exclude_wmh is not None:
        small += (
            f' Clusters of which at least {a.exclude_wmh:.0%} lay in white matter hyperintensities '
            'were dropped.'
        )
    given = ' '.join(_GIVEN[key] for key in _GIVEN if key in ready_made)
    verb = 'measured' if a.is_of_given_mask else 'segmented'
    return (
        f'Perivascular spaces were {verb} with the PVS BIDS-App {a.version} from the {a.suffix} scan'
        f'{t2w}. The template MNI152NLin2009cSym (ICBM 2009c symmetric) was registered to the scan by an '
        'affine transform with ANTs (Avants et al. 2011) and a diffeomorphism with greedy (Yushkevich et al. '
        '2016). The bias field was estimated with N4 (Tustison et al. 2010) and refined '
        'by the intensity of white matter (after Wells et al. 1996). Tissue was classified by a mixture '
        'of Gaussians with a Markov random field (after Van Leemput et al. 1999 and Zhang et al. 2001), and '
        'the brain mask was refined from the tissue classes. Regions come from the '
        "CerebrA labels of the template (Manera et al. 2020) and the subject's own tissue. "
        f'{given + " " if given else ""}'
        f'{_segmentation(a)} were joined to clusters by 26-connectivity; '
        f'clusters of which at least a third lies within the regions were kept.{small} '
        'Basal ganglia and centrum semiovale are those of visual scales (STRIVE, Wardlaw et al. 2013), and '
        'visual grades were estimated by the rules of Potter et al. 2015 and of Zhu et al. 2010. '
        f'The random seed was {a.random_seed}.'
    )


def _segmentation(a: Analysis) -> str:
    """Where the voxels of the clusters come from."""
    if a.is_of_given_mask:
        return f'The voxels of a given mask (sha256 {a.model_sha256[:12]})'
    paper = PAPERS[a.architecture].name if a.architecture in PAPERS else a.architecture
    return (
        f'The network {a.model_name} {a.model_version} (after {paper}; sha256 {a.model_sha256[:12]}) was '
        f'applied. Voxels with a probability of at least {a.threshold:g}'
    )


def references(*analyses: Analysis) -> str:
    """The papers that the paragraph names, as BibTeX.

    Parameters
    ----------
    *analyses : Analysis
        Decide which papers of networks are among them: none for a given mask, all for a network of another
        name.
    """
    text = files('pvs_bidsapp.data').joinpath('CITATION.bib').read_text(encoding='utf-8')
    used = {analysis.architecture for analysis in analyses if not analysis.is_of_given_mask}
    if used - PAPERS.keys():
        return text
    unnamed = [paper.key for name, paper in PAPERS.items() if name not in used]
    entries = re.split(r'^(?=@)', text, flags=re.MULTILINE)
    return ''.join(entry for entry in entries if entry.partition('{')[2].partition(',')[0] not in unnamed)


def command(status: dict[str, Any], names: Naming) -> str:
    """The command that gives the results of a scan again, with the folders left to the reader.

    Parameters
    ----------
    status : dict
        Record of the scan's status.
    names : Naming
        Names of its outputs.

    Returns
    -------
    command : str
        Empty if the record does not say how the scan was analysed, or no command measures its mask.
    """
    analysis, inputs = status.get('analysis'), status.get('inputs')
    if not isinstance(analysis, dict) or analysis.get('architecture') == GIVEN_MASK:
        return ''
    words = [
        'pvs',
        'BIDS_DIR',
        'OUT_DIR',
        'participant',
        '--participant-label',
        names.subject.removeprefix('sub-'),
    ]
    if names.session:
        words += ['--session-label', names.session.removeprefix('ses-')]
    if isinstance(inputs, dict) and 'source' in inputs:
        words = ['pvs', 'predict', 'T1W', 'OUT_DIR']
    options = {
        '--model': 'model_name',
        '--modality': 'modality',
        '--threshold': 'threshold',
        '--min-cluster-size': 'min_cluster_size',
        '--random-seed': 'random_seed',
        '--precision': 'precision',
    }
    for option, key in options.items():
        if key in analysis:
            words += [option, str(analysis[key])]
    if analysis.get('exclude_wmh') is not None:
        words += ['--exclude-wmh', str(analysis['exclude_wmh'])]
    if analysis.get('output_spaces'):
        words += ['--output-spaces', *map(str, analysis['output_spaces'])]
    if isinstance(inputs, dict) and 'source' not in inputs and READY_MADE & inputs.keys():
        words += ['--derivatives', 'NAME=DERIVATIVES_DIR']
    return shlex.join(words)
