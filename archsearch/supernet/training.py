"""Training a supernet: the loop of every training, in which members take turns by a rule."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..members import Members
from ..space import Point
from ..training.devices import autocast
from ..training.feed import Feed
from ..training.loop import Row, Training, mixed_seed
from ..training.optimiser import make_optimiser
from .draws import largest, smallest
from .rules import Rule
from .score import Scorer
from .step import Gradients, Stepper
from .weights import Leaf, Supernet


@dataclass
class SupernetTraining(Training):
    """A training of a ``Supernet`` (its ``net``), whose steps are what the ``rule`` says.

    Members come from ``members``, which keep the budgets. With several processes all train the same
    members, each on its part of the batch. An epoch's row judges the largest member
    ("validation_accuracy") and the smallest ("smallest_accuracy"), both recalibrated.
    """

    members: Members = field(kw_only=True)
    rule: Rule = field(kw_only=True)

    def __post_init__(self) -> None:
        self.supernet = cast("Supernet", self.net)
        self.largest, self.smallest = largest(self.members), smallest(self.members)
        if self.supernet.memory_format(self.place.device) != torch.channels_last:
            self.recipe = replace(self.recipe, channels_last=False)
        super().__post_init__()
        self.gradients = Gradients(self.supernet)
        self.stepper = Stepper(self.supernet, self.optimiser)
        self._scorer: Scorer | None = None

    def _make_optimiser(self) -> torch.optim.Optimizer:
        return make_optimiser(self.net, self.recipe, strided=True)

    def _make_model(self) -> nn.Module:
        return self.net

    def _learn(self, images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        x, targets = self._prepared(images, labels)
        batch = Batch(self, x, targets, labels, share)
        self.rule(batch)
        return batch.told()

    def _update(self) -> None:
        pieces = self.gradients.sums()
        if self.place.processes > 1:
            _reduce(pieces, self.place.processes)
        with self.stepper.on(pieces):
            self._step_optimiser([piece.parameter for piece in pieces])
        if self.average is not None:
            self.average.update(self.step)

    def _judged(self, validation: Feed) -> Row:
        if self._scorer is None:
            result = cast("Supernet", self.result)
            self._scorer = Scorer(result, self.data, device=self.place.device, numbers=self.numbers)
        space = self.members.space
        large, small = self._scorer.scores([space.build(p) for p in (self.largest, self.smallest)])
        return {
            "validation_loss": large.loss,
            "validation_accuracy": large.accuracy,
            "smallest_accuracy": small.accuracy,
        }


class Batch:
    """A ``Step``: one batch of a training, or the part of it that is held in memory at once."""

    def __init__(
        self, training: SupernetTraining, x: Tensor, targets: Tensor, labels: Tensor, share: float
    ) -> None:
        self.training, self.x, self.targets, self.labels = training, x, targets, labels
        self.share = share
        self.members = training.members
        self.largest, self.smallest = training.largest, training.smallest
        self.rng = Random(mixed_seed(training.seed, training.step))
        self.progress = training.step / training.steps
        self.pictures = len(x)
        self._told: list[tuple[Tensor, Tensor, int]] = []

    def learn(
        self,
        point: Point,
        part: slice = slice(None),
        hints: Tensor | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """See ``Step``."""
        training, targets = self.training, self.targets[part]
        subnet = training.supernet.subnet(self.members.space.build(point))
        with autocast(training.place.device, training.numbers):
            logits = subnet(subnet.laid_out(self.x[part]))
        logits = logits.float()
        if hints is None:
            loss = training._cross_entropy(logits, targets)
            right = (logits.detach().argmax(1) == self.labels[part]).sum()
            self._told.append((loss.detach(), right, len(targets)))
        else:
            loss = functional.cross_entropy(logits, hints.softmax(1))
        training.scaler.scale(loss * (share * self.share)).backward()  # type: ignore[no-untyped-call]
        training.gradients.take(subnet)
        return cast("Tensor", logits.detach())

    @torch.no_grad()
    def loss(self, point: Point) -> float:
        """See ``Step``."""
        training = self.training
        subnet = training.supernet.subnet(self.members.space.build(point))
        with autocast(training.place.device, training.numbers):
            logits = subnet(subnet.laid_out(self.x))
        return float(training._cross_entropy(logits.float(), self.targets))

    def told(self) -> tuple[Tensor, Tensor]:
        """Mean loss of those who learnt from labels, and how many of the batch's pictures they tell
        rightly, on average."""
        count = sum(n for *_, n in self._told)
        loss = torch.stack([loss * n for loss, _, n in self._told]).sum()
        right = torch.stack([right for _, right, _ in self._told]).sum()
        return loss / count, right * (self.pictures / count)


def _reduce(pieces: list[Leaf], processes: int) -> None:
    """The mean of every gradient over all processes, which have the same pieces."""
    grads = [piece.parameter.grad for piece in pieces if piece.parameter.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    torch.distributed.all_reduce(flat)
    flat /= processes
    for grad, own in zip(grads, torch.split(flat, [g.numel() for g in grads]), strict=True):
        grad.copy_(own.view_as(grad))
