"""Texts that go out with the results."""

from __future__ import annotations

from .. import __version__
from ..settings import Settings

README = f"""# Perivascular spaces

Written by the PVS BIDS-App {__version__}. All images are on the grid of the T1w they belong to.

| file | content |
| --- | --- |
| `*_desc-preproc_T1w.nii.gz` | bias corrected T1w |
| `*_space-T1w_desc-preproc_T2w.nii.gz` | T2w registered to the T1w |
| `*_desc-brain_mask.nii.gz` | brain mask |
| `*_seg-tissue_dseg.nii.gz`, `.tsv` | tissue classes |
| `*_seg-regions_dseg.nii.gz`, `.tsv` | regions in which perivascular spaces (PVS) are looked for |
| `*_label-PVS_probseg.nii.gz` | probability of PVS |
| `*_label-PVS_mask.nii.gz` | PVS |
| `*_desc-pvs_dseg.nii.gz`, `.tsv` | clusters of PVS and their table |
| `*_desc-pvs_stats.tsv` | numbers and volumes by region |
| `sub-*.html` | reports |
| `logs/` | settings and outcome of each run, state of each scan, crash files |

Research software, not a medical device. The bundled models were trained on simulated PVS.
"""

# BIDS has no name for these; directories stand without a trailing slash, as the validator wants
IGNORED = """*.html
CITATION.bib
figures
**/figures
*_stats.tsv
*_stats.json
group_*
work
logs
"""

CITATIONS = """@inproceedings{joliot2021,
  author = {Boutinaud, Philippe and Tsuchida, Ami and Laurent, Alexandre and others and Joliot, Marc},
  title = {3D Segmentation of Perivascular Spaces on T1-Weighted 3 Tesla MR Images With a Convolutional Autoencoder and a U-Shaped Neural Network},
  journal = {Frontiers in Neuroinformatics},
  volume = {15},
  year = {2021},
  doi = {10.3389/fninf.2021.641600}
}
@article{avants2011,
  author = {Avants, Brian B. and others},
  title = {A reproducible evaluation of ANTs similarity metric performance in brain image registration},
  journal = {NeuroImage},
  volume = {54},
  year = {2011},
  doi = {10.1016/j.neuroimage.2010.09.025}
}
@article{tustison2010,
  author = {Tustison, Nicholas J. and others},
  title = {N4ITK: Improved N3 Bias Correction},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {29},
  year = {2010},
  doi = {10.1109/TMI.2010.2046908}
}
@article{wells1996,
  author = {Wells, William M. and others},
  title = {Adaptive segmentation of MRI data},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {15},
  year = {1996},
  doi = {10.1109/42.511747}
}
@article{manera2020,
  author = {Manera, Ana L. and others},
  title = {CerebrA, registration and manual label correction of Mindboggle-101 atlas for MNI-ICBM152 template},
  journal = {Scientific Data},
  volume = {7},
  year = {2020},
  doi = {10.1038/s41597-020-0557-9}
}
@article{gorgolewski2011,
  author = {Gorgolewski, Krzysztof and others},
  title = {Nipype: a flexible, lightweight and extensible neuroimaging data processing framework in Python},
  journal = {Frontiers in Neuroinformatics},
  volume = {5},
  year = {2011},
  doi = {10.3389/fninf.2011.00013}
}
"""


#: Whom each architecture is after.
PAPERS = {'joliot2021': 'Boutinaud et al. 2021', 'm2ss': 'Chai et al., M2SS-PVS'}


def methods(settings: Settings) -> str:
    """Paragraph for a methods section, with the settings of this run."""
    a = settings.analysis
    t2w = ' and the T2w of the same session, rigidly registered to it' if 'T2w' in a.channels else ''
    small = f' Clusters of less than {a.min_cluster_size:g} mm3 were dropped.' if a.min_cluster_size else ''
    paper = PAPERS.get(a.architecture, a.architecture)
    return (
        f'Perivascular spaces were segmented with the PVS BIDS-App {a.version} from the T1w scan{t2w}. '
        'The template MNI152NLin2009cSym (ICBM 2009c symmetric) was registered to the scan (affine, then SyN; '
        'Avants et al. 2011), its bias field was corrected with N4 (Tustison et al. 2010) and by the '
        'unevenness that it left of white matter (after Wells et al. 1996), tissue was classified '
        'with Atropos (Avants et al. 2011), and the brain mask was refined from the tissue classes. Regions come '
        'from the CerebrA labels of the template (Manera et al. 2020) and the tissue of the subject. The network '
        f'{a.model_name} {a.model_version} (after {paper}; sha256 {a.model_sha256[:12]}) was applied; '
        f'voxels with a probability of at least {a.threshold:g} were joined to clusters by 26-connectivity, and those that '
        f'lie at least half within the regions were kept.{small} The seed of all that is random was {a.random_seed}.'
    )
