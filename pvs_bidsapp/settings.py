"""Settings of a participant run: made once by the command line, passed down, stored with the outputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Analysis:
    """What decides the result: two runs that agree in this give the same masks.

    Attributes
    ----------
    model_name, model_version, model_sha256 : str
    model_dir : str
        Folder of the model.
    channels : tuple of str
        Channels that the model asks for.
    threshold : float
    min_cluster_size : float
        In mm3.
    random_seed : int
    modality : str
        ``auto``, ``T1w`` or ``T1w+T2w``.
    version : str
        Of this program.
    architecture : str
        Name of the network's architecture.
    """

    model_name: str
    model_version: str
    model_sha256: str
    model_dir: str
    channels: tuple[str, ...]
    threshold: float
    min_cluster_size: float
    random_seed: int
    modality: str
    version: str
    architecture: str = 'joliot2021'

    def fingerprint(self, inputs: dict[str, Any]) -> str:
        """Checksum of these settings and the inputs of one scan."""
        content = asdict(self)
        content.pop('model_dir')  # the checksum of the weights says which model it is
        text = json.dumps([content, inputs], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Execution:
    """How it is run; of no influence on the result.

    Attributes
    ----------
    nprocs, omp_nthreads : int
        Processes at a time; threads of one of them.
    memory_gb : float
    device : str
        A torch device.
    work_dir : Path
    clean_workdir : bool
        Remove the work folder at the end.
    plugin : str or None
        File with a nipype plugin and its arguments.
    stop_on_first_crash : bool
    verbose : int
    """

    nprocs: int
    omp_nthreads: int
    memory_gb: float
    device: str
    work_dir: Path
    clean_workdir: bool
    plugin: str | None = None
    stop_on_first_crash: bool = False
    verbose: int = 0


@dataclass(frozen=True)
class Settings:
    """All settings of a participant run.

    Attributes
    ----------
    bids_dir, out_dir : Path
    analysis : Analysis
    execution : Execution
    """

    bids_dir: Path
    out_dir: Path
    analysis: Analysis
    execution: Execution

    def dump(self) -> dict[str, Any]:
        """The settings as plain values."""
        return json.loads(json.dumps(asdict(self), default=str))
