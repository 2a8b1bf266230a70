"""Limits of containers and batch systems, as they stand in files and variables."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from refusals import refused

from pvs_bidsapp.messages import options
from pvs_bidsapp.runtime import resources
from pvs_bidsapp.runtime.resources import cores, memory_for_scans, memory_gb

GIB = 2**30


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_no_limit_is_the_machine(tmp_path):
    assert cores(tmp_path, {}) >= 1
    assert memory_gb(tmp_path, {}) > 0.5


def test_a_container_sees_its_own_group_at_the_root(tmp_path):
    put(tmp_path / 'proc/self/cgroup', '0::/\n')
    put(tmp_path / 'sys/fs/cgroup/memory.max', f'{GIB}\n')
    put(tmp_path / 'sys/fs/cgroup/cpu.max', '100000 100000\n')
    assert memory_gb(tmp_path, {}) == 1.0
    assert cores(tmp_path, {}) == 1


def test_a_job_on_a_node_stands_deep_in_the_tree(tmp_path):
    put(tmp_path / 'proc/self/cgroup', '0::/slurm/job_7/step_0\n')
    put(tmp_path / 'sys/fs/cgroup/slurm/job_7/memory.max', str(GIB // 2))
    put(tmp_path / 'sys/fs/cgroup/slurm/job_7/step_0/memory.max', 'max\n')
    assert memory_gb(tmp_path, {}) == 0.5


def test_control_groups_of_the_first_version(tmp_path):
    put(tmp_path / 'proc/self/cgroup', '5:cpu,cpuacct:/job\n4:memory:/job\n')
    put(tmp_path / 'sys/fs/cgroup/memory/job/memory.limit_in_bytes', str(GIB // 4))
    put(tmp_path / 'sys/fs/cgroup/cpu/job/cpu.cfs_quota_us', '50000')
    put(tmp_path / 'sys/fs/cgroup/cpu/job/cpu.cfs_period_us', '100000')
    assert memory_gb(tmp_path, {}) == 0.25
    assert cores(tmp_path, {}) == 1


def test_what_the_batch_system_gave(tmp_path):
    assert cores(tmp_path, {'SLURM_CPUS_PER_TASK': '1'}) == 1
    assert cores(tmp_path, {'NSLOTS': '1', 'PBS_NP': 'x'}) == 1
    assert memory_gb(tmp_path, {'SLURM_MEM_PER_NODE': '512'}) == 0.5
    assert memory_gb(tmp_path, {'SLURM_MEM_PER_CPU': '256', 'SLURM_CPUS_ON_NODE': '2'}) == 0.5


def test_memory_that_is_not_enough_for_a_scan(monkeypatch):
    monkeypatch.setattr(resources, 'memory_gb', lambda: 2.0)
    for limit in (None, 1.0, 8.0):
        with refused(options.TOO_LITTLE_MEMORY, naming=f'{min(limit or 2, 2):.1f} GB'):
            memory_for_scans(limit)


def test_a_limit_beyond_what_is_there_is_told(monkeypatch, caplog):
    monkeypatch.setattr(resources, 'memory_gb', lambda: 10.0)
    assert [memory_for_scans(limit) for limit in (None, 4.0, 10.0)] == pytest.approx([9, 4, 10])
    assert not caplog.messages
    with caplog.at_level(logging.WARNING):
        assert memory_for_scans(64.0) == 10
    assert '--mem 64: no more than 10.0 GB' in caplog.text
