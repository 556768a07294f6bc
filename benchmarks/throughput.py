"""Our training loop beside a plain PyTorch loop, and how long it waits for data.

    python benchmarks/throughput.py [--rounds 9] [--steps 40] [--threads 1] [--device cpu]

Both train the same network on the same pictures in memory with the same optimiser, augmentation
(mirroring and shifts), learning rates, batch size and threads. They take turns, one epoch each, so
that whatever else the machine does hits them alike; the overhead is the median over the rounds of
CPU seconds (on a GPU: wall seconds) against the plain loop's. "As by default" adds what the plain
loop lacks: gradient clipping and the running mean of the weights. The second table trains on JPEG
files, decoded as they are read: a published network for which they are decoded in every epoch anew,
and a small one, for which they are kept after the first epoch, as they are wherever they fit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from baselines import resnet
from measure import print_table
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.data.dataset import Arrays, Data, Split
from archsearch.data.pictures import KEPT, Paths, Pictures, decode
from archsearch.models import get
from archsearch.nets.build import build
from archsearch.training.augment import Augment
from archsearch.training.devices import Place, autocast, layout, number_format, on
from archsearch.training.feed import Feed
from archsearch.training.loop import Training
from archsearch.training.optimiser import make_optimiser
from archsearch.training.recipe import Recipe

BATCH = 128
CROP = 2
CLASSES = 10
MEAN, DEVIATION = 0.5, 0.25
NETWORKS = (
    resnet(5_000, (1, 8, 8)),
    resnet(15_000, (1, 28, 28)),
    resnet(20_000, (3, 32, 32)),
)
"""Small ones: the faster a step, the more a loop's own time weighs."""

FOLDER_BATCH, FOLDER_STEPS = 16, 5
FROM_FILES = (
    ("mobilenetv2_100", get("mobilenetv2_100"), 0),
    ("small ResNet", resnet(20_000, (3, 64, 64)), KEPT),
)
"""Networks, and how many bytes of decoded pictures stay in memory."""
PHOTOGRAPH = (375, 500)
"""Height and width of the JPEG files: the usual of ImageNet."""


class EndOfEpoch(Exception):
    """Ends a training after an epoch; the next call goes on from there."""


@dataclass
class Waited:
    """A feed, with the seconds its user waited for the first batch of an epoch and the others."""

    feed: Feed
    first: float = 0.0
    rest: float = 0.0

    def __len__(self) -> int:
        return len(self.feed)

    def batches(self, indices: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        batches = self.feed.batches(indices)
        start, first = time.perf_counter(), True
        for batch in batches:
            waited = time.perf_counter() - start
            if first:
                self.first, first = self.first + waited, False
            else:
                self.rest += waited
            yield batch
            start = time.perf_counter()


def one_epoch(training: Training) -> None:
    """The next epoch of our loop."""

    def stop(row: Any) -> None:
        raise EndOfEpoch

    try:
        training.run(on_epoch=stop)
    except EndOfEpoch:
        return
    raise RuntimeError(f"training ended: {training.state} {training.reason}")


class Plain:
    """The loop anybody would write."""

    def __init__(self, net: nn.Module, data: Data, recipe: Recipe, device: torch.device) -> None:
        self.memory = layout(device, net)
        self.net = on(device, net, self.memory)
        self.pixels = torch.from_numpy(data.train.images.pixels).to(device)
        self.labels = torch.from_numpy(data.train.labels).to(device)
        self.device, self.numbers = device, number_format(recipe, device)
        self.optimiser = make_optimiser(self.net, recipe)
        steps = recipe.epochs * (len(self.pixels) // BATCH)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, steps)
        self.smoothing = recipe.label_smoothing

    def epoch(self) -> None:
        self.net.train()
        total = torch.zeros((), device=self.device)
        order = torch.randperm(len(self.pixels), device=self.device)
        for chosen in order.split(BATCH):
            x = (self.augmented(self.pixels[chosen]).float() / 255 - MEAN) / DEVIATION
            x = x.contiguous(memory_format=self.memory)
            with autocast(self.device, self.numbers):
                logits = self.net(x)
            loss = functional.cross_entropy(
                logits.float(), self.labels[chosen], label_smoothing=self.smoothing
            )
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            total += loss.detach()

    def augmented(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        x = functional.pad(x, (CROP,) * 4)
        down, right = torch.randint(2 * CROP + 1, (2, n, 1), device=x.device)
        rows = down + torch.arange(height, device=x.device)
        columns = right + torch.arange(width, device=x.device)
        mirrored = torch.rand(n, 1, device=x.device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
        index = rows[:, :, None] * x.shape[3] + columns[:, None, :]
        index = index.view(n, 1, -1).expand(n, channels, -1)
        return x.flatten(2).gather(2, index).view(n, channels, height, width)


def pictures(shape: tuple[int, int, int], count: int) -> Data:
    """Noise in memory; how fast a network trains does not depend on what it sees."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, count)
    return described(Split(Arrays(rng.integers(0, 256, (count, *shape), np.uint8)), labels))


def described(train: Split) -> Data:
    """Data of one split."""
    nothing = Split(Arrays(np.empty((0, *train.images.shape), np.uint8)), np.empty(0, np.int64))
    channels = train.images.shape[0]
    names = tuple(map(str, range(CLASSES)))
    constants = (MEAN,) * channels, (DEVIATION,) * channels
    return Data("noise", train, nothing, nothing, names, *constants, mirrored=True)


def beside_plain(
    architecture: Architecture, steps: int, rounds: int, device: torch.device
) -> list[str]:
    """A row of the first table."""
    data = pictures(architecture.input, steps * BATCH)
    augment = Augment(flip=True, crop=CROP)
    default = Recipe(epochs=rounds + 1, batch_size=BATCH, augment=augment)
    alike = Recipe(epochs=rounds + 1, batch_size=BATCH, augment=augment, ema=0.0, clip=None)
    net = build(architecture)
    plain = Plain(deepcopy(net), data, alike, device)
    ours = [
        Training(deepcopy(net), data, recipe, place=Place(device)) for recipe in (alike, default)
    ]
    waited = Waited(ours[0].feed)
    ours[0].feed = waited  # type: ignore[assignment]
    turns = [plain.epoch, *(lambda each=each: one_epoch(each) for each in ours)]
    times: list[list[tuple[float, float]]] = [[] for _ in turns]
    for i in range(rounds + 1):
        for turn, own in zip(turns, times, strict=True):
            start = clocks(device)
            turn()
            if i:  # the first round warms up
                own.append(tuple(b - a for a, b in zip(start, clocks(device), strict=True)))
        if not i:
            waited.first = waited.rest = 0.0
    counted = 0 if device.type == "cuda" else 1  # wall or CPU seconds
    seconds = [[each[counted] for each in own] for own in times]
    overheads = [median(o / p for o, p in zip(own, seconds[0], strict=True)) - 1 for own in seconds]
    speeds = [f"{steps * BATCH / median(own):,.0f}" for own in seconds]
    share = (waited.first + waited.rest) / sum(each[0] for each in times[1])
    own_cost = cost(architecture)
    return [
        "x".join(map(str, architecture.input)), f"{own_cost.params:,}", f"{own_cost.macs:,}",
        speeds[0], speeds[1], f"{overheads[1]:+.1%}", speeds[2], f"{overheads[2]:+.1%}",
        f"{share:.1%}",
    ]  # fmt: skip


def clocks(device: torch.device) -> tuple[float, float]:
    """Wall and CPU seconds, once the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter(), time.process_time()


def from_files(
    name: str, architecture: Architecture, memory: int, folder: Path, device: torch.device
) -> list[str]:
    """A row of the second table: two epochs."""
    names = photographs(folder, FOLDER_STEPS * FOLDER_BATCH)
    _, height, width = architecture.input
    images = Pictures(Paths(folder, names), (3, height, width), memory)
    start = time.perf_counter()
    for file in names[: 2 * FOLDER_BATCH]:
        decode(Image.open(folder / file), images.shape)
    decoding = 2 * FOLDER_BATCH / (time.perf_counter() - start)
    data = described(Split(images, np.arange(len(names)) % CLASSES))
    recipe = Recipe(epochs=2, batch_size=FOLDER_BATCH)
    training = Training(build(architecture), data, recipe, place=Place(device))
    feed, cells = training.feed, []
    for _ in range(recipe.epochs):
        waited = Waited(feed)
        training.feed = waited  # type: ignore[assignment]
        start = clocks(device)[0]
        one_epoch(training)
        seconds = clocks(device)[0] - start
        cells += [f"{waited.first / seconds:.1%}", f"{waited.rest / seconds:.1%}"]
    size = "x".join(map(str, architecture.input))
    return [name, size, f"{decoding:,.0f}", f"{len(names) / seconds:,.0f}", *cells]


def photographs(folder: Path, count: int) -> list[str]:
    """So many JPEG files of the size and detail of photographs; their names."""
    rng = np.random.default_rng(0)
    names = [f"{i}.jpg" for i in range(count)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        smooth = np.asarray(coarse.resize(PHOTOGRAPH[::-1], Image.Resampling.BICUBIC), np.float32)
        detail = rng.normal(0, 6, (*PHOTOGRAPH, 3))
        picture = Image.fromarray(np.clip(smooth + detail, 0, 255).astype(np.uint8))
        picture.save(folder / name, quality=90)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="of an epoch in memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    header = (
        "input", "params", "MACs", "plain pictures/s", "ours alike", "overhead", "as by default",
        "overhead", "waited for data",
    )  # fmt: skip
    rows = [beside_plain(net, args.steps, args.rounds, device) for net in NETWORKS]
    threads = f"{args.threads} thread{'s' * (args.threads > 1)}"
    print_table(f"Pictures in memory, batch {BATCH}, {device}, {threads}", header, rows)
    header = (
        "network", "input", "decoded/s alone", "trained/s", "waited for first batch", "for others",
        "second epoch: first batch", "others",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        rows = [from_files(*each, Path(folder), device) for each in FROM_FILES]
    size = "x".join(map(str, PHOTOGRAPH))
    print_table(f"JPEG files of {size}, batch {FOLDER_BATCH}, {device}, {threads}", header, rows)


if __name__ == "__main__":
    main()
