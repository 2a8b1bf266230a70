"""Progress of a workflow: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


class ProgressBar:
    """Status callback of nipype's plugins: counts finished nodes.

    Parameters
    ----------
    workflow : nipype.Workflow
    """

    def __init__(self, workflow: Any) -> None:
        self.total = sum(not name.endswith('inputnode') for name in workflow.list_node_names())
        self.finished = 0
        self.bar = tqdm(total=self.total, unit='step') if sys.stderr.isatty() else None

    def __call__(self, node: Any, status: str) -> None:
        """Take note of a node's state: ``start``, ``end`` or ``exception``."""
        name = node.fullname.removeprefix('pvs.scan_')
        if status == 'start' or name.endswith('.inputnode'):
            return
        self.finished += 1
        failed = ' FAILED' if status == 'exception' else ''
        if self.bar is not None:
            self.bar.set_postfix_str(name + failed)
            self.bar.update(self.finished - self.bar.n)
        else:
            print(f'[{self.finished}/{self.total}] {name}{failed}', file=sys.stderr, flush=True)
