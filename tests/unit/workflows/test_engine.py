from pvs_bidsapp.workflows.engine import error_line

CRASH = """nipype.pipeline.engine.nodes.NodeExecutionError: Exception raised while executing Node conform.

Traceback:
\tTraceback (most recent call last):
\t  File "x.py", line 3, in f
\t    raise {kind}('...')
\t{line}

"""


def test_the_reason_is_the_innermost_error():
    ours = CRASH.format(
        kind='ImageError', line='pvs_bidsapp.errors.ImageError: a.nii.gz: empty; export it again'
    )
    assert error_line(ours) == 'a.nii.gz: empty; export it again'
    other = CRASH.format(kind='ValueError', line='ValueError: no')
    assert error_line(other) == 'ValueError: no'
    assert error_line('nothing') == 'failed for an unknown reason'
