"""The whole program on small heads, one in disguise: at most as many are under way as there are processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from disguises import all_at_once, write
from faults.small_head import SmallHead, make_small_head

from pvs_bidsapp.runtime.files import TEMPORARY

N_SCANS, NPROCS = 3, 2
#: The scan that is the first one in every disguise at once.
DISGUISED = 'sub-0002'


@dataclass
class Watched:
    """What was seen while the program ran.

    Attributes
    ----------
    work_sizes : list of dict
        Bytes under the work folder by scan, at each look.
    seen : dict of str to float
        When each file was there first.
    stderr : str
    """

    head: SmallHead
    out: Path
    work_sizes: list[dict[str, int]] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    stderr: str = ''

    def look(self) -> None:
        # a page is written before the next scan begins, so that a look that sees the scan sees the page, too
        looked = time.monotonic()
        sizes: dict[str, int] = {}
        scans = self.out / 'work' / 'pvs'
        for folder, _, names in os.walk(scans):  # passes over folders that have just been removed
            for path in (Path(folder, name) for name in names):
                try:
                    size = path.stat().st_size
                except OSError:  # has just been removed
                    continue
                scan = path.relative_to(scans).parts[0]
                sizes[scan] = sizes.get(scan, 0) + size
        self.work_sizes.append(sizes)
        for scan in sizes:
            self.seen.setdefault(scan.split('_')[2], time.monotonic())
        for path in (*self.out.glob('*.html'), *self.out.glob('sub-*/anat/*_label-PVS_mask.nii.gz')):
            if not path.name.startswith(TEMPORARY):
                self.seen.setdefault(path.name, looked)


def anat(root: Path, subject: str) -> Path:
    return root / subject / 'anat'


@pytest.fixture(scope='module')
def watched(simulated, tmp_path_factory) -> Watched:
    folder = tmp_path_factory.mktemp('scan_by_scan')
    head = make_small_head(folder / 'head', simulated=simulated)
    for root in (head.bids, head.labels):
        (first,) = root.glob('sub-*')
        for number in range(2, N_SCANS + 1):
            for path in first.rglob('*.nii.gz'):
                copy = Path(str(path).replace('0001', f'{number:04}'))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    # what is ready-made of it is not: all that is found in a scan is found in its working image
    plain = nib.load(anat(head.bids, 'sub-0001') / 'sub-0001_T1w.nii.gz')
    write(all_at_once(plain), anat(head.bids, DISGUISED) / f'{DISGUISED}_T1w.nii.gz')
    run = Watched(head, folder / 'out')
    command = head.command(run.out, run.out / 'work', nprocs=NPROCS)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stderr))
        reader.start()
        while process.poll() is None:
            run.look()
            time.sleep(0.05)
        reader.join()
    run.stderr = ''.join(lines)
    run.look()
    assert process.returncode == 0, run.stderr
    return run


def test_all_scans_are_done_and_nothing_is_left_of_their_intermediate_files(watched):
    assert len(list(watched.out.glob('sub-*/anat/*_label-PVS_mask.nii.gz'))) == N_SCANS
    assert not (watched.out / 'work').exists()


def test_the_work_folder_never_holds_more_than_the_scans_under_way(watched):
    whole = max(max(sizes.values(), default=0) for sizes in watched.work_sizes)
    assert whole > 0
    assert max(len(sizes) for sizes in watched.work_sizes) <= NPROCS + 1
    assert max(sum(sizes.values()) for sizes in watched.work_sizes) <= (NPROCS + 1) * whole


def test_the_first_mask_and_page_are_there_before_the_third_scan_begins(watched):
    finished = sorted(at for name, at in watched.seen.items() if name.endswith('_mask.nii.gz'))
    shown = sorted(at for name, at in watched.seen.items() if name.endswith('.html'))
    begun = sorted(at for name, at in watched.seen.items() if '.' not in name)
    assert len(finished) == len(shown) == len(begun) == N_SCANS
    assert finished[0] < begun[2]
    assert shown[0] <= begun[2]


def test_progress_says_scan_step_and_what_is_left(watched):
    lines = [line for line in watched.stderr.splitlines() if line.startswith('[')]
    first = f'[1/{N_SCANS}] sub-0001: conform done (step 1 of '
    assert any(line.startswith(first) for line in lines[:3])  # another scan may be quicker
    assert any(' left' in line for line in lines)
    assert sum(': finished in ' in line for line in lines) == N_SCANS


def test_the_same_head_gives_the_same_results_beside_others(watched):
    paths = watched.out.glob('sub-*/anat/*_label-PVS_probseg.nii.gz')
    assert len({path.read_bytes() for path in paths if not path.name.startswith(DISGUISED)}) == 1


def test_a_scan_in_disguise_gives_the_same_results(watched):
    """PSR, z-scored, a fourth axis, qform alone."""
    scans = ('sub-0001', DISGUISED)
    for name in ('label-PVS_mask', 'label-PVS_probseg', 'desc-brain_mask', 'seg-regions_dseg'):
        paths = (anat(watched.out, scan) / f'{scan}_{name}.nii.gz' for scan in scans)
        one, two = (np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj) for path in paths)
        np.testing.assert_array_equal(one, two)
        assert one.any()
    for name in ('desc-pvs_dseg.tsv', 'desc-pvs_stats.tsv'):
        first, second = ((anat(watched.out, scan) / f'{scan}_{name}').read_text() for scan in scans)
        assert first == second


def test_what_is_unclear_stands_in_sidecar_page_and_log(watched):
    sidecars = {
        scan: json.loads((anat(watched.out, scan) / f'{scan}_desc-pvs_stats.json').read_text())
        for scan in ('sub-0001', DISGUISED)
    }
    plain, said = ([f['Code'] for f in sidecar.get('InputFindings', [])] for sidecar in sidecars.values())
    # what is said of both is that so coarse a scan is no good one
    assert sorted(said) == sorted([*plain, 'scan-negative'])
    assert 'values are negative' in (watched.out / f'{DISGUISED}.html').read_text()
    assert re.search(rf'{DISGUISED}_T1w\.nii\.gz: \d\d % of its values are negative', watched.stderr)
