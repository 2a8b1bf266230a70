#!/usr/bin/env python3
"""Train the networks of several models on the same patches, on a GPU that is lent for minutes.

    python benchmarks/train_together.py LABEL_MAPS OUT_DIR [--minutes 9] [--workers 15] [--backgrounds DIR]

On a GPU, the making of patches is what takes the time, not the networks. Here a patch is made once, with its
T1w and its T2w, and serves a network for the T1w, one for both and one for the T2w. All cores make patches;
the newest thousands stay in the memory of the GPU, where each is seen a few times, mirrored and with noise of
its own. How often depends on the machine: the networks never wait. The learning rate follows the time that is
left, so that the training is at its end when the time is over.

Of the label maps, every sixth (from the second on) is kept out: patches from these are made first and never
learnt from; each network's Dice and cross-entropy on them are in OUT_DIR/log.tsv. OUT_DIR gets NAME.pt for
each network: its averaged weights in half precision, its architecture, and the number of steps. Unlike with
`pvs train`, two runs do not end with the same weights.

--backgrounds is a folder of real scans, as --write-backgrounds makes it from outputs of `pvs participant`
(which needs the whole program; the training needs neither ANTs nor nipype).
"""

from __future__ import annotations

import argparse
import itertools
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')  # all cores make patches, one each
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

import io
import lzma
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader, Dataset

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.simulation.background import Background, ScanMaps, prepare_background
from pvs_bidsapp.simulation.background_patches import BackgroundSampler
from pvs_bidsapp.simulation.label_maps import load_label_map
from pvs_bidsapp.simulation.patch_generator import PatchGenerator
from pvs_bidsapp.simulation.patch_source import PatchSource, prepare_source
from pvs_bidsapp.training.losses import leave_out, make_loss
from pvs_bidsapp.training.trainer import GRADIENT_NORM, OUTPUT_BIAS

T = TypeVar('T')
#: Channels of each network, by the model's name: 0 is the T1w, 1 the T2w.
MODELS = {'m2ss-t1': (0,), 'm2ss-t1t2': (0, 1), 't2': (1,)}
#: How many batches each network gets in a round. The T1w shows least, so that its network gets more.
TURNS = {'m2ss-t1': 2, 'm2ss-t1t2': 1, 't2': 1}
SPACING = (0.6, 1.2)
#: Patches that are kept out, and how many of each kind stay in memory.
HELD, KEPT, KEPT_REAL = 64, 3000, 800
#: Fraction of a T1w network's patches that come from real scans.
REAL = 0.2
#: Patches of each kind that are there before the first step.
START = 48
#: Largest learning rate, and the fraction of the time in which it rises.
RATE, RISE = 2e-3, 0.02
AVERAGING = 0.998
#: Noise that is added to a patch that is seen again: how often, and its largest standard deviation, in units
#: of the network.
NOISY, NOISE = 0.3, 0.12
LOSS = make_loss('ce')
#: Seconds between two lines of the log, and between two looks at the patches that are kept out.
REPORT, LOOK = 10.0, 120.0
#: Stored units of a scan's image per unit of the network.
STEPS = 200.0


# ---- what patches are made from


def write_backgrounds(outputs: Sequence[Path], folder: Path) -> None:
    """Write what a background is prepared from, of each scan, in a few MB."""
    from pvs_bidsapp.commands.backgrounds import find_backgrounds, read_maps

    folder.mkdir(parents=True, exist_ok=True)
    for scan in find_backgrounds(outputs, ('T1w',)):
        maps = read_maps(scan, SPACING)
        stream = io.BytesIO()
        np.savez(
            stream,
            image=np.rint(np.clip(maps.image, -8, 8) * STEPS).astype(np.int16),
            brain=maps.brain,
            tissues=maps.tissues.astype(np.uint8),
            regions=maps.regions.astype(np.uint8),
            probability=np.rint(255 * maps.probability).astype(np.uint8),
            spacing=maps.spacing,
        )
        (folder / f'{scan.name}.npz.xz').write_bytes(lzma.compress(stream.getvalue()))


def read_background_maps(path: Path) -> Background:
    """Prepare a scan that `write_backgrounds` wrote."""
    with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as arrays:
        maps = ScanMaps(
            image=arrays['image'].astype(np.float32) / np.float32(STEPS),
            brain=arrays['brain'],
            tissues=arrays['tissues'],
            regions=arrays['regions'].astype(np.int32),
            probability=arrays['probability'].astype(np.float32) / 255,
            spacing=arrays['spacing'],
        )
    return prepare_background(path.name.partition('.')[0], maps, TissueNormalization())


def read_label_map(path: Path) -> PatchSource:
    """Prepare a label map."""
    return prepare_source(load_label_map(path))


#: A patch: its kind, whether its T2w lies on its T1w, images, and the label, which is 2 where it is unknown.
Item = tuple[int, bool, torch.Tensor, torch.Tensor]
#: Kinds of patches: not learnt from, from label maps, and from real scans.
HELD_OUT, SIMULATED, ON_SCAN = range(3)


class Patches(Dataset[Item]):
    """Patches by their number.

    Parameters
    ----------
    sources, held : sequence of PatchSource
        To learn from, and kept out.
    backgrounds : sequence of Background
    size : int
        Edge of the patches in voxels.
    seed : int
    """

    def __init__(
        self,
        sources: Sequence[PatchSource],
        held: Sequence[PatchSource],
        backgrounds: Sequence[Background],
        *,
        size: int,
        seed: int,
    ) -> None:
        shape, normalization = (size, size, size), TissueNormalization()
        self.seed = seed
        self.learnt, self.held = (
            PatchGenerator(each, normalization, shape=shape, channels=('T1w', 'T2w'), spacing=SPACING)
            for each in (sources, held)
        )
        self.scans = (
            BackgroundSampler(backgrounds, normalization, shape=shape, spacing=SPACING)
            if backgrounds
            else None
        )

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, number: int) -> Item:
        rng = np.random.default_rng([self.seed, number])
        if number < HELD:
            patch, kind = self.held.draw(rng), HELD_OUT
        elif self.scans and rng.random() < REAL / 2:  # they are for one of two batches in a round
            patch, kind = self.scans.draw(rng), ON_SCAN
        else:
            patch, kind = self.learnt.draw(rng), SIMULATED
        target = (patch.label > 0).astype(np.uint8)
        if patch.left_out is not None:
            target[patch.left_out] = 2
        image = torch.from_numpy(patch.image.astype(np.float16))
        return kind, not any(patch.misplaced), image, torch.from_numpy(target)


# ---- what is in memory


class Store:
    """The newest patches of one kind, on the device, in a ring.

    Parameters
    ----------
    number, channels, size : int
    device : torch.device
    """

    def __init__(self, number: int, channels: int, size: int, device: torch.device) -> None:
        self.images = torch.zeros((number, channels, size, size, size), dtype=torch.float16, device=device)
        self.targets = torch.zeros((number, 1, size, size, size), dtype=torch.uint8, device=device)
        self.are_aligned = np.zeros(number, bool)
        self.added = 0

    def add(self, image: torch.Tensor, target: torch.Tensor, *, is_aligned: bool) -> None:
        """Put a patch in the place of the oldest."""
        place = self.added % len(self.images)
        self.images[place].copy_(image, non_blocking=True)
        self.targets[place, 0].copy_(target, non_blocking=True)
        self.are_aligned[place] = is_aligned
        self.added += 1

    def __len__(self) -> int:
        return min(self.added, len(self.images))


class Maker(threading.Thread):
    """Makes patches in all processes and puts them into the stores.

    Parameters
    ----------
    patches : Patches
    workers, size : int
    device : torch.device
    """

    def __init__(self, patches: Patches, workers: int, size: int, device: torch.device) -> None:
        super().__init__(daemon=True)
        # in_order: a slow patch holds nobody up; the processes are there before anything is on the device
        loader = DataLoader(patches, batch_size=None, num_workers=workers, prefetch_factor=4, in_order=False)
        self._items = iter(loader)
        self.held = Store(HELD, 2, size, device)
        self.simulated = Store(KEPT, 2, size, device)
        self.on_scans = Store(KEPT_REAL if patches.scans else 1, 1, size, device)
        self.error: BaseException | None = None

    def run(self) -> None:
        """Go on for ever."""
        try:
            stores = {HELD_OUT: self.held, SIMULATED: self.simulated, ON_SCAN: self.on_scans}
            for kind, is_aligned, image, target in self._items:
                stores[kind].add(image, target, is_aligned=is_aligned)
        except BaseException as error:  # told by the main thread
            self.error = error

    def wait(self) -> None:
        """Wait for the first patches."""
        needed = [(self.held, HELD), (self.simulated, START)]
        while any(len(store) < number for store, number in needed):
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Tell of an error in another process."""
        if self.error:
            raise SystemExit(f'no more patches: {self.error}')


# ---- networks


@dataclass
class Pupil:
    """A network in training."""

    name: str
    channels: tuple[int, ...]
    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    steps: int = 0
    loss: float = float('nan')

    @classmethod
    def new(cls, name: str, architecture: dict[str, Any], device: torch.device) -> Pupil:
        """A network with random weights."""
        network = build(architecture).to(device)
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        nn.init.constant_(network.get_parameter('head.bias'), OUTPUT_BIAS)
        average = AveragedModel(network, avg_fn=get_ema_avg_fn(AVERAGING), use_buffers=True)
        optimizer = torch.optim.Adam(network.parameters(), RATE, fused=True)
        return cls(name, MODELS[name], network, average, optimizer)

    def learn(self, image: torch.Tensor, target: torch.Tensor, rate: float) -> torch.Tensor:
        """Do a step; returns the loss, on the device."""
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        self.network.train()
        with torch.autocast(image.device.type, torch.bfloat16):
            logits = self.network(image)
        loss = cross_entropy(logits, target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        if self.steps < 1 / (1 - AVERAGING):  # the first weights are far from the later ones
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.network)
        self.steps += 1
        return loss.detach()

    def save(self, path: Path, architecture: dict[str, Any]) -> None:
        """Write the averaged weights, in half precision."""
        state = self.average.module.state_dict()
        weights = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        torch.save({'weights': weights, 'architecture': architecture, 'steps': self.steps}, path)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss ``ce``; voxels with the target 2 do not count."""
    return LOSS(*leave_out(logits, (target == 1).float(), target < 2))


@dataclass
class Batches:
    """Draws batches from what is in memory."""

    maker: Maker
    batch: int
    rng: np.random.Generator

    def draw(self, channels: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (float32) and targets of one batch, some of them mirrored and noisier."""
        is_t1w, images, targets = channels == (0,), [], []
        for _ in range(self.batch):
            store = self.maker.simulated
            if is_t1w and len(self.maker.on_scans) >= START and self.rng.random() < REAL:
                store = self.maker.on_scans
            place = self._place(store, needs_alignment=channels == (1,))
            image, target = store.images[place, list(channels)].float(), store.targets[place]
            if self.rng.random() < 0.5:
                image, target = image.flip(1), target.flip(1)
            images.append(self._with_noise(image))
            targets.append(target)
        layout = torch.channels_last_3d
        return torch.stack(images).contiguous(memory_format=layout), torch.stack(targets)

    def _place(self, store: Store, *, needs_alignment: bool) -> int:
        """Some patch; the truth of a T2w alone lies in the T2w."""
        for _ in range(50):
            place = int(self.rng.integers(len(store)))
            if not needs_alignment or store.are_aligned[place]:
                break
        return place

    def _with_noise(self, image: torch.Tensor) -> torch.Tensor:
        outside = TissueNormalization().outside
        if self.rng.random() < NOISY:
            noise = torch.randn_like(image) * self.rng.uniform(0, NOISE)
            image = torch.where(image == outside, image, image + noise)
        return image


@torch.no_grad()
def look(pupil: Pupil, held: Store) -> tuple[float, float]:
    """Best Dice of all patches that are kept out, and their cross-entropy, with the averaged weights."""
    network, channels = pupil.average.module.eval(), list(pupil.channels)
    places = [k for k in range(len(held)) if pupil.channels != (1,) or held.are_aligned[k]]
    thresholds = torch.linspace(0.1, 0.6, 11, device=held.images.device)
    both, marked, true, entropy = torch.zeros_like(thresholds), torch.zeros_like(thresholds), 0.0, 0.0
    for place in places:
        image = held.images[place : place + 1, channels].float()
        with torch.autocast(image.device.type, torch.bfloat16):
            logits = network(image)
        label = held.targets[place : place + 1] == 1
        loss = nn.functional.binary_cross_entropy_with_logits(logits, label.float(), reduction='sum')
        entropy += float(loss)
        probability = logits.sigmoid()
        true += float(label.sum())
        for k, threshold in enumerate(thresholds):
            mask = probability >= threshold
            both[k] += (mask & label).sum()
            marked[k] += mask.sum()
    return float((2 * both / (marked + true)).max()), entropy / max(true, 1.0)


class Training:
    """All networks, in rounds, until the time is over.

    Parameters
    ----------
    maker : Maker
    pupils : sequence of Pupil
    architectures : dict
        By a pupil's name.
    out_dir : Path
    minutes : float
    batch : int
    """

    def __init__(
        self,
        maker: Maker,
        pupils: Sequence[Pupil],
        architectures: dict[str, dict[str, Any]],
        out_dir: Path,
        *,
        minutes: float,
        batch: int,
    ) -> None:
        self.maker, self.pupils, self.architectures = maker, pupils, architectures
        self.out_dir, self.seconds = out_dir, 60 * minutes
        self.batches = Batches(maker, batch, np.random.default_rng(0))
        self.begun = time.monotonic()

    @property
    def progress(self) -> float:
        """Fraction of the time that is over."""
        return (time.monotonic() - self.begun) / self.seconds

    @cached_property
    def _log(self) -> Path:
        path = self.out_dir / 'log.tsv'
        path.write_text('seconds\tpatches\tnetwork\tsteps\tloss\theld_out_dice\theld_out_entropy\n')
        return path

    def _rate(self) -> float:
        if self.progress < RISE:
            return RATE * max(self.progress / RISE, 0.02)
        return RATE * (0.5 * (1 + float(np.cos(np.pi * min(1.0, self.progress)))) + 1e-3)

    def run(self) -> None:
        """Train."""
        losses: dict[str, list[torch.Tensor]] = {s.name: [] for s in self.pupils}
        reported = looked = self.begun
        for pupil in itertools.cycle(s for s in self.pupils for _ in range(TURNS[s.name])):
            self.maker.check()
            losses[pupil.name].append(pupil.learn(*self.batches.draw(pupil.channels), self._rate()))
            now = time.monotonic()
            if now - reported > REPORT:
                reported = now
                for s in self.pupils:
                    s.loss = float(torch.stack(losses[s.name]).mean()) if losses[s.name] else s.loss
                    losses[s.name].clear()
                    self._report(s)
            if self.progress >= 1 or now - looked > LOOK:
                looked = now
                self._look()
            if self.progress >= 1:
                return

    def _report(self, pupil: Pupil, scores: Sequence[float] = (float('nan'), float('nan'))) -> None:
        seconds, patches = time.monotonic() - self.begun, self.maker.simulated.added
        patches += self.maker.on_scans.added
        values = f'{seconds:.0f}\t{patches}\t{pupil.name}\t{pupil.steps}\t{pupil.loss:.4f}'
        line = f'{values}\t{scores[0]:.4f}\t{scores[1]:.4f}'
        with self._log.open('a') as file:
            file.write(line + '\n')
        print(line, flush=True)

    def _look(self) -> None:
        for pupil in self.pupils:
            self._report(pupil, look(pupil, self.maker.held))
            pupil.save(self.out_dir / f'{pupil.name}.pt', self.architectures[pupil.name])


def in_processes(function: Callable[[Path], T], paths: Sequence[Path], workers: int) -> Iterator[T]:
    """Results of a function of each path, from several processes."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(function, paths)


def main() -> None:
    """Train, or write the backgrounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('label_maps', type=Path)
    parser.add_argument('out_dir', type=Path)
    parser.add_argument('--backgrounds', type=Path, help='folder of real scans')
    parser.add_argument('--write-backgrounds', type=Path, nargs='+', metavar='OUT', help='write that folder')
    parser.add_argument('--minutes', type=float, default=9.0, help='of training (default 9)')
    parser.add_argument('--workers', type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument('--filters', type=int, default=16)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--size', type=int, default=96, help='edge of a patch in voxels')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    if args.write_backgrounds:
        write_backgrounds(args.write_backgrounds, args.backgrounds)
        return
    train(args)


def train(args: argparse.Namespace) -> None:
    """Prepare what patches are made from, and train."""
    args.out_dir.mkdir(parents=True, exist_ok=True)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(args.seed)
    sources = list(in_processes(read_label_map, sorted(args.label_maps.glob('*.nii*')), args.workers))
    found = sorted(args.backgrounds.glob('*.npz.xz')) if args.backgrounds else []
    backgrounds = list(in_processes(read_background_maps, found, args.workers))
    held = sources[1::6]
    learnt = [source for source in sources if not any(source is other for other in held)]
    print(
        len(learnt),
        'label maps,',
        len(held),
        'kept out,',
        len(backgrounds),
        'real scans,',
        device,
        flush=True,
    )
    patches = Patches(learnt, held, backgrounds, size=args.size, seed=args.seed)
    maker = Maker(patches, args.workers, args.size, device)
    maker.start()
    architectures: dict[str, dict[str, Any]] = {
        name: {
            'name': 'm2ss', 'in_channels': len(channels), 'filters': args.filters, 'side_filters': 8,
            'levels': 4, 'multi_scale': True,
        }
        for name, channels in MODELS.items()
    }  # fmt: skip
    pupils = [Pupil.new(name, architectures[name], device) for name in MODELS]
    maker.wait()
    print('the first patches are there', flush=True)
    training = Training(maker, pupils, architectures, args.out_dir, minutes=args.minutes, batch=args.batch)
    training.run()
    os._exit(0)  # the other processes make patches for ever


if __name__ == '__main__':
    main()
