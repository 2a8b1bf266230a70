"""Scan by scan: nipype's plugins are given the steps of those scans alone that are under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import networkx as nx
import numpy as np
import scipy.sparse
from nipype.pipeline.plugins.base import DistributedPluginBase

from ..bids.query import Scan


class ByScan(DistributedPluginBase):
    """Mixin of nipype's plugins: a scan that has begun is finished before a new one begins.

    nipype works through one graph, breadth first. Here the graph holds the scans that are under way, in the
    order in which they have begun, and so are their steps. A scan is taken out of it when it ends, and the
    next one is put in as soon as there is room.
    """

    def run_scans(
        self,
        scans: Iterator[tuple[Scan, nx.DiGraph]],
        config: dict[str, Any],
        *,
        limit: int,
        on_end: Callable[[Scan], object],
    ) -> None:
        """Run the steps of scans.

        Parameters
        ----------
        scans : iterator of (Scan, DiGraph)
            Each with the graph that nipype makes of its workflow. One is taken when it begins.
        config : dict
            nipype's configuration.
        limit : int
            Scans that may be under way.
        on_end : callable
            Called with each scan when all of its steps are done, or cannot be done.

        Raises
        ------
        Exception
            As nipype does: at the end, if a step has failed.
        """
        self._scans, self._limit, self._on_end = scans, limit, on_end
        self._under_way: dict[Scan, list[Any]] = {}
        self._has_next = True
        self.procs: list[Any] = []
        self.proc_done = self.proc_pending = np.zeros(0, bool)
        self.pending_tasks: list[tuple[int, int]] = []
        graph = nx.DiGraph()
        if self._begin_scan(graph):
            self.run(graph, config)

    @property
    def most_under_way(self) -> int:
        """Scans that will be under way as long as none ends."""
        return self._limit if self._has_next else len(self._under_way)

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:
        """Hand out what can be done now; nipype calls it in a loop."""
        while True:
            before = np.sum(self.proc_done)
            if self._any_ready():
                super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
            is_changed = np.sum(self.proc_done) != before
            is_changed |= self._end_scans(graph)
            is_changed |= self._has_room() and self._begin_scan(graph)
            if not is_changed:
                return

    def _any_ready(self) -> bool:
        """Whether a step only waits for a worker."""
        return bool(self.procs) and bool(np.any(~self.proc_done & (np.ravel(self.depidx.sum(0)) == 0)))

    def _has_room(self) -> bool:
        """Whether one more scan may begin."""
        return len(self._under_way) < self._limit and len(self.pending_tasks) < self.max_jobs

    def _begin_scan(self, graph: nx.DiGraph) -> bool:
        """Put the next scan into the graph; False if there is none."""
        if not self._has_next or (following := next(self._scans, None)) is None:
            self._has_next = False
            return False
        scan, steps = following
        self._under_way[scan] = list(nx.topological_sort(steps))
        graph.update(steps)
        self._generate_dependency_list(graph)
        return True

    def _end_scans(self, graph: nx.DiGraph) -> bool:
        """Take scans of which nothing is left to do out of the graph; whether there are any."""
        left = {self.procs[k] for k in np.flatnonzero(~self.proc_done | self.proc_pending)}
        ended = [scan for scan, steps in self._under_way.items() if left.isdisjoint(steps)]
        for scan in ended:
            graph.remove_nodes_from(self._under_way.pop(scan))
            self._generate_dependency_list(graph)
            self._on_end(scan)
        return bool(ended)

    def _generate_dependency_list(self, graph: nx.DiGraph) -> None:
        """Number the steps by scan, then by step; what has been handed out, or is done, remains so."""
        done, pending = (
            {self.procs[number] for number in np.flatnonzero(states)}
            for states in (self.proc_done, self.proc_pending)
        )
        tasks = [(taskid, self.procs[jobid]) for taskid, jobid in self.pending_tasks]
        self.procs = [step for steps in self._under_way.values() for step in steps]
        self.proc_done, self.proc_pending = (
            np.array([step in those for step in self.procs], dtype=bool) for those in (done, pending)
        )
        numbers = {step: number for number, step in enumerate(self.procs)}
        self.pending_tasks = [(taskid, numbers[step]) for taskid, step in tasks]
        if not self.procs:
            return
        self.depidx = scipy.sparse.lil_matrix(nx.to_scipy_sparse_array(graph, self.procs, format='lil'))
        self.refidx = self.depidx.astype(int)
        for number in np.flatnonzero(self.proc_done & ~self.proc_pending):
            self.depidx[number] = 0  # nobody waits for it


class _GraphOf:
    """In place of a plugin: keeps the graph that nipype makes of a workflow."""

    plugin_args: ClassVar[dict[str, Any]] = {}
    graph: nx.DiGraph | None = None

    def run(self, graph: nx.DiGraph, config: Any, updatehash: bool = False) -> None:
        """Keep the graph."""
        self.graph = graph


def graph_of(workflow: Any) -> nx.DiGraph:
    """The graph that nipype makes of a workflow to run it."""
    keeper = _GraphOf()
    workflow.run(plugin=keeper)
    assert keeper.graph is not None
    return keeper.graph
