"""The one place where the path of an output is made.

Entities of the input are kept, all of them; those of a derivative are put where BIDS wants them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

#: Order of entities in a file name (BIDS 1.10, raw and derivative entities of anatomical images).
ENTITY_ORDER = (
    'sub', 'ses', 'sample', 'task', 'tracksys', 'acq', 'nuc', 'voi', 'ce', 'trc', 'stain', 'rec',
    'dir', 'run', 'mod', 'echo', 'flip', 'inv', 'mt', 'part', 'proc', 'hemi', 'space', 'split',
    'recording', 'chunk', 'atlas', 'seg', 'scale', 'res', 'den', 'label', 'desc',
)  # fmt: skip

_ENTITY = re.compile(r'([a-zA-Z]+)-([a-zA-Z0-9+]+)')


def labels_dir(data_dir: Path) -> Path:
    """Derivative data set with the tracings, or the truth, of a data set."""
    return data_dir / 'derivatives' / 'labels'


def parse_entities(name: str) -> tuple[tuple[str, str], ...]:
    """Entities of a BIDS file name, in the file's order.

    Raises
    ------
    InputError
        If a part of the name is not ``key-value``, or there is no ``sub-``.
    """
    stem = name.split('.')[0]
    parts = stem.split('_')[:-1]
    pairs = []
    for part in parts:
        if not (match := _ENTITY.fullmatch(part)):
            raise InputError(f'{name}: {part!r} is no BIDS entity (key-value)')
        pairs.append((match[1], match[2]))
    if not pairs or pairs[0][0] != 'sub':
        raise InputError(f'{name}: a BIDS file name begins with sub-LABEL')
    return tuple(pairs)


@dataclass(frozen=True)
class Naming:
    """Names of all that is written for one scan.

    Attributes
    ----------
    root : Path
        The derivative data set.
    entities : tuple of (str, str)
        Entities of the scan from which the outputs come.
    """

    root: Path
    entities: tuple[tuple[str, str], ...]
    _values: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, '_values', dict(self.entities))

    @classmethod
    def of(cls, root: Path, source: Path) -> Naming:
        """Names for outputs of the scan `source`."""
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

    def figure(self, desc: str, extension: str = '.png') -> Path:
        """Path of a picture in ``figures``."""
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
        return self.root / 'logs'

    @property
    def status(self) -> Path:
        """Record of what was done for this scan, with which settings."""
        return self.logs / f'{self.stem}_status.json'

    @property
    def lock(self) -> Path:
        """Held by the job that works on this scan."""
        return self.logs / f'.{self.stem}.lock'

    @staticmethod
    def _join(values: dict[str, str]) -> str:
        known = [k for k in ENTITY_ORDER if k in values]
        unknown = [k for k in values if k not in ENTITY_ORDER]
        derived = ('space', 'atlas', 'seg', 'scale', 'res', 'den', 'label', 'desc')
        raw = [k for k in known if k not in derived]
        tail = [k for k in known if k in derived]
        return '_'.join(f'{k}-{values[k]}' for k in (*raw, *unknown, *tail))


@dataclass(frozen=True)
class GroupNaming:
    """Names of all that the group level writes.

    Attributes
    ----------
    root : Path
        The derivative data set.
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
