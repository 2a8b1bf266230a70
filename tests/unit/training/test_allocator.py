import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from pvs_bidsapp.training.allocator import keep_freed_memory
if sys.argv[1] == 'kept':
    keep_freed_memory()
for _ in range(16):  # until the heap has grown as large as it will
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(how):
    done = subprocess.run([sys.executable, '-c', PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc alone is told')
def test_a_block_that_was_freed_is_used_again_without_page_faults():
    pages = 4 * 2**26 // 4096
    assert _page_faults('kept') < pages / 100 < _page_faults('as it is')
