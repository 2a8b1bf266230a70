"""The one place where the path of an output is made.

All entities of the input are kept; those of a derivative are inserted in the order of BIDS.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from ..messages import datasets

#: Entities of a name, in its order: key and label.
Entities = tuple[tuple[str, str], ...]
#: A label of an entity.
LABEL = re.compile(r'[a-zA-Z0-9+]+')

#: Entities of derivatives; they come after all others, including unknown ones.
_DERIVED = ('space', 'atlas', 'seg', 'scale', 'res', 'den', 'label', 'desc')

_ENTITY = re.compile(r'([a-zA-Z]+)-([a-zA-Z0-9+]+)')


@lru_cache(maxsize=1)
def entity_order() -> tuple[str, ...]:
    """Short names of all entities in the order that BIDS wants in a file name, from the schema of BIDS."""
    from bidsschematools.schema import load_schema

    logging.getLogger('bidsschematools').setLevel(logging.WARNING)  # it logs which schema it takes
    schema = load_schema()
    return tuple(str(schema.objects.entities[name]['name']) for name in schema.rules.entities)


def labels_dir(data_dir: Path, suffix: str = 'T1w') -> Path:
    """Derivative dataset with the labels of a dataset: experts' masks, or a simulation's ground truth.

    Parameters
    ----------
    data_dir : Path
    suffix : str
        What the scans are that the labels lie on: ``T1w``, or ``T2w`` where the two are told apart.
    """
    return data_dir / 'derivatives' / ('labels' if suffix == 'T1w' else f'labels-{suffix}')


def logs_dir(out_dir: Path) -> Path:
    """Folder of logs, crash files and status records of an output folder."""
    return out_dir / 'logs'


def parse_entities(name: str) -> Entities:
    """Entities of a BIDS file name, in the file's order.

    Raises
    ------
    InputError
        If a part of the name is not ``key-value``, a key stands there twice, or there is no ``sub-``.
    """
    stem = name.split('.')[0]
    parts = stem.split('_')[:-1]
    pairs: dict[str, str] = {}
    for part in parts:
        if not (match := _ENTITY.fullmatch(part)):
            raise datasets.ENTITY.error(name, part=part)
        if match[1] in pairs:
            raise datasets.ENTITY_TWICE.error(name, key=match[1])
        pairs[match[1]] = match[2]
    if next(iter(pairs), None) != 'sub':
        raise datasets.NO_SUB_ENTITY.error(name)
    return tuple(pairs.items())


@dataclass(frozen=True)
class Naming:
    """Names of all that is written for one scan.

    Attributes
    ----------
    root : Path
        The derivative dataset.
    entities : tuple of (str, str)
        Entities of the scan from which the outputs come.
    """

    #: Largest length of a scan's own part of a name, so that no output has a name of more than 255 bytes, not
    #: even while it is written under a temporary name.
    LONGEST_STEM: ClassVar[int] = 180

    root: Path
    entities: Entities
    _values: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, '_values', dict(self.entities))

    @classmethod
    def of(cls, root: Path, source: Path) -> Naming:
        """Names for outputs of the scan `source`.

        Raises
        ------
        InputError
            If its name is not a BIDS name.
        """
        return cls(Path(root), parse_entities(Path(source).name))

    @property
    def subject(self) -> str:
        """``sub-LABEL``."""
        return f'sub-{self._values["sub"]}'

    @property
    def session(self) -> str | None:
        """``ses-LABEL`` or None."""
        return f'ses-{self._values["ses"]}' if 'ses' in self._values else None

    @property
    def stem(self) -> str:
        """All entities of the scan: its name without suffix."""
        return self._join(self._values)

    @property
    def folder(self) -> Path:
        """``root/sub-LABEL[/ses-LABEL]``."""
        folder = self.root / self.subject
        return folder / self.session if self.session else folder

    def anat(self, suffix: str, extension: str = '.nii.gz', **added: str) -> Path:
        """Path of a file in ``anat``, e.g. ``anat('mask', label='PVS')``."""
        return self.folder / 'anat' / f'{self._join(self._values | added)}_{suffix}{extension}'

    def transform(self, source: str, target: str) -> Path:
        """Path of the transform that takes images from one space to another, e.g. ``T1w``."""
        folder = self.folder / 'anat'
        return folder / f'{self.stem}_from-{source}_to-{target}_mode-image_xfm.h5'

    def figure(self, desc: str, extension: str = '.png') -> Path:
        """Path of a figure in ``figures``."""
        name = self._join(self._values | {'desc': desc})
        return self.folder / 'figures' / f'{name}_T1w{extension}'

    @property
    def report(self) -> Path:
        """The page of the subject and session."""
        stem = '_'.join(filter(None, (self.subject, self.session)))
        return self.root / f'{stem}.html'

    @property
    def logs(self) -> Path:
        """Folder of logs and crash files."""
        return logs_dir(self.root)

    @property
    def status(self) -> Path:
        """Record of what was done for this scan, with which settings."""
        return self.logs / f'{self.stem}_status.json'

    @property
    def failure(self) -> Path:
        """Record of why this scan is not done; there is none once it is."""
        return self.logs / f'{self.stem}_failure.json'

    @property
    def lock(self) -> Path:
        """Held by the job that works on this scan."""
        return self.logs / f'.{self.stem}.lock'

    def shares_outputs(self, other: Naming) -> bool:
        """Whether an output of one scan would have the name of one of the other, upper or lower case."""
        return not self._claims.isdisjoint(other._claims)

    @property
    def _claims(self) -> frozenset[str]:
        """Names of outputs without suffix, for each choice of entities that outputs have in addition."""
        added = ((), ('desc',), ('seg',), ('label',), ('space',), ('space', 'label'), ('space', 'desc'))
        names = (self._join(self._values | dict.fromkeys(keys, '*')) for keys in added)
        return frozenset(name.casefold() for name in names)

    @property
    def core(self) -> str:
        """What is the same in the names of two scans that share an output."""
        kept = {k: v for k, v in self._values.items() if k not in ('desc', 'seg', 'label', 'space')}
        return self._join(kept).casefold()

    @staticmethod
    def _join(values: dict[str, str]) -> str:
        order = entity_order()
        known = [k for k in order if k in values]
        unknown = [k for k in values if k not in order]
        raw = [k for k in known if k not in _DERIVED]
        derived = [k for k in known if k in _DERIVED]
        return '_'.join(f'{k}-{values[k]}' for k in (*raw, *unknown, *derived))


@dataclass(frozen=True)
class GroupNaming:
    """Names of all that the group level writes.

    Attributes
    ----------
    root : Path
        The derivative dataset.
    """

    root: Path

    @property
    def page(self) -> Path:
        """The cohort's page."""
        return self.root / 'group.html'

    def table(self, name: str, extension: str = '.tsv') -> Path:
        """Path of a table, or of its sidecar."""
        return self.root / f'group_{name}{extension}'

    def frequency_map(self, cohort: str, space: str, extension: str = '.nii.gz') -> Path:
        """Path of a cohort's frequency map, or of its sidecar."""
        label = ''.join(c for c in cohort if c.isalnum()) or 'all'
        return self.root / f'group_cohort-{label}_space-{space}_desc-pvs_frequency{extension}'


@dataclass(frozen=True)
class SimulationNaming:
    """Names of the files of a simulated dataset that belong to no single scan.

    Attributes
    ----------
    root : Path
        The BIDS dataset.
    """

    root: Path

    @property
    def gallery(self) -> Path:
        """Figure of the first scans."""
        return self.root / 'gallery.png'

    @property
    def bidsignore(self) -> Path:
        """List of the files that the BIDS validator ignores."""
        return self.root / '.bidsignore'

    def participants(self, extension: str = '.tsv') -> Path:
        """Path of the table of participants, or of its sidecar."""
        return self.root / f'participants{extension}'

    def sessions(self, subject: str) -> Path:
        """Path of the table of a participant's sessions; `subject` is ``sub-LABEL``."""
        return self.root / subject / f'{subject}_sessions.tsv'


@dataclass(frozen=True)
class EvaluationNaming:
    """Names of all that an evaluation writes.

    Attributes
    ----------
    root : Path
        Output folder.
    """

    root: Path

    def table(self, name: str = '', extension: str = '.tsv') -> Path:
        """Path of the main table, of the table `name`, or of a sidecar or figure with its name."""
        return self.root / f'{"_".join(filter(None, ("evaluation", name)))}{extension}'
