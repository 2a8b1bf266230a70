#!/usr/bin/env python3
"""Train the networks of several models on the same patches, on a GPU that is lent for minutes.

    python benchmarks/train_together.py LABEL_MAPS OUT_DIR [--minutes 9] [--workers 15] [--backgrounds DIR]
        [--networks NAME ...] [--start DIR] [--rate 0.002] [--keep FILE] [--patches FILE]

On a GPU, the making of patches is what takes the time, not the networks. Here a patch is made once, with its
T1w and its T2w, and serves a network for the T1w, one for both and one for the T2w. All cores make patches;
the newest thousands stay in the memory of the GPU, where each is seen a few times, mirrored and with noise of
its own. How often depends on the machine: the networks never wait. Each network has its share of the time
(`NETWORKS`). The learning rate follows the time that is left, so that the training is at its end when the
time is over.

Of the label maps, every sixth (from the second on) is kept out: patches from these are made first and never
learnt from; log.tsv in OUT_DIR has each network's best Dice and its cross-entropy on them, and the fraction
of the voxels it marks there that lie in lesions. OUT_DIR gets NAME.pt for each network: its averaged weights
in half precision, its architecture, and the number of steps; --start begins with those of an earlier run.
Unlike with `pvs train`, two runs do not end with the same weights.

Besides the three, there are networks to compare with one another, for the T1w: the four systems of table 1 of
Chai et al. (the semi-supervised ones get patches of --backgrounds as unlabelled), and one that learns lesions
as a class of their own. With --keep, a run writes its patches, and with --patches another one learns from
these and makes none.

--backgrounds is a folder of real scans, as --write-backgrounds makes it from outputs of `pvs participant`
(which needs the whole program; the training needs neither ANTs nor nipype).
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')  # all cores make patches, one each
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

import io
import lzma
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
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
from pvs_bidsapp.training.datasets import Batch
from pvs_bidsapp.training.losses import leave_out, make_loss
from pvs_bidsapp.training.objectives import SemiSupervised
from pvs_bidsapp.training.recipes import M2SS
from pvs_bidsapp.training.trainer import GRADIENT_NORM, OUTPUT_BIAS

T = TypeVar('T')


@dataclass(frozen=True)
class Plan:
    """What a network gets to see, and learns.

    Attributes
    ----------
    channels : tuple of int
        0 is the T1w, 1 the T2w.
    share : float
        Of the time, beside that of the other networks.
    real : float
        Fraction of its patches that come from real scans.
    multi_scale, semisupervised : bool
        As in `pvs_bidsapp.training.recipes`.
    lesions : bool
        Lesions are a second output.
    """

    channels: tuple[int, ...]
    share: float = 1.0
    real: float = 0.0
    multi_scale: bool = True
    semisupervised: bool = False
    lesions: bool = False


#: Networks by their names. The T1w shows least, so that its network gets more time.
NETWORKS = {
    'm2ss-t1': Plan((0,), share=2, real=0.2),
    'm2ss-t1t2': Plan((0, 1)),
    't2': Plan((1,)),
    'supervised-mono': Plan((0,), multi_scale=False),
    'supervised-multi': Plan((0,)),
    'semi-mono': Plan((0,), multi_scale=False, semisupervised=True),
    'semi-multi': Plan((0,), semisupervised=True),
    'lesion-class': Plan((0,), lesions=True),
}
#: The networks of the bundled models' kind.
MODELS = ('m2ss-t1', 'm2ss-t1t2', 't2')
SPACING = (0.6, 1.2)
#: Patches that are kept out, and how many of each kind stay in memory.
HELD, KEPT, KEPT_REAL = 64, 3000, 800
#: Fraction of the patches made that come from real scans.
REAL = 0.1
#: Patches of each kind that are there before the first step.
START = 48
#: Fraction of the time in which the learning rate rises, and in which there is no consistency.
RISE, WARM = 0.02, 0.3
AVERAGING = 0.998
#: Noise that is added to a patch that is seen again: how often, and its largest standard deviation, in units
#: of the network.
NOISY, NOISE = 0.3, 0.12
LOSS = make_loss('ce')
#: Consistency counts as soon as there are unlabelled patches.
OBJECTIVE = SemiSupervised.of(M2SS, LOSS, warmup_steps=0)
#: Seconds between two lines of the log.
REPORT = 10.0
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


#: Values of a target.
NEITHER, PVS, UNKNOWN, LESION = range(4)
#: A patch: its kind, whether its T2w lies on its T1w, images, and target.
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
        elif self.scans and rng.random() < REAL:
            patch, kind = self.scans.draw(rng), ON_SCAN
        else:
            patch, kind = self.learnt.draw(rng), SIMULATED
        target = np.where(patch.label > 0, PVS, NEITHER).astype(np.uint8)
        if patch.lesion is not None:
            target[(patch.lesion >= 0.5) & (target == NEITHER)] = LESION
        if patch.left_out is not None:
            target[patch.left_out] = UNKNOWN
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

    def state(self) -> dict[str, Any]:
        """What is in it, for a file."""
        number = max(1, len(self))
        return {
            'images': self.images[:number].cpu(), 'targets': self.targets[:number].cpu(),
            'are_aligned': torch.from_numpy(self.are_aligned[:number]), 'added': len(self),
        }  # fmt: skip

    @classmethod
    def of(cls, state: dict[str, Any], device: torch.device) -> Store:
        """A store as it was written."""
        number, channels, size = state['images'].shape[:3]
        store = cls(number, channels, size, device)
        store.images.copy_(state['images'])
        store.targets.copy_(state['targets'])
        store.are_aligned, store.added = state['are_aligned'].numpy(), state['added']
        return store


@dataclass
class Memory:
    """Patches of all kinds: those kept out, those from label maps, and those from real scans."""

    held: Store
    simulated: Store
    on_scans: Store

    @classmethod
    def new(cls, size: int, device: torch.device, *, has_scans: bool) -> Memory:
        """An empty one."""
        return cls(
            Store(HELD, 2, size, device),
            Store(KEPT, 2, size, device),
            Store(KEPT_REAL if has_scans else 1, 1, size, device),
        )

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Memory:
        """Read what `write` wrote."""
        states = torch.load(path, weights_only=True, mmap=True)
        return cls(**{name: Store.of(state, device) for name, state in states.items()})

    def write(self, path: Path) -> None:
        """Write all patches to a file."""
        torch.save({each.name: getattr(self, each.name).state() for each in fields(self)}, path)


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
        self.memory = Memory.new(size, device, has_scans=patches.scans is not None)
        self.error: BaseException | None = None

    def run(self) -> None:
        """Go on for ever."""
        try:
            memory = self.memory
            stores = {HELD_OUT: memory.held, SIMULATED: memory.simulated, ON_SCAN: memory.on_scans}
            for kind, is_aligned, image, target in self._items:
                stores[kind].add(image, target, is_aligned=is_aligned)
        except BaseException as error:  # told by the main thread
            self.error = error

    def wait(self) -> None:
        """Wait for the first patches."""
        needed = [(self.memory.held, HELD), (self.memory.simulated, START)]
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
    plan: Plan
    architecture: dict[str, Any]
    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    steps: int = 0
    seconds: float = 0.0
    losses: list[torch.Tensor] = field(default_factory=list)

    @classmethod
    def new(
        cls,
        name: str,
        architecture: dict[str, Any],
        device: torch.device,
        layout: torch.memory_format = torch.channels_last_3d,
    ) -> Pupil:
        """A network with random weights."""
        plan, network = NETWORKS[name], build(architecture)
        if plan.lesions:
            network.head = nn.Conv3d(architecture['filters'], 2, 1)  # type: ignore[assignment]
        network.to(device, memory_format=layout)  # type: ignore[call-overload]
        nn.init.constant_(network.get_parameter('head.bias'), OUTPUT_BIAS)
        average = AveragedModel(network, avg_fn=get_ema_avg_fn(AVERAGING), use_buffers=True)
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        return cls(name, plan, architecture, network, average, optimizer)

    def start(self, path: Path) -> None:
        """Begin with the weights that `save` wrote."""
        state = torch.load(path, weights_only=True, map_location='cpu')
        if state['architecture'] != self.architecture:
            sys.exit(f'{path} holds another network: {state["architecture"]}')
        self.network.load_state_dict(state['weights'])

    def learn(
        self, image: torch.Tensor, target: torch.Tensor, rate: float, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Do a step; returns the loss, on the device."""
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        self.network.train()
        loss = self._loss(image, target, unlabelled)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        if self.steps < 1 / (1 - AVERAGING):  # the first weights are far from the later ones
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.network)
        self.steps += 1
        return loss.detach()

    def _loss(
        self, image: torch.Tensor, target: torch.Tensor, unlabelled: torch.Tensor | None
    ) -> torch.Tensor:
        with torch.autocast(image.device.type, torch.bfloat16):
            if self.plan.lesions:
                pvs, lesions = self.network(image).split(1, dim=1)
                return cross_entropy(pvs, target) + cross_entropy(lesions, target, of=LESION)
            batch = Batch(
                image=image, label=(target == PVS).float(), counted=target != UNKNOWN, unlabelled=unlabelled
            )
            return OBJECTIVE(self.network, batch, self.steps)

    def save(self, path: Path) -> None:
        """Write the averaged weights, in half precision, without the output of lesions."""
        state = self.average.module.state_dict()
        weights = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        for name in ('head.weight', 'head.bias'):
            weights[name] = weights[name][:1]
        torch.save({'weights': weights, 'architecture': self.architecture, 'steps': self.steps}, path)


def fastest_layout(
    name: str, filters: int, shape: tuple[int, int, int], device: torch.device, batch: int
) -> torch.memory_format:
    """The order of channels in memory with which a network learns fastest."""
    layouts = (torch.contiguous_format, torch.channels_last_3d)
    if device.type != 'cuda':
        return torch.channels_last_3d
    seconds = []
    for layout in layouts:
        pupil = Pupil.new(name, architecture_of(name, filters), device, layout)
        image = torch.randn((batch, len(pupil.plan.channels), *shape), device=device)
        image = image.contiguous(memory_format=layout)
        target = (torch.rand((batch, 1, *shape), device=device) < 0.01).to(torch.uint8)
        for step in range(8):
            if step == 3:  # the first ones choose the algorithms
                torch.cuda.synchronize()
                begun = time.monotonic()
            pupil.learn(image, target, 0.0)
        torch.cuda.synchronize()
        seconds.append((time.monotonic() - begun) / 5)
        print(f'{name}, {layout}: {1000 * seconds[-1]:.0f} ms a step', flush=True)
    torch.cuda.empty_cache()
    return layouts[int(np.argmin(seconds))]


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, of: int = PVS) -> torch.Tensor:
    """The loss ``ce`` of a value of the target; unknown voxels do not count."""
    return LOSS(*leave_out(logits, (target == of).float(), target != UNKNOWN))


@dataclass
class Batches:
    """Draws batches from what is in memory."""

    memory: Memory
    batch: int
    rng: np.random.Generator
    layout: torch.memory_format = torch.channels_last_3d

    def draw(self, channels: tuple[int, ...], real: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (float32) and targets of one batch, some of them mirrored and noisier."""
        images, targets = [], []
        for _ in range(self.batch):
            store = self.memory.simulated
            if real and len(self.memory.on_scans) >= START and self.rng.random() < real:
                store = self.memory.on_scans
            place = self._place(store, needs_alignment=channels == (1,))
            image, target = store.images[place, list(channels)].float(), store.targets[place]
            if self.rng.random() < 0.5:
                image, target = image.flip(1), target.flip(1)
            images.append(self._with_noise(image))
            targets.append(target)
        return torch.stack(images).contiguous(memory_format=self.layout), torch.stack(targets)

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
def look(pupil: Pupil, held: Store) -> tuple[float, float, float]:
    """How the averaged weights do on the patches that are kept out.

    Returns
    -------
    dice : float
        Of all patches, at the best threshold.
    entropy : float
        Cross-entropy over the number of true voxels.
    in_lesions : float
        Fraction of the voxels marked at that threshold that lie in lesions.
    """
    network, channels = pupil.average.module.eval(), list(pupil.plan.channels)
    places = [k for k in range(len(held)) if channels != [1] or held.are_aligned[k]]
    thresholds = torch.linspace(0.1, 0.6, 11, device=held.images.device)
    both, marked, lesions = (torch.zeros_like(thresholds) for _ in range(3))
    true, entropy = 0.0, 0.0
    for place in places:
        image = held.images[place : place + 1, channels].float()
        with torch.autocast(image.device.type, torch.bfloat16):
            logits = network(image)[:, :1]
        target = held.targets[place : place + 1]
        label = target == PVS
        loss = nn.functional.binary_cross_entropy_with_logits(logits, label.float(), reduction='sum')
        entropy += float(loss)
        probability = logits.sigmoid()
        true += float(label.sum())
        for k, threshold in enumerate(thresholds):
            mask = probability >= threshold
            both[k] += (mask & label).sum()
            marked[k] += mask.sum()
            lesions[k] += (mask & (target == LESION)).sum()
    dice = 2 * both / (marked + true)
    best = dice.argmax()
    return float(dice[best]), entropy / max(true, 1.0), float(lesions[best] / marked[best].clamp(min=1))


class Training:
    """All networks, each for its share of the time, until the time is over.

    Parameters
    ----------
    batches : Batches
    maker : Maker or None
        None: no patches are made.
    pupils : sequence of Pupil
    out_dir : Path
    minutes : float
    rate : float
        Largest learning rate.
    pause : float
        Seconds between two looks at the patches that are kept out.
    """

    def __init__(
        self,
        batches: Batches,
        maker: Maker | None,
        pupils: Sequence[Pupil],
        out_dir: Path,
        *,
        minutes: float,
        rate: float,
        pause: float,
    ) -> None:
        self.batches, self.memory, self.maker, self.pupils = batches, batches.memory, maker, pupils
        self.out_dir, self.seconds, self.rate, self.pause = out_dir, 60 * minutes, rate, pause
        self.begun = time.monotonic()

    @property
    def progress(self) -> float:
        """Fraction of the time that is over."""
        return (time.monotonic() - self.begun) / self.seconds

    @cached_property
    def _log(self) -> Path:
        path = self.out_dir / 'log.tsv'
        path.write_text(
            'seconds\tpatches\tnetwork\tsteps\tloss\theld_out_dice\theld_out_entropy\tmarked_in_lesions\n'
        )
        return path

    def _rate(self) -> float:
        if self.progress < RISE:
            return self.rate * max(self.progress / RISE, 0.02)
        return self.rate * (0.5 * (1 + float(np.cos(np.pi * min(1.0, self.progress)))) + 1e-3)

    def run(self) -> None:
        """Train."""
        reported = looked = self.begun
        while self.progress < 1:
            if self.maker:
                self.maker.check()
            self._step(min(self.pupils, key=lambda pupil: pupil.seconds / pupil.plan.share))
            now = time.monotonic()
            if now - reported > REPORT:
                reported = now
                for pupil in self.pupils:
                    self._report(pupil)
            if now - looked > self.pause:
                self._look()
                looked = time.monotonic()
        self._look()

    def _step(self, pupil: Pupil) -> None:
        """One step of a network, with its time."""
        begun, plan = time.monotonic(), pupil.plan
        image, target = self.batches.draw(plan.channels, plan.real)
        unlabelled = None
        if plan.semisupervised and self.progress > WARM:
            unlabelled, _ = self.batches.draw(plan.channels, real=1.0)
        pupil.losses.append(pupil.learn(image, target, self._rate(), unlabelled))
        if image.is_cuda:
            torch.cuda.synchronize()
        pupil.seconds += time.monotonic() - begun

    def _report(self, pupil: Pupil, scores: Sequence[float] = (float('nan'),) * 3) -> None:
        seconds, patches = time.monotonic() - self.begun, self.memory.simulated.added
        patches += self.memory.on_scans.added
        loss = float(torch.stack(pupil.losses).mean()) if pupil.losses else float('nan')
        pupil.losses.clear()
        values = [f'{seconds:.0f}', f'{patches}', pupil.name, f'{pupil.steps}']
        line = '\t'.join([*values, *(f'{number:.4f}' for number in (loss, *scores))])
        with self._log.open('a') as file:
            file.write(line + '\n')
        print(line, flush=True)

    def _look(self) -> None:
        for pupil in self.pupils:
            self._report(pupil, look(pupil, self.memory.held))
            pupil.save(self.out_dir / f'{pupil.name}.pt')


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
    parser.add_argument('--networks', nargs='+', choices=NETWORKS, default=MODELS)
    parser.add_argument('--start', type=Path, metavar='DIR', help='begin with the weights of that run')
    parser.add_argument('--rate', type=float, default=2e-3, help='largest learning rate (default 0.002)')
    parser.add_argument(
        '--look', type=float, default=120.0, metavar='SECONDS',
        help='between two looks at the patches that are kept out (default 120)',
    )  # fmt: skip
    parser.add_argument('--keep', type=Path, metavar='FILE', help='write the patches to FILE at the end')
    parser.add_argument('--patches', type=Path, metavar='FILE', help='learn from these and make none')
    args = parser.parse_args()
    if args.write_backgrounds:
        write_backgrounds(args.write_backgrounds, args.backgrounds)
        return
    train(args)


def train(args: argparse.Namespace) -> None:
    """Make or read patches, and train."""
    args.out_dir.mkdir(parents=True, exist_ok=True)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(args.seed)
    maker = None
    if args.patches:
        memory = Memory.read(args.patches, device)
    else:
        maker = make_patches(args, device)
        memory = maker.memory
    shape = (args.size, args.size, args.size)
    layout = fastest_layout(args.networks[0], args.filters, shape, device, args.batch)
    pupils = [Pupil.new(name, architecture_of(name, args.filters), device, layout) for name in args.networks]
    for pupil in pupils if args.start else ():
        pupil.start(args.start / f'{pupil.name}.pt')
    if maker:
        maker.wait()
    print('the first patches are there', flush=True)
    batches = Batches(memory, args.batch, np.random.default_rng(args.seed), layout)
    Training(
        batches, maker, pupils, args.out_dir, minutes=args.minutes, rate=args.rate, pause=args.look
    ).run()
    if args.keep:
        memory.write(args.keep)
    os._exit(0)  # the other processes make patches for ever


def make_patches(args: argparse.Namespace, device: torch.device) -> Maker:
    """Prepare what patches are made from, and begin to make them."""
    sources = list(in_processes(read_label_map, sorted(args.label_maps.glob('*.nii*')), args.workers))
    found = sorted(args.backgrounds.glob('*.npz.xz')) if args.backgrounds else []
    backgrounds = list(in_processes(read_background_maps, found, args.workers))
    held = sources[1::6]
    learnt = [source for source in sources if not any(source is other for other in held)]
    numbers = f'{len(learnt)} label maps, {len(held)} kept out, {len(backgrounds)} real scans'
    print(f'{numbers}, {device}', flush=True)
    patches = Patches(learnt, held, backgrounds, size=args.size, seed=args.seed)
    maker = Maker(patches, args.workers, args.size, device)
    maker.start()
    return maker


def architecture_of(name: str, filters: int) -> dict[str, Any]:
    """The architecture of a network, as in a model's card."""
    plan = NETWORKS[name]
    return {
        'name': 'm2ss', 'in_channels': len(plan.channels), 'filters': filters, 'side_filters': 8,
        'levels': 4, 'multi_scale': plan.multi_scale,
    }  # fmt: skip


if __name__ == '__main__':
    main()
