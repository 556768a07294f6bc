"""Scores of members by inherited weights: statistics from training pictures, accuracy on
validation pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..architecture import Architecture
from ..data.dataset import Data
from ..errors import UserError
from ..nets.build import build
from ..training.augment import Augment, Augmenter
from ..training.devices import autocast
from ..training.feed import Feed, IntArray, in_order
from .calibrate import calibrate
from .weights import Subnet, Supernet

PICTURES = 500
"""Training pictures that statistics are taken from. Cai et al. (2020) use 2,000 of ImageNet."""

JUDGED = 1000
"""Validation pictures that a member is judged on in a search: their noise is half a percent
at 98 % and one and a half at 70 %."""

CPU_BATCH, BATCH = 100, 500
"""Pictures at a time. On a CPU the maps of a hundred stay in memory that the process has already:
twice as fast as of five hundred."""

MOST_BYTES = 1 << 30
"""Prepared pictures that are kept between members; more are prepared anew for each."""


class Score(NamedTuple):
    """``accuracy`` of 1 and mean ``loss`` in nats, on the validation pictures."""

    accuracy: float
    loss: float


class Scorer:
    """Judges members of a supernet, all on the same pictures.

    Statistics come from ``pictures`` of the training split, accuracy from ``judged`` of the
    validation split (None: all), both drawn with the ``seed``, without augmentation. Raises
    ``UserError`` for data without validation pictures.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Data,
        *,
        pictures: int = PICTURES,
        judged: int | None = JUDGED,
        seed: int = 0,
        device: torch.device | None = None,
        numbers: torch.dtype = torch.float32,
    ) -> None:
        if not len(data.validation):
            raise UserError(f"{data.name}: no validation pictures to judge by; hold some back")
        self.supernet, self.numbers = supernet, numbers
        self.device = device or next(supernet.parameters()).device
        self._prepare = Augmenter(
            Augment(),
            data.mean,
            data.deviation,
            self.device,
            torch.float32,
            torch.channels_last,  # the fastest, and safe where nothing is learnt
        )
        chosen = _drawn(len(data.train), pictures, seed)
        self._calibration = _Pictures(Feed(data.train, self.device), chosen, self._prepare)
        chosen = _drawn(len(data.validation), judged, seed)
        self._validation = _Pictures(Feed(data.validation, self.device), chosen, self._prepare)

    def prepare(self) -> None:
        """Read all pictures now, for processes that are forked from this one."""
        for own in (self._calibration, self._validation):
            for _ in own.batches():
                pass

    def scores(self, architectures: Sequence[Architecture]) -> list[Score]:
        """Scores of members, in their order; raises ``UserError`` for one of another space."""
        return [self.score(architecture) for architecture in architectures]

    def score(self, architecture: Architecture) -> Score:
        """Score of one member."""
        subnet = self._calibrated(architecture)
        with torch.no_grad(), subnet.overwriting():
            if self.numbers != torch.float32:  # rounded weights would not be those it is kept with
                return self.judge(subnet)
            with subnet.merged():
                return self.judge(subnet)

    @torch.no_grad()
    def judge(self, net: nn.Module) -> Score:
        """Score of any network on the validation pictures, as it is."""
        training = net.training
        net.eval()
        right, loss, count = 0.0, 0.0, 0
        try:
            for x, labels in self._validation.batches():
                with autocast(self.device, self.numbers):
                    logits = net(x)
                logits = logits.float()
                right += float((logits.argmax(1) == labels).sum())
                loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
                count += len(labels)
        finally:
            net.train(training)
        return Score(right / count, loss / count)

    def network(self, architecture: Architecture) -> nn.Module:
        """The stand-alone network with inherited weights and its own statistics."""
        subnet = self._calibrated(architecture)
        net = build(architecture)
        net.load_state_dict(subnet.state_dict())
        return net.eval()

    def _calibrated(self, architecture: Architecture) -> Subnet:
        subnet = self.supernet.subnet(architecture)

        def pictures() -> Iterator[Tensor]:
            for x, _ in self._calibration.batches():
                yield x

        with autocast(self.device, self.numbers), subnet.overwriting():
            calibrate(subnet, pictures())
        return subnet


def _drawn(count: int, most: int | None, seed: int) -> IntArray:
    """Places of some pictures of a split, in order."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[:most]).astype(np.int64)


class _Pictures:
    """Some pictures of a split, as networks read them, in batches."""

    def __init__(self, feed: Feed, chosen: IntArray, prepare: Augmenter) -> None:
        self.feed, self.chosen, self.prepare = feed, chosen, prepare
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures (n, channels, height, width) and labels (n,)."""
        if self._kept is not None:
            yield from self._kept
            return
        size = CPU_BATCH if self.feed.device.type == "cpu" else BATCH
        kept: list[tuple[Tensor, Tensor]] = []
        held = 0
        order = [self.chosen[places] for places in in_order(len(self.chosen), size)]
        for images, labels in self.feed.batches(order):
            x = self.prepare(images, None)
            held += x.numel() * x.element_size()
            if held <= MOST_BYTES:
                kept.append((x, labels))
            yield x, labels
        if held <= MOST_BYTES:
            self._kept = kept
