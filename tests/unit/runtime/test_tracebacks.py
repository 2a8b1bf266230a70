"""The reason of a failure, in the text of a traceback as nipype writes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvs_bidsapp.runtime.tracebacks import reason_of

FRAME = '  File "x.py", line 3, in f\n    raise ValueError("Error: not this")\n    ^^^^^^^^^^^^^\n'
HEAD = 'Traceback (most recent call last):\n' + FRAME
CAUSE = '\nThe above exception was the direct cause of the following exception:\n\n'
CONTEXT = '\nDuring handling of the above exception, another exception occurred:\n\n'
LOST = '\n\nWhen creating this crashfile, the results file corresponding\nto the node could not be found.'
OURS = 'pvs_bidsapp.errors.ImageError: a.nii.gz: empty; export it again\n'


def nested(inner: str) -> str:
    """As nipype puts the traceback of a step into the message of its own exception."""
    tabbed = ''.join(f'\t{line}' if line.strip() else line for line in inner.splitlines(keepends=True))
    return (
        f'{HEAD}nipype.pipeline.engine.nodes.NodeExecutionError: Exception raised while executing Node a.\n\n'
        f'Traceback:\n{tabbed}\n\n'
    )


@pytest.mark.parametrize(
    'wrap', [str, nested, lambda t: nested(t) + LOST, lambda t: nested(t.replace('\n', '\n\n'))]
)
@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        (HEAD + OURS, 'a.nii.gz: empty; export it again'),
        (HEAD + 'ValueError: no\n', 'ValueError: no'),
        (HEAD + 'zlib.error: Error -3: bad\n', 'zlib.error: Error -3: bad'),
        (HEAD + 'struct.error: unpack\n', 'struct.error: unpack'),
        (HEAD + 'KeyboardInterrupt\n', 'KeyboardInterrupt'),
        (HEAD + 'AssertionError\n', 'AssertionError'),
        (HEAD + 'nibabel.spatialimages.HeaderDataError: code 5\n', 'HeaderDataError: code 5'),
        (HEAD + 'Timeout: not named an error\n', 'Timeout: not named an error'),
        # chains: ours, whether it is the cause or the effect; else the first
        (HEAD + 'zlib.error: bad\n' + CAUSE + HEAD + OURS, 'a.nii.gz: empty; export it again'),
        (HEAD + OURS + CONTEXT + HEAD + 'KeyError: 2\n', 'a.nii.gz: empty; export it again'),
        (HEAD + 'KeyError: 1\n' + CAUSE + HEAD + 'RuntimeError: two\n', 'KeyError: 1'),
        (HEAD + 'KeyError: 1\n' + CONTEXT + HEAD + 'RuntimeError: two\n', 'KeyError: 1'),
        # the system's errors say more than what a library makes of them
        (
            HEAD + 'RuntimeError: inline_container.cc:664\n' + CAUSE
            + HEAD + "OSError: [Errno 28] No space left on device: '/o/a.pt'\n",
            '/o/a.pt: could not be written (No space left on device); free some space, or name other ...',
        ),
        (
            HEAD + 'FileNotFoundError: [Errno 2] No such file or directory: "/d/it\'s.nii"\n',
            "/d/it's.nii: not there, or not any more (No such file or directory); put it back, or ...",
        ),
        (
            HEAD + 'numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 TiB\n',
            'not enough memory; allow more (docker -m, sbatch --mem), or use fewer --nprocs',
        ),
        (
            HEAD + 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.\n',
            'not enough memory on the GPU; free it, use --device cpu, or another GPU',
        ),
        # ITK says where it was raised
        (
            HEAD + 'RuntimeError: /project/itksource/Modules/IO/NIFTI/src/itkNiftiImageIO.cxx:2386:\n'
            + 'ITK ERROR: NiftiImageIO(0x55ae3343c950): ERROR: cannot write: a.nii\n',
            'RuntimeError: cannot write: a.nii',
        ),
        (HEAD + 'ValueError: one\n  two\nthree\n', 'ValueError: one two three'),
    ],
)  # fmt: skip
def test_the_reason_is_ours_or_the_systems_or_the_first(wrap, text, reason):
    begin, is_longer, _ = reason.partition('...')
    found = reason_of(wrap(text))
    assert found.startswith(begin) if is_longer else found == begin


def test_another_process_is_only_where_it_happened():
    remote = f'concurrent.futures.process._RemoteTraceback: \n"""\n{HEAD}{OURS}"""\n'
    assert reason_of(remote + CAUSE + HEAD + OURS) == 'a.nii.gz: empty; export it again'
    remote = f'concurrent.futures.process._RemoteTraceback: \n"""\n{HEAD}KeyError: 1\n"""\n'
    assert reason_of(remote + CAUSE + HEAD + 'KeyError: 1\n') == 'KeyError: 1'


def test_a_wrapper_alone_is_better_than_nothing():
    text = HEAD + 'nipype.pipeline.engine.nodes.NodeExecutionError: the results file has no outputs\n'
    assert reason_of(text) == 'NodeExecutionError: the results file has no outputs'
    assert reason_of('nothing') is None


def test_a_reason_has_one_line_of_some_length():
    reason = reason_of(HEAD + 'ValueError: ' + 'x\x1b[31m' * 5000)
    assert len(reason) < 500
    assert reason.isprintable()


@settings(max_examples=300, deadline=1000)
@given(st.text(alphabet='\n\t "aE:.()[]', max_size=200), st.sampled_from(['', HEAD, nested(HEAD + OURS)]))
def test_whatever_the_text_is_there_is_one_line_or_nothing(text, head):
    reason = reason_of(head + text)
    assert reason is None or '\n' not in reason
