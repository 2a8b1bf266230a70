"""Nipype plugin: worker processes, of which one may be killed without a hang."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, run_node

from ..messages import options
from ..runtime.processes import SLOW_IMPORTS, close_at_once, start_fork_server, start_worker
from .by_scan import ByScan
from .scan import MEMORY

#: Attempts at a step whose worker is killed: another process may have used up the memory.
TRIES = 2
#: Variables of the environment of a run; the fork server, which outlives a run, has those of the first one.
_OF_A_RUN = ('TMPDIR', 'NIPYPE_CONFIG_DIR', 'NIPYPE_NO_ET', 'NO_ET')
#: What the fork server imports once, in place of each worker. (This package is not among them: the server
#: does not know from where the program was started, and might find another version of it.)
PRELOADED = ('nipype.pipeline.plugins.multiproc', 'nipype.interfaces.utility', *SLOW_IMPORTS)
#: Memory (GiB) that is free before one more scan begins: that of its first step.
_ROOM = MEMORY['conform']
#: Seconds after which the workers are looked at although none has said anything.
_PATIENCE = 5.0


class Workers(ByScan, MultiProcPlugin):
    """Worker processes of a run.

    nipype waits forever for the result of a worker that the system has killed. Here such a step is tried
    once more by a worker of its own, so that no other step suffers if it is killed again; then it counts as
    failed, and the other scans go on.

    Parameters
    ----------
    plugin_args : dict
        As for nipype's `MultiProc`.
    on_failure : callable, optional
        Called with the text of each failure, ``Node: NAME`` and the traceback, after nipype's crash file has
        been written.
    adapt_threads : bool
        Give a step that can use several threads (an input ``num_threads``) fewer than that, if other scans
        need the processors.
    """

    def __init__(
        self,
        plugin_args: dict[str, Any],
        on_failure: Callable[[str], None] | None = None,
        *,
        adapt_threads: bool = False,
    ) -> None:
        super().__init__(plugin_args=plugin_args)
        self._adapt_threads, self._most_threads = adapt_threads, weakref.WeakKeyDictionary[Any, int]()
        self._steps: dict[int, tuple[Any, bool]] = {}
        self._tries: dict[int, int] = {}
        self._own_pools: dict[int, ProcessPoolExecutor] = {}
        self._on_failure = on_failure or (lambda text: None)
        start_fork_server(PRELOADED)
        gc.freeze()  # nipype collects garbage before it hands out steps: not among all that was imported
        self.pool = self._new_pool(self.processors)

    @staticmethod
    def _new_pool(size: int) -> ProcessPoolExecutor:
        # the default start, fork, hangs once torch has run in the parent
        context = multiprocessing.get_context('forkserver')
        environment = {name: os.environ[name] for name in _OF_A_RUN if name in os.environ}
        return ProcessPoolExecutor(
            size, mp_context=context, initializer=start_worker, initargs=(os.getcwd(), environment)
        )

    def _has_room(self) -> bool:
        memory, processors, _ = self._check_resources(self.pending_tasks)
        # a scan alone may begin with whatever memory there is
        return super()._has_room() and processors > 0 and (memory >= _ROOM or not self._under_way)

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:
        """Hand out what can be done now, and wait until a step has ended: nipype need not look for it."""
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        under_way = [self._task_obj[taskid] for taskid, _ in self.pending_tasks]
        wait(under_way, timeout=_PATIENCE, return_when=FIRST_COMPLETED)

    def _sort_jobs(self, jobids: Any, scheduler: str = 'tsort') -> list[int]:
        """The steps that are ready, in their order, each with the threads that it may use now."""
        jobids = super()._sort_jobs(jobids, scheduler)
        if self._adapt_threads:
            _, free, _ = self._check_resources(self.pending_tasks)
            fair = max(1, self.processors // max(1, self.most_under_way))
            for step in (self.procs[jobid] for jobid in jobids):
                if hasattr(step.interface.inputs, 'num_threads'):
                    most = self._most_threads.setdefault(step, step.n_procs)
                    step.n_procs = max(1, min(most, fair, free))
                free -= step.n_procs
        return list(jobids)

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        self._taskid += 1
        self._steps[self._taskid] = (node, updatehash)
        self._start(self._taskid)
        return self._taskid

    def _start(self, taskid: int) -> None:
        node, updatehash = self._steps[taskid]
        self._tries[taskid] = self._tries.get(taskid, 0) + 1
        if self._tries[taskid] > 1:
            self._own_pools[taskid] = self._new_pool(1)
            self._task_obj[taskid] = self._own_pools[taskid].submit(run_node, node, updatehash, taskid)
            return
        try:
            self._task_obj[taskid] = self.pool.submit(run_node, node, updatehash, taskid)
        except BrokenProcessPool:  # a worker was killed: the pool can no longer be used
            self.pool = self._new_pool(self.processors)
            self._task_obj[taskid] = self.pool.submit(run_node, node, updatehash, taskid)

    def _clear_task(self, taskid: int) -> None:
        super()._clear_task(taskid)
        if (pool := self._own_pools.pop(taskid, None)) is not None:
            pool.shutdown(wait=False)

    def _report_crash(self, node: Any, result: dict[str, Any] | None = None) -> str | None:
        """Write a crash file; that this is not possible, on a full disk, is no reason to stop."""
        path = None
        with contextlib.suppress(OSError, ValueError):
            path = super()._report_crash(node, result)
        lines = (result or {}).get('traceback') or ()
        self._on_failure(f'Node: {node.fullname}\n{"".join(lines)}')
        return path

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
        if killed:
            error = options.WORKER_KILLED.error()
        lines = traceback.format_exception(error)
        return {
            'taskid': taskid,
            'result': None,
            'traceback': ['Traceback (most recent call last):\n', *lines],
        }

    def _postrun_check(self) -> None:
        """Nothing: `stop` ends the workers, which nobody needs to wait for."""

    def stop(self) -> None:
        """End all workers at once; what they had begun is lost."""
        gc.unfreeze()
        for pool in (self.pool, *self._own_pools.values()):
            close_at_once(pool)
