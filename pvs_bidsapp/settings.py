"""Settings of a participant run: made once by the command line, passed down, stored with the outputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

#: Raised when the same inputs and settings give other results: scans that were finished before are then
#: processed again. The version of the program changes more often.
RESULTS_VERSION = '0.13.0'
#: The bundled model of each kind of scan, if none is chosen.
DEFAULT_MODELS = {'T1w': 'joliot2021-t1', 'T2w': 't2'}
#: In place of the names of a model and of its architecture where a ready-made mask is measured.
GIVEN_MASK = 'given-mask'


def anatomical_suffix(channels: Sequence[str]) -> str:
    """In which scans a model's anatomy is found: ``T2w`` for models of the T2w alone, else ``T1w``.

    Parameters
    ----------
    channels : sequence of str
        Of the model.
    """
    return 'T2w' if tuple(channels) == ('T2w',) else 'T1w'


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What decides the result: two runs that agree in this give the same masks.

    Attributes
    ----------
    model_name, model_version, model_sha256 : str
    model_dir : str
        Folder of the model.
    channels : tuple of str
        Input channels of the model.
    threshold : float
        Probability from which a voxel counts as PVS, in (0, 1].
    min_cluster_size : float
        Smaller clusters are dropped, in mm3.
    output_spaces : tuple of str
        Spaces in which masks and probabilities are written beside that of the T1w.
    exclude_wmh : float or None
        Clusters of which this share and more lies in a mask of white matter hyperintensities are left out.
    random_seed : int
    modality : str
        ``auto``, ``T1w``, ``T1w+T2w`` or ``T2w``.
    version : str
        Of this program.
    architecture : str
        Name of the network's architecture.
    precision : str
        Inside the network: ``fp32``, ``bf16``, or ``auto``, which is fp32 on a CPU and fp16 on a GPU.
    model_use : str
        Checksum of what the model's card says of how the network is built and used; see
        `pvs_bidsapp.segmentation.card.use_digest`.
    burden : dict or None
        Calibration of expected numbers and volumes, from the model's card; see
        `pvs_bidsapp.clusters.burden.Burden`.
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
    precision: str = 'auto'
    exclude_wmh: float | None = None
    output_spaces: tuple[str, ...] = ()
    burden: dict[str, Any] | None = None
    model_use: str = ''

    @classmethod
    def of_record(cls, entry: Any) -> Analysis | None:
        """The settings that a scan's record names; None if they are not those of this version, or damaged.

        Parameters
        ----------
        entry : object
            As `Settings.dump` gives it.
        """
        if not isinstance(entry, dict):
            return None
        known = {each.name: entry[each.name] for each in fields(cls) if each.name in entry}
        numbers = ('threshold', 'min_cluster_size', 'random_seed')
        texts = ('model_name', 'model_version', 'model_sha256', 'architecture', 'version')
        lists = ('channels', 'output_spaces')
        excluded = known.get('exclude_wmh')
        if not (
            all(isinstance(known.get(name), int | float) for name in numbers)
            and all(isinstance(known.get(name), str) for name in texts)
            and all(isinstance(known.get(name, []), list) for name in lists)
            and (excluded is None or isinstance(excluded, int | float))
        ):
            return None
        try:
            return cls(**known | {name: tuple(known.get(name, ())) for name in lists})
        except TypeError:  # an entry is missing
            return None

    @property
    def is_of_given_mask(self) -> bool:
        """Whether a ready-made mask is measured, and no model is applied."""
        return self.architecture == GIVEN_MASK

    @property
    def needs_t2w(self) -> bool:
        """Whether a T1w without a T2w cannot be worked on."""
        return self.suffix == 'T1w' and ('T2w' in self.channels or self.modality == 'T1w+T2w')

    @property
    def suffix(self) -> str:
        """In which scans the anatomy is found: ``T2w`` for models of the T2w alone, else ``T1w``."""
        return anatomical_suffix(self.channels)

    def fingerprint(self, inputs: dict[str, Any]) -> str:
        """Checksum of these settings and the inputs of one scan.

        The keys are written out here, apart from the names of the fields: a new name must not make every
        finished scan count as unfinished. The model's folder is left out, since the weights' checksum says
        which model it is.

        Parameters
        ----------
        inputs : dict
            `pvs_bidsapp.bids.query.Scan.inputs`.
        """
        content = {
            'model_name': self.model_name,
            'model_version': self.model_version,
            'model_sha256': self.model_sha256,
            'channels': list(self.channels),
            'threshold': self.threshold,
            'min_cluster_size': self.min_cluster_size,
            'random_seed': self.random_seed,
            'modality': self.modality,
            'version': RESULTS_VERSION,
            'architecture': self.architecture,
            'model_use': self.model_use,
        }
        if self.precision != 'auto':  # so that scans that were finished before there was a choice stay so
            content['precision'] = self.precision
        if self.exclude_wmh is not None:
            content['exclude_wmh'] = self.exclude_wmh
        if self.burden is not None:
            content['burden'] = self.burden
        if self.output_spaces:
            content['output_spaces'] = list(self.output_spaces)
        text = json.dumps([content, inputs], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the program runs; this has no influence on the result.

    Attributes
    ----------
    nprocs, omp_nthreads : int
        Processes in parallel; threads of a step that can use several.
    memory_gb : float
        Memory that all processes together may use, in GiB.
    device : str
        A torch device.
    work_dir : Path
    clean_workdir : bool
        Remove the intermediate files of a scan when it is done.
    plugin : str or None
        File with a nipype plugin and its arguments.
    stop_on_first_crash : bool
    verbose : int
    adapt_threads : bool
        Give a step fewer threads than `omp_nthreads` while other scans need the processors.
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
    adapt_threads: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a participant run.

    Attributes
    ----------
    bids_dir, out_dir : Path
    is_staged : bool
        `bids_dir` is a tree of links to files without BIDS names, which is removed at the end.
    analysis : Analysis
    execution : Execution
    """

    bids_dir: Path
    out_dir: Path
    analysis: Analysis
    execution: Execution
    is_staged: bool = False

    def dump(self) -> dict[str, Any]:
        """The settings as plain values."""
        return json.loads(json.dumps(asdict(self), default=str))
