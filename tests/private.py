"""Datasets full of personal data, and the search for them in what the program writes and prints."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path

import nibabel as nib
from nibabel.nifti1 import Nifti1Extension
from program import pvs

NO_NETWORK = Path(__file__).with_name('no_network')
#: Part of every personal value.
SECRET = 'ZORGLUB'
#: Fields of DICOM that name a person, in a sidecar as careless converters write it.
FIELDS = {
    field: f'{SECRET} {field}'
    for field in (
        'PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'PatientAddress', 'PatientComments',
        'InstitutionName', 'InstitutionAddress', 'StationName', 'ReferringPhysicianName', 'OperatorsName',
        'AccessionNumber', 'StudyInstanceUID', 'AcquisitionDateTime', 'Manufacturer', 'DeviceSerialNumber',
        'ProtocolName', 'SeriesDescription', 'ImageComments',
    )
}  # fmt: skip


def make_personal(bids: Path) -> None:
    """Write personal data into sidecars, headers and texts of a dataset; the voxels stay the same."""
    for path in sorted(bids.rglob('*_T[12]w.nii.gz')):
        image = nib.load(path)
        data, header = image.dataobj.get_unscaled(), image.header
        header['descrip'], header['aux_file'], header['db_name'] = SECRET, SECRET, SECRET
        header['intent_name'] = SECRET
        header.extensions.append(Nifti1Extension('comment', f'{SECRET} as a comment'.encode()))
        header.extensions.append(Nifti1Extension('dicom', f'PN {SECRET}^MARIE'.encode()))
        nib.save(nib.Nifti1Image(data, image.affine, header), path)
        sidecar = path.with_name(path.name.removesuffix('.nii.gz') + '.json')
        sidecar.write_text(json.dumps(FIELDS | {'global': {'const': FIELDS}}))
    (bids / 'README').write_text(f'Scans of {SECRET}')
    description = bids / 'dataset_description.json'
    content = json.loads(description.read_text()) if description.exists() else {}
    names = {'Name': f'Study of {SECRET}', 'Authors': [SECRET], 'Acknowledgements': SECRET}
    description.write_text(json.dumps({'BIDSVersion': '1.10.0'} | content | names))
    for folder in sorted(bids.glob('sub-*')):
        (folder / f'{folder.name}_scans.tsv').write_text(f'filename\tacq_time\nanat/x\t{SECRET}\n')


def find_secret(folder: Path) -> list[str]:
    """Files below a folder, and what they are called, that hold a personal value; compressed ones, too."""
    word, found = SECRET.lower().encode(), []
    for path in sorted(folder.rglob('*')):
        if SECRET in path.name:
            found.append(f'{path} (name)')
        if path.is_file():
            data = path.read_bytes()
            if data.startswith(b'\x1f\x8b'):
                data += gzip.decompress(data)
            if word in data.lower():
                found.append(str(path))
    return found


def pvs_alone(notes: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run ``pvs``, and check that none of its processes calls beyond the machine.

    Parameters
    ----------
    notes : Path
        File for what they call; does not exist.
    *arguments, **options
        As for `program.pvs`.
    """
    paths = [str(NO_NETWORK), os.environ.get('PYTHONPATH', '')]
    environment = os.environ | {
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'PVS_NETWORK_NOTES': str(notes),
    }
    done = pvs(*arguments, env=environment, **options)
    assert not notes.exists(), notes.read_text()
    assert processes(notes), 'the processes were not watched'
    return done


def processes(notes: Path) -> set[str]:
    """Numbers of the processes that were watched."""
    started = notes.with_name(f'{notes.name}.processes')
    return {line.split()[0] for line in started.read_text().splitlines()} if started.exists() else set()
