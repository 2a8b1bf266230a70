"""What an output folder holds: whether each file is complete, and whether two folders hold the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

#: Differ from run to run, and are compared by nobody: records of runs, and of their failures.
OF_ONE_RUN = ('logs/run_', 'logs/crash-')
#: Keys of JSON files that hold the time.
TIMES = ('finished',)
#: Files with a dot that are outputs.
DOT_FILES = ('.bidsignore',)


def final_files(out: Path) -> dict[str, Path]:
    """Files under the names that a user looks for, by their path in the folder; not temporary ones."""
    files = {p.relative_to(out).as_posix(): p for p in sorted(out.rglob('*')) if p.is_file()}
    return {n: p for n, p in files.items() if not _is_hidden(Path(n)) and not n.startswith('work/')}


def _is_hidden(path: Path) -> bool:
    return any(part.startswith('.') and part not in DOT_FILES for part in path.parts)


def results(out: Path) -> dict[str, Path]:
    """The final files that two runs of the same command agree in."""
    return {n: p for n, p in final_files(out).items() if not n.startswith(OF_ONE_RUN)}


def content(path: Path) -> bytes:
    """What is compared of a file: all its bytes; in JSON, the time of the run counts as empty."""
    data = path.read_bytes()
    if path.suffix != '.json':
        return data
    record = json.loads(data)
    for key in TIMES:
        record.pop(key, None)
    return json.dumps(record).encode()


def differences(out: Path, reference: Path) -> list[str]:
    """Files that are in one folder only, or not the same in both."""
    mine, other = results(out), results(reference)
    found = [f'{name}: missing' for name in other.keys() - mine.keys()]
    found += [f'{name}: not in the unbroken run' for name in mine.keys() - other.keys()]
    both = sorted(mine.keys() & other.keys())
    return sorted(found) + [f'{n}: differs' for n in both if content(mine[n]) != content(other[n])]


def damaged(out: Path) -> list[str]:
    """Final files that are not complete, each with what is wrong."""
    found = []
    for name, path in final_files(out).items():
        try:
            _check(path)
        except Exception as error:
            found.append(f'{name}: {type(error).__name__}: {error}')
    return found


def _check(path: Path) -> None:
    checks: dict[str, Callable[[Path], object]] = {
        '.gz': _check_image, '.json': lambda p: json.loads(p.read_text()), '.tsv': _check_table,
        '.png': _check_picture, '.html': _check_page,
    }  # fmt: skip
    assert path.stat().st_size, 'empty'
    checks.get(path.suffix, Path.read_bytes)(path)


def _check_image(path: Path) -> None:
    whole = gzip.decompress(path.read_bytes())  # compares length and checksum, too
    image = nib.load(path)
    stored = int(np.prod(image.shape)) * image.get_data_dtype().itemsize + int(image.dataobj.offset)
    assert len(whole) == stored, f'{len(whole)} bytes in place of {stored}'
    assert np.asarray(image.dataobj).shape == image.shape


def _check_table(path: Path) -> None:
    text = path.read_text()
    assert text.endswith('\n'), 'the last line is cut'
    columns = {line.count('\t') for line in text.splitlines()}
    assert len(columns) == 1, f'rows of {sorted(columns)} tabs'


def _check_picture(path: Path) -> None:
    data = path.read_bytes()
    assert data.startswith(b'\x89PNG'), 'no PNG'
    assert b'IEND' in data[-12:], 'cut'


def _check_page(path: Path) -> None:
    assert path.read_text().rstrip().endswith('</html>'), 'cut'


def leftovers(out: Path, work: Path) -> list[str]:
    """What no finished run leaves behind: temporary files, locks, the work folder."""
    hidden = [p.relative_to(out) for p in out.rglob('.*')]
    found = [f'OUT_DIR/{p}' for p in sorted(hidden) if p.name not in DOT_FILES]
    if work.exists():
        found += [f'the work folder with {sorted(p.name for p in work.iterdir())}']
    return found
