"""The card of a model: what it holds, what each entry has to be, and how it is read.

A model folder may come from anywhere. A card is therefore read with bounds on its size, and each of its
entries is compared with one table, `RULES`, before anything is built from it. The same table decides on
cards that are written.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..messages import models

if TYPE_CHECKING:
    from .grid import Spacing

#: Largest file in bytes that is read as a card.
CARD_BYTES = 1_000_000
#: Longest name, and longest text of a card, in characters.
NAME_LENGTH, TEXT_LENGTH = 100, 20_000
#: Longest value in a message, in characters.
SHOWN = 100
#: Deepest nesting of lists and objects in a card.
DEPTH = 20


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The description of a model that is stored as ``model.json``.

    Attributes
    ----------
    name, version : str
        Of the weights, not of this program.
    architecture : dict
        ``name`` and arguments of the network, see `pvs_bidsapp.segmentation.networks.build`.
    channels : tuple of str
        ``('T1w',)``, ``('T1w', 'T2w')`` or ``('T2w',)``.
    spacing : float or tuple of float
        Voxel size of the network's grid in mm, or the smallest and the largest; see
        `pvs_bidsapp.segmentation.grid`.
    box : tuple of int
        Smallest shape of that grid, in voxels.
    intensity : dict
        The normalization, see `pvs_bidsapp.segmentation.intensity.TissueNormalization.card`.
    threshold : float
        A voxel is segmented if its probability is at least this, in (0, 1].
    min_cluster_size : float
        Clusters below this volume (mm³) are removed.
    trained_on, limits, licence : str
        Training data, limitations and licence, in plain words.
    patch_size, stride : int or None
        Edge of the patches that the network is applied to and the step between them, in voxels;
        None for whole volumes.
    mirror : bool
        Whether the predictions on the scan and on its mirror image are averaged.
    metrics, training : dict
        Scores of the model; settings of its training.
    sha256 : str
        Of the weights' file, in hexadecimal.
    burden : dict or None
        Calibration of expected numbers and volumes; see `pvs_bidsapp.clusters.burden.Burden`.
    standard : dict or None
        How numbers and volumes follow the quality of a scan; see `pvs_bidsapp.group.standard.Law`.
    """

    name: str
    version: str
    architecture: dict[str, Any]
    channels: tuple[str, ...]
    spacing: Spacing
    box: tuple[int, int, int]
    intensity: dict[str, Any]
    threshold: float
    min_cluster_size: float
    trained_on: str
    limits: str
    licence: str
    patch_size: int | None = None
    stride: int | None = None
    mirror: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    sha256: str = ''
    burden: dict[str, Any] | None = None
    standard: dict[str, Any] | None = None


#: Entries that decide what a network makes of a scan, beside its weights and the threshold.
USE = ('architecture', 'channels', 'spacing', 'box', 'intensity', 'patch_size', 'stride', 'mirror')


@dataclass(frozen=True)
class Rule:
    """What an entry has to be.

    Attributes
    ----------
    wanted : str
        In words, after "it has to be".
    accepts : callable
        Whether a value, as JSON gives it, is that.
    """

    wanted: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class Problem:
    """An entry that is not what it has to be.

    Attributes
    ----------
    key : str
        Such as ``architecture.filters``.
    value : object
    wanted : str
    """

    key: str
    value: Any
    wanted: str


# ---- kinds of rules


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> Rule:
    """A finite number from `low` to `high`; without `low` itself if `above`, without `high` if `below`."""
    words = f'a number {"above" if above else "from"} {low:g} {"and below" if below else "to"} {high:g}'

    def accepts(value: Any) -> bool:
        # comparisons are false for NaN, and exact for integers of any length
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and low <= value <= high
            and not (above and value == low)
            and not (below and value == high)
        )

    return Rule(words, accepts)


def integer(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`."""
    return Rule(
        f'a whole number from {low} to {high}',
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
    )


def optional(rule: Rule) -> Rule:
    """As `rule`, or null."""
    return Rule(f'{rule.wanted}, or null', lambda v: v is None or rule.accepts(v))


def series(length: int, rule: Rule) -> Rule:
    """A list of `length` values that follow a rule."""
    return Rule(
        f'a list of {length}, each {rule.wanted}',
        lambda v: isinstance(v, list) and len(v) == length and all(map(rule.accepts, v)),
    )


def choice(*values: Any) -> Rule:
    """One of these values, of the same type."""
    return Rule(
        ' or '.join(json.dumps(v) for v in values),
        lambda v: any(type(v) is type(known) and v == known for known in values),
    )


def either(first: Rule, second: Rule) -> Rule:
    """As one of two rules."""
    return Rule(f'{first.wanted}, or {second.wanted}', lambda v: first.accepts(v) or second.accepts(v))


def _is_label(value: Any) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= NAME_LENGTH
        and value.isprintable()
        and not set('/\\') & set(value)
        and not value.startswith('.')
        and value == value.strip()
    )


#: A name that stands in outputs and on pages.
LABEL = Rule(
    f'a name of at most {NAME_LENGTH} printable characters, without slashes, that does not begin with a dot',
    _is_label,
)
BOOLEAN = choice(True, False)
TEXT = Rule(
    f'a text of at most {TEXT_LENGTH} printable characters',
    lambda v: isinstance(v, str) and _is_plain(v),
)
CHECKSUM = Rule(
    'the SHA-256 of the weights, 64 hexadecimal digits',
    lambda v: isinstance(v, str) and len(v) == 64 and set(v) <= set('0123456789abcdef'),
)
MAPPING = Rule(
    f'an object with printable texts, nested at most {DEPTH} deep',
    lambda v: isinstance(v, dict) and _is_harmless(v),
)
_SIZE = number(0.3, 3)
SPACING = either(
    _SIZE,
    Rule(
        'a list of the smallest and the largest such number',
        lambda v: series(2, _SIZE).accepts(v) and v[0] <= v[1],
    ),
)
_LEVEL = number(-1000, 1000)


def _is_plain(text: str) -> bool:
    return len(text) <= TEXT_LENGTH and text.replace('\n', ' ').replace('\t', ' ').isprintable()


def _is_harmless(value: Any) -> bool:
    """Whether all texts in a value are plain, and it is not nested too deeply."""
    level = [value]
    for _ in range(DEPTH):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, str) and not _is_plain(part):
                return False
            if isinstance(part, dict):
                inner += [*part, *part.values()]
            elif isinstance(part, list):
                inner += part
        if not inner:
            return True
        level = inner
    return False


# ---- the tables

#: Arguments of each network that a card may name. All of them may be left out.
ARCHITECTURES: dict[str, dict[str, Rule]] = {
    'joliot2021': {
        'in_channels': integer(1, 2),
        'blocks': integer(1, 8),
        'filters': integer(1, 256),
        'dropout': number(0, 1, below=True),
        'refine': integer(0, 256),
        'compare': integer(0, 256),
        'compare_limit': number(0, 100),
    },
    'm2ss': {
        'in_channels': integer(1, 2),
        'filters': integer(1, 256),
        'side_filters': integer(1, 256),
        'levels': integer(1, 7),
        'multi_scale': BOOLEAN,
        'refine': integer(0, 256),
        'compare': integer(0, 256),
        'compare_limit': number(0, 100),
    },
}
ENSEMBLE = {'members': integer(1, 100), 'of': MAPPING}

#: What each entry of a card has to be.
RULES: dict[str, Rule] = {
    'name': LABEL,
    'version': LABEL,
    'architecture': MAPPING,
    'channels': choice(['T1w'], ['T1w', 'T2w'], ['T2w']),
    'spacing': SPACING,
    'box': series(3, integer(1, 320)),
    'intensity': MAPPING,
    'threshold': number(0, 1, above=True),
    'min_cluster_size': number(0, 100_000),
    'trained_on': TEXT,
    'limits': TEXT,
    'licence': TEXT,
    'patch_size': optional(integer(1, 320)),
    'stride': optional(integer(1, 320)),
    'mirror': BOOLEAN,
    'metrics': MAPPING,
    'training': MAPPING,
    'sha256': CHECKSUM,
    'burden': optional(MAPPING),
    'standard': optional(MAPPING),
}
#: What each entry of ``burden`` has to be, and what each of its two calibrations.
BURDEN: dict[str, Rule] = {'count': MAPPING, 'volume': MAPPING, 'n_scans': integer(1, 1_000_000)}
CALIBRATION: dict[str, Rule] = {
    'scale': number(0, 1e6, above=True),
    'low': number(0, 1),
    'high': number(1, 1e6),
}
#: What each entry of ``standard`` has to be, and what each of its exponents.
STANDARD: dict[str, Rule] = dict.fromkeys(('count', 'volume_mm3', 'count_5mm3', 'volume_5mm3'), MAPPING)
EXPONENTS: dict[str, Rule] = dict.fromkeys(('noise', 'voxel'), number(-3, 3))
#: What each entry of ``intensity`` has to be.
INTENSITY: dict[str, Rule] = {
    'rule': choice('wm-csf'),
    'wm': _LEVEL,
    'csf': _LEVEL,
    'low': _LEVEL,
    'high': _LEVEL,
    'outside': _LEVEL,
}


def find_problem(content: dict[str, Any]) -> Problem | None:
    """Find the first entry of a card that is not what it has to be.

    Parameters
    ----------
    content : dict
        As JSON gives it, with all entries of `RULES`.

    Returns
    -------
    problem : Problem or None
    """
    return (
        _first_problem(RULES, content)
        or architecture_problem(content['architecture'])
        or intensity_problem(content['intensity'])
        or burden_problem(content.get('burden'))
        or standard_problem(content.get('standard'))
        or _relation_problem(content)
    )


def _first_problem(rules: dict[str, Rule], values: dict[str, Any], prefix: str = '') -> Problem | None:
    for key, rule in rules.items():
        if key in values and not rule.accepts(values[key]):
            return Problem(f'{prefix}{key}', values[key], rule.wanted)
    return None


def _unknown_entry(rules: dict[str, Rule], values: dict[str, Any], prefix: str) -> Problem | None:
    """The first entry that no rule knows."""
    for key in values:
        if key not in rules:
            return Problem(f'{prefix}{key}', values[key], f'left out; known are {", ".join(rules)}')
    return None


def architecture_problem(architecture: dict[str, Any], prefix: str = 'architecture.') -> Problem | None:
    """Find what is wrong with the entry ``architecture``.

    Parameters
    ----------
    architecture : dict
    prefix : str
        What the keys are called in the problem.

    Returns
    -------
    problem : Problem or None
    """
    rest = dict(architecture)
    name = rest.pop('name', None)
    is_ensemble = name == 'ensemble' and prefix == 'architecture.'  # an ensemble has no ensembles in it
    known = [*ARCHITECTURES, *(['ensemble'] if prefix == 'architecture.' else [])]
    if not is_ensemble and not (isinstance(name, str) and name in ARCHITECTURES):
        return Problem(f'{prefix}name', name, choice(*known).wanted)
    rules = ENSEMBLE if is_ensemble else ARCHITECTURES[str(name)]
    if problem := _unknown_entry(rules, rest, prefix) or _first_problem(rules, rest, prefix):
        return problem
    if not is_ensemble:
        return None
    if missing := [key for key in rules if key not in rest]:
        return Problem(prefix + missing[0], None, rules[missing[0]].wanted)
    return architecture_problem(rest['of'], f'{prefix}of.')


def intensity_problem(entry: dict[str, Any], prefix: str = 'intensity.') -> Problem | None:
    """Find what is wrong with the entry ``intensity``; parameters as `architecture_problem`."""
    if problem := _exactly(INTENSITY, entry, prefix):
        return problem
    if abs(entry['wm'] - entry['csf']) < 1e-3:
        return Problem(f'{prefix}csf', entry['csf'], f'another number than {prefix}wm')
    if entry['low'] >= entry['high']:
        return Problem(f'{prefix}low', entry['low'], f'less than {prefix}high')
    return None


def burden_problem(entry: dict[str, Any] | None, prefix: str = 'burden.') -> Problem | None:
    """Find what is wrong with the entry ``burden``; parameters as `architecture_problem`."""
    return _in_parts(BURDEN, CALIBRATION, entry, prefix)


def standard_problem(entry: dict[str, Any] | None, prefix: str = 'standard.') -> Problem | None:
    """Find what is wrong with the entry ``standard``; parameters as `architecture_problem`."""
    return _in_parts(STANDARD, EXPONENTS, entry, prefix)


def _in_parts(
    rules: dict[str, Rule], parts: dict[str, Rule], values: dict[str, Any] | None, prefix: str
) -> Problem | None:
    """As `_exactly`, of an optional object whose objects all follow the rules `parts`."""
    if values is None:
        return None
    problem = _exactly(rules, values, prefix)
    for name in (key for key, rule in rules.items() if rule is MAPPING):
        problem = problem or _exactly(parts, values[name], f'{prefix}{name}.')
    return problem


def _exactly(rules: dict[str, Rule], values: dict[str, Any], prefix: str) -> Problem | None:
    """The first entry that no rule knows, that is missing, or that is not what it has to be."""
    if problem := _unknown_entry(rules, values, prefix):
        return problem
    for key, rule in rules.items():
        if not rule.accepts(values.get(key)):
            return Problem(f'{prefix}{key}', values.get(key), rule.wanted)
    return None


def _relation_problem(content: dict[str, Any]) -> Problem | None:
    """The first entry that does not go with the others."""
    network = content['architecture'].get('of', content['architecture'])
    channels, patch, stride = (content.get(k) for k in ('channels', 'patch_size', 'stride'))
    inputs = network.get('in_channels', 2 if network['name'] == 'm2ss' else 1)
    if inputs != len(channels or ()):
        return Problem('channels', channels, f'as many as the inputs of the network ({inputs})')
    if patch is None:
        return None if stride is None else Problem('stride', stride, 'null, if patch_size is null')
    smallest = smallest_patch(network)
    if patch < smallest:
        return Problem('patch_size', patch, f'at least {smallest}, or the deepest layer has nothing left')
    least = math.ceil(patch / 8)
    if stride is not None and not least <= stride <= patch:
        return Problem('stride', stride, f'from {least} to {patch}: an eighth of patch_size to all of it')
    return None


def smallest_patch(architecture: dict[str, Any]) -> int:
    """Edge in voxels of the smallest patch, which the deepest layer reduces to one voxel.

    Parameters
    ----------
    architecture : dict
        Of one network.
    """
    depth = architecture.get('blocks', 7) - 1 if 'joliot' in architecture['name'] else None
    return int(2 ** (architecture.get('levels', 4) if depth is None else depth))


# ---- reading and writing


def read_card(path: Path) -> ModelCard:
    """Read and check a card.

    Parameters
    ----------
    path : Path
        ``model.json``.

    Raises
    ------
    ModelError
        If it cannot be read, is no card, or one of its entries is not what it has to be; it names the entry.
    """
    content = _read_json(path)
    required = [f.name for f in fields(ModelCard) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in (*required, 'sha256') if name not in content]:
        raise models.CARD_INCOMPLETE.error(path, keys=', '.join(missing))
    if unknown := [name for name in content if name not in RULES]:
        raise models.CARD_UNKNOWN.error(path, keys=', '.join(shown(name) for name in unknown[:3]))
    check_content(content, path)
    content['channels'], content['box'] = tuple(content['channels']), tuple(content['box'])
    if isinstance(content['spacing'], list):
        content['spacing'] = tuple(content['spacing'])
    return ModelCard(**content)


def card_content(card: ModelCard, path: Path) -> dict[str, Any]:
    """A card as it is written: what JSON would give. Numbers that are not finite become null.

    Parameters
    ----------
    card : ModelCard
    path : Path
        Where it is to be written, for messages.

    Raises
    ------
    ModelError
        If an entry is not what it has to be.
    """
    content = json_content(card)
    check_content(content, path)
    return content


def use_digest(card: ModelCard) -> str:
    """Checksum of how a network is built and used, which decides its results as its weights do.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    digest : str
        16 hexadecimal digits.
    """
    content = json_content(card)
    text = json.dumps({key: content[key] for key in USE}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def json_content(card: ModelCard) -> dict[str, Any]:
    """A card as JSON gives it; numbers that are not finite become null."""
    content: dict[str, Any] = json.loads(
        json.dumps(asdict(card), default=str), parse_constant=lambda constant: None
    )
    return content


def check_content(content: dict[str, Any], path: Path) -> None:
    """Raise a ModelError about the first entry that is not what it has to be, see `find_problem`."""
    if problem := find_problem(content):
        raise models.CARD_WRONG.error(
            path, key=problem.key, value=shown(problem.value), wanted=problem.wanted
        )


def make_label(text: str) -> str:
    """Make a text a name that a card may have.

    Parameters
    ----------
    text : str
        Such as the name of a folder.

    Returns
    -------
    name : str
        ``model`` if nothing is left of the text.
    """
    kept = ''.join(c for c in text if c.isprintable() and c not in '/\\')
    return kept.strip().lstrip('.')[:NAME_LENGTH].strip() or 'model'


def shown(value: Any) -> str:
    """A value in a message, cut to a length that can be read."""
    text = reprlib.repr(value)
    return text if len(text) <= SHOWN else f'{text[: SHOWN - 3]}...'


def _read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file of bounded size, in which no key occurs twice."""
    try:
        with path.open('rb') as stream:
            data = stream.read(CARD_BYTES + 1)
    except OSError as error:
        raise models.CARD_UNREADABLE.error(path, reason=error.strerror or error) from error
    if len(data) > CARD_BYTES:
        raise models.CARD_TOO_LARGE.error(path, limit=CARD_BYTES // 10**6)
    try:
        content = json.loads(data.decode('utf-8-sig'), object_pairs_hook=_without_repetition)
    except RecursionError as error:
        raise models.CARD_NOT_JSON.error(path, reason='nested too deeply') from error
    except ValueError as error:
        raise models.CARD_NOT_JSON.error(path, reason=str(error)[:120]) from error
    if not isinstance(content, dict):
        raise models.CARD_NOT_JSON.error(path, reason=f'a {type(content).__name__}, not an object')
    return content


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f'{shown(name)} occurs twice')
        content[name] = value
    return content
