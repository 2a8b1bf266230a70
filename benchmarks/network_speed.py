#!/usr/bin/env python3
"""Time and memory of the network in each engine, beside SHIVA's in Keras and nnU-Net's default.

    python benchmarks/network_speed.py [--threads 2] [--environments DIR] [--skip nnunet ...]

One simulated head of 1 mm goes through each network, one process after the other, each on the same number
of cores. SHIVA's network is the one that ANTsPyNet builds, on the volume of 160 x 214 x 176 voxels that it is
made for; its segmentation is the mean of five such networks. nnU-Net's is the network and the sliding window
of its default plans for T1w scans of 1 mm: one fold, mirrored on all axes. Both have random weights, on which
the time does not depend. Their libraries are installed into virtual environments under --environments.

"start" is what comes before the first volume: imports, weights, conversion. Memory is that of the process at
its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHIVA_SHAPE = (160, 214, 176)
#: Rivals' packages; the builds for a CPU come first, so that no library for GPUs is fetched.
PACKAGES = {
    'shiva': [['tensorflow-cpu'], ['antspynet>=0.3']],
    'nnunet': [['torch==2.13.0'], ['nnunetv2']],
}
#: Rows of the table: the environment, the function of a worker, its arguments.
ROWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    'openvino-fp32': ('', 'ours', {}),
    'openvino-bf16': ('', 'ours', {'precision': 'bf16'}),
    'torch-fp32': ('', 'ours', {'use_openvino': False}),
    'shiva-1': ('shiva', 'shiva', {'folds': 1}),
    'shiva-5': ('shiva', 'shiva', {'folds': 5}),
    'nnunet': ('nnunet', 'nnunet', {}),
}


class Clock:
    """Wall and CPU seconds of a process, from its start."""

    def __init__(self) -> None:
        ticks = int(Path('/proc/self/stat').read_text().rpartition(')')[2].split()[19])
        age = float(Path('/proc/uptime').read_text().split()[0]) - ticks / os.sysconf('SC_CLK_TCK')
        self.wall, self.cpu = time.monotonic() - age, 0.0

    def lap(self) -> dict[str, float]:
        """Seconds since the last lap."""
        wall, cpu = time.monotonic(), time.process_time()
        seconds = {'wall': wall - self.wall, 'cpu': cpu - self.cpu}
        self.wall, self.cpu = wall, cpu
        return seconds


def peak_memory() -> int:
    """Peak of the resident memory of this process in bytes."""
    status = Path('/proc/self/status').read_text()
    return 1024 * int(status.partition('VmHWM:')[2].split()[0])


def ours(
    clock: Clock, head: Path, threads: int, *, precision: str = 'fp32', use_openvino: bool = True, model: str
) -> dict[str, Any]:
    """The program's own network, as a participant run uses it."""
    if not use_openvino:
        sys.modules['openvino'] = None  # type: ignore[assignment]
    from pvs_bidsapp.segmentation.engine import make_engine
    from pvs_bidsapp.segmentation.inference import infer
    from pvs_bidsapp.segmentation.model import load_model

    arrays, card = np.load(head), load_model(model).card
    shape = (len(card.channels), *(card.patch_size,) * 3)
    network = load_model(model).network()
    engine = make_engine(network, shape, 'cpu', precision=precision, num_threads=threads)
    start = clock.lap()
    infer(
        engine,
        np.repeat(arrays['image'], len(card.channels), axis=0),
        patch_size=card.patch_size,
        stride=card.stride,
        mirror=card.mirror,
        wanted=arrays['wanted'],
    )
    return {'start': start, 'run': clock.lap(), 'what': f'{engine.name}, {engine.precision}'}


def shiva(clock: Clock, head: Path, threads: int, *, folds: int, model: str) -> dict[str, Any]:
    """SHIVA's network as ANTsPyNet builds and applies it."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from antspynet.architectures import create_shiva_unet_model_3d

    image = np.load(head)['image'][0]
    volume = fit(image, SHIVA_SHAPE)[None, ..., None]
    network = create_shiva_unet_model_3d()
    start, total = clock.lap(), np.zeros(volume.shape, np.float32)
    for _ in range(folds):  # of each fold, other weights are loaded into this network
        total += network.predict(volume, verbose=0)
    return {'start': start, 'run': clock.lap(), 'what': f'TensorFlow {tf.__version__}, fp32'}


def nnunet(clock: Clock, head: Path, threads: int, *, model: str) -> dict[str, Any]:
    """nnU-Net's sliding window with the network of its default plans."""
    import torch
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    torch.set_num_threads(threads)
    image = np.load(head)['image']
    network = PlainConvUNet(
        input_channels=1, n_stages=6, features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=torch.nn.Conv3d, kernel_sizes=3, strides=(1, 2, 2, 2, 2, (2, 2, 1)), n_conv_per_stage=2,
        num_classes=2, n_conv_per_stage_decoder=2, conv_bias=True, norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={'eps': 1e-5, 'affine': True}, nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={'inplace': True},
    ).eval()  # fmt: skip
    plans = PlansManager({
        'configurations': {'3d_fullres': {'patch_size': [128, 160, 112], 'architecture': {}}},
        'transpose_forward': [0, 1, 2], 'transpose_backward': [0, 1, 2],
    })  # fmt: skip
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=True, perform_everything_on_device=False,
        device=torch.device('cpu'), allow_tqdm=False,
    )  # fmt: skip
    predictor.manual_initialization(
        network, plans, plans.get_configuration('3d_fullres'), [network.state_dict()],
        {'labels': {'background': 0, 'pvs': 1}, 'channel_names': {'0': 'T1w'}}, 'nnUNetTrainer', (0, 1, 2),
    )  # fmt: skip
    start = clock.lap()
    predictor.predict_logits_from_preprocessed_data(torch.from_numpy(image))
    return {'start': start, 'run': clock.lap(), 'what': f'torch {torch.__version__}, fp32'}


WORKERS = {'ours': ours, 'shiva': shiva, 'nnunet': nnunet}


def fit(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An image in the centre of a volume of another shape, cut or filled with its lowest value."""
    missing = [max(0, n - m) for n, m in zip(shape, image.shape, strict=True)]
    image = np.pad(image, [(n // 2, n - n // 2) for n in missing], constant_values=image.min())
    starts = [(m - n) // 2 for n, m in zip(shape, image.shape, strict=True)]
    return np.ascontiguousarray(image[tuple(slice(a, a + n) for a, n in zip(starts, shape, strict=True))])


def write_head(path: Path, model: str) -> str:
    """Simulate a head of 1 mm, and write the input of the network; returns a description of it."""
    from pvs_bidsapp.anatomy.resampling import Grid
    from pvs_bidsapp.segmentation.intensity import TissueNormalization
    from pvs_bidsapp.segmentation.model import load_model
    from pvs_bidsapp.segmentation.network_input import BrainAnatomy, NetworkInput
    from pvs_bidsapp.segmentation.predict import BEYOND_REGIONS
    from pvs_bidsapp.simulation import head, label_maps, scanner

    card = load_model(model).card
    simulated = head.simulate(
        label_maps.template_anatomy(), np.random.default_rng(1), scanner.SUITES['easy'], spacing=1.0
    )
    brain = label_maps.brain_mask(simulated.anatomy)
    tissues = label_maps.tissue_classes(simulated.anatomy, brain)
    inputs = NetworkInput.build(
        [simulated.t1w],
        Grid(brain.shape, simulated.affine),
        BrainAnatomy(brain=brain, tissues=tissues, affine=simulated.affine),
        normalization=TissueNormalization.from_card(card.intensity),
        spacing=card.spacing,
        box=SHIVA_SHAPE,
    )
    np.savez(path, image=inputs.masked(), wanted=inputs.near(tissues == 3, BEYOND_REGIONS))
    shape = ' x '.join(map(str, inputs.grid.shape))
    return f'one simulated head, {shape} voxels of 1 mm, brain of {brain.sum() / 1000:.0f} ml'


def python_of(environment: str, folder: Path) -> str:
    """The interpreter of a rival's virtual environment, which is made if it is not there."""
    if not environment:
        return sys.executable
    place = folder / f'env_{environment}'
    done = place / '.installed'
    if not done.exists():
        print(f'installing {environment} in {place}', file=sys.stderr)
        subprocess.run([sys.executable, '-m', 'venv', place], check=True)
        for packages in PACKAGES[environment]:
            install = [place / 'bin/python', '-m', 'pip', 'install', '--quiet', '--prefer-binary']
            subprocess.run([*install, *packages], check=True)
        done.touch()
    return str(place / 'bin/python')


def measure(name: str, head: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run one row in a process of its own."""
    python = python_of(ROWS[name][0], args.environments)
    threads = str(args.threads)
    environment = os.environ | {
        'OMP_NUM_THREADS': threads,
        'PYTHONPATH': str(ROOT),
        'TF_CPP_MIN_LOG_LEVEL': '3',
        'CUDA_VISIBLE_DEVICES': '',
    }
    command = [python, __file__, '--worker', name, '--head', head, '--threads', threads]
    command += ['--model', args.model]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def work(args: argparse.Namespace) -> None:
    """What a worker does: run one row and print its result."""
    clock = Clock()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    _, function, options = ROWS[args.worker]
    result = WORKERS[function](clock, args.head, args.threads, model=args.model, **options)
    print(json.dumps({**result, 'memory': peak_memory()}))


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a table; ratios are to the program's default."""
    titles = (
        'network', 'engine', 'start, wall s (CPU s)', 'volume, wall s (CPU s)', 'memory, GB',
        'volume, times ours', 'start and volume, times ours',
    )  # fmt: skip
    lines = [f'| {" | ".join(titles)} |', f'|{" --- |" * len(titles)}']
    base = results['openvino-fp32']
    for name, row in results.items():
        start, run = row['start'], row['run']
        both = (start['wall'] + run['wall']) / (base['start']['wall'] + base['run']['wall'])
        lines.append(
            f'| {name} | {row["what"]} | {start["wall"]:.1f} ({start["cpu"]:.1f}) '
            f'| {run["wall"]:.1f} ({run["cpu"]:.1f}) | {row["memory"] / 1e9:.2f} '
            f'| {run["wall"] / base["run"]["wall"]:.1f} | {both:.1f} |'
        )
    return '\n'.join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('--threads', type=int, default=2, help='cores of each process (default 2)')
    parser.add_argument('--model', default='joliot2021-t1', help='our model (default joliot2021-t1)')
    parser.add_argument(
        '--environments', type=Path, default=ROOT / '.bench', help="folder of the rivals' environments"
    )
    parser.add_argument('--skip', nargs='+', default=[], choices=list(ROWS), help='leave rows out')
    parser.add_argument('--worker', choices=list(ROWS), help=argparse.SUPPRESS)
    parser.add_argument('--head', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        head = Path(folder) / 'head.npz'
        print(write_head(head, args.model), end=f'; {args.threads} cores\n\n', flush=True)
        results = {}
        for name in ROWS:
            if name == 'openvino-fp32' or name not in args.skip:
                results[name] = measure(name, head, args)
                print(f'{name}: done', file=sys.stderr)
    print(table(results))


if __name__ == '__main__':
    main()
