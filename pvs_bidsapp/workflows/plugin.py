"""Nipype plugin: worker processes, of which one may be killed without a hang, and a progress display."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node
from tqdm.auto import tqdm

from ..runtime.signals import end_with_parent

#: Attempts at a step whose worker is killed: another process may have used up the memory.
TRIES = 2
KILLED = (
    'MemoryError: a worker process was killed, most likely for lack of memory; allow more memory '
    '(docker -m, sbatch --mem), or use fewer --nprocs'
)


def prepare_worker(folder: str) -> None:
    """Set up a worker; called first in each."""
    process_initializer(folder)
    end_with_parent()


class Workers(MultiProcPlugin):
    """Worker processes of a run.

    nipype waits forever for the result of a worker that the system has killed. Here such a step
    is tried once more by a fresh worker, then counts as failed, and the other scans go on.
    """

    def __init__(self, plugin_args: dict[str, Any]) -> None:
        super().__init__(plugin_args=plugin_args)
        self._steps: dict[int, tuple[Any, bool]] = {}
        self._tries: dict[int, int] = {}
        self.pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        # the default start, fork, hangs once torch has run in the parent
        context = multiprocessing.get_context('forkserver')
        return ProcessPoolExecutor(
            self.processors, mp_context=context, initializer=prepare_worker, initargs=(os.getcwd(),)
        )

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        self._taskid += 1
        self._steps[self._taskid] = (node, updatehash)
        self._start(self._taskid)
        return self._taskid

    def _start(self, taskid: int) -> None:
        node, updatehash = self._steps[taskid]
        self._tries[taskid] = self._tries.get(taskid, 0) + 1
        try:
            self._task_obj[taskid] = self.pool.submit(run_node, node, updatehash, taskid)
        except BrokenProcessPool:  # a worker was killed: the pool can no longer be used
            self.pool = self._new_pool()
            self._task_obj[taskid] = self.pool.submit(run_node, node, updatehash, taskid)

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        """Result of a step, None while there is none; nipype polls it in a loop."""
        future = self._task_obj[taskid]
        if not future.done():
            return None
        error = future.exception()
        if error is None:
            return future.result()
        killed = isinstance(error, BrokenProcessPool)
        if killed and self._tries[taskid] < TRIES:
            self._start(taskid)
            return None
        reason = KILLED if killed else f'{type(error).__name__}: {error}'
        return {'taskid': taskid, 'result': None, 'traceback': [reason]}

    def stop(self) -> None:
        """End all workers at once; what they had begun is lost."""
        for process in list((getattr(self.pool, '_processes', None) or {}).values()):
            process.kill()
        self.pool.shutdown(wait=False, cancel_futures=True)


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
        """Record the state of a node: ``start``, ``end`` or ``exception``."""
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
