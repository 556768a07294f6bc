"""EAS's controller: an LSTM over the parts of a network, its two actors, and how they learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...members.enlarging import DEEPER, NUMBERS, SINGLE_WIDER, WIDER, Decision, Moves
from ...space import Point

if TYPE_CHECKING:
    from torch import Tensor

TOKEN, HIDDEN = 16, 50
"""Sizes of the published controller: of what stands for a part, and of its LSTM per direction."""

BATCH, RATE, ENTROPY, MOMENTUM = 10, 2e-3, 1e-5, 0.95
"""Networks of one step of the controller, Adam's learning rate, the weight of the entropy, and the
share by which the baseline moves to the mean reward of a batch; all as published."""

NEVER = -1e9
"""The logit of what cannot be done."""


@dataclass(frozen=True)
class Actors:
    """What the actors say of one network, as weights that need not sum to one: how likely each of
    ``WIDER`` is for every part; ``where`` to deepen, the last being nowhere; ``what`` of ``DEEPER``
    to do in a part."""

    wider: Sequence[Sequence[float]]
    where: Sequence[float]
    what: Callable[[int], Sequence[float]]


def uniform(parts: int) -> Actors:
    """Actors to which everything is as likely."""
    wider = [(0.5,) * len(WIDER)] * parts
    return Actors(wider, (1.0,) * (parts + 1), lambda part: (1.0,) * len(DEEPER))


class Controller:
    """The encoder and the actors, and how they learn."""

    def __init__(self, moves: Moves, seed: int) -> None:
        import torch
        from torch import nn

        self._moves, parts = moves, len(moves.parts)
        self._baseline: float | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net: Any = nn.ModuleDict(
                {
                    "value": nn.Linear(NUMBERS, TOKEN),
                    "place": nn.Embedding(parts, TOKEN),
                    "encoder": nn.LSTM(TOKEN, HIDDEN, bidirectional=True, batch_first=True),
                    "wider": nn.Linear(2 * HIDDEN, len(WIDER)),
                    "begin": nn.Embedding(1, TOKEN),
                    "decoder": nn.LSTMCell(TOKEN, 2 * HIDDEN),
                    "where": nn.Linear(2 * HIDDEN, parts + 1),
                    "what": nn.Linear(2 * HIDDEN, len(DEEPER)),
                }
            )
        self._optimiser = torch.optim.Adam(self._net.parameters(), RATE)
        self._read: dict[Point, Actors] = {}

    def read(self, point: Point) -> Actors:
        """What the actors say of a network."""
        import torch

        if point in self._read:
            return self._read[point]
        with torch.no_grad():
            wider, where, what = self._said([point])

        def chances(part: int) -> list[float]:
            with torch.no_grad():
                found: list[float] = what(torch.tensor([part]))[0].softmax(0).tolist()
            return found

        own = Actors(wider[0].sigmoid().tolist(), where[0].softmax(0).tolist(), chances)
        self._read[point] = own
        return own

    def learn(self, batch: Sequence[tuple[Sequence[Decision], float]]) -> None:
        """One step of REINFORCE, with a moving average as the baseline, on decisions and what each
        of them together brought."""
        import torch

        mean = float(np.mean([reward for _, reward in batch]))
        before = mean if self._baseline is None else self._baseline
        self._baseline = before + MOMENTUM * (mean - before)
        gains = [reward - before for decisions, reward in batch for _ in decisions]
        likelihood, entropy = self._likelihood([d for own, _ in batch for d in own])
        gain = (torch.tensor(gains) * likelihood).sum() + ENTROPY * entropy.sum()
        self._optimiser.zero_grad()
        (-gain / len(batch)).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._read.clear()

    def _said(self, points: Sequence[Point]) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Logits of both actors for some networks: of shape (networks, parts, ``WIDER``),
        (networks, parts + 1), and, called with a part of each, (networks, ``DEEPER``)."""
        import torch

        net = self._net
        rows = [[self._moves.numbers(*own) for own in enumerate(point)] for point in points]
        tokens = net["value"](torch.tensor(rows)) + net["place"].weight
        read, (hidden, cell) = net["encoder"](tokens)
        state = torch.cat([*hidden], 1), torch.cat([*cell], 1)
        state = net["decoder"](net["begin"].weight.expand(len(points), TOKEN), state)

        def what(place: Tensor) -> Tensor:
            chosen = tokens[torch.arange(len(points)), place]
            logits: Tensor = net["what"](net["decoder"](chosen, state)[0])
            return logits

        return net["wider"](read), net["where"](state[0]), what

    def _likelihood(self, decisions: Sequence[Decision]) -> tuple[Tensor, Tensor]:
        """Of every decision its log-likelihood among those that were open, and their entropy."""
        import torch
        from torch.distributions import Bernoulli, Categorical

        moves, nowhere = self._moves, len(self._moves.parts)
        widening = torch.tensor([own.wider is not None for own in decisions])
        none = [SINGLE_WIDER[0].wider] * nowhere
        done = torch.tensor([own.wider or none for own in decisions], dtype=torch.float32)
        able = [[moves.wider(*each) for each in enumerate(own.point)] for own in decisions]
        deeper = [[moves.deeper(*each) for each in enumerate(own.point)] for own in decisions]
        places = torch.tensor([own.place for own in decisions])
        whats = torch.tensor([own.what or 0 for own in decisions])
        acts = torch.tensor([own.what is not None for own in decisions])
        open_ = [[*map(any, own), True] for own in deeper]
        there = [
            own[decision.place] if decision.what is not None else [True] * len(DEEPER)
            for own, decision in zip(deeper, decisions, strict=True)
        ]
        wide, where_, what_ = self._said([own.point for own in decisions])
        wider: Any = Bernoulli(logits=wide)
        where: Any = Categorical(logits=where_.masked_fill(~torch.tensor(open_), NEVER))
        inside = places.clamp(max=nowhere - 1)
        what: Any = Categorical(logits=what_(inside).masked_fill(~torch.tensor(there), NEVER))

        def total(widens: Tensor, wheres: Tensor, whats_: Tensor) -> Tensor:
            own = (widens * torch.tensor(able)).sum((1, 2))
            return torch.where(widening, own, wheres + acts * whats_)

        return (
            total(wider.log_prob(done), where.log_prob(places), what.log_prob(whats)),
            total(wider.entropy(), where.entropy(), what.entropy()),
        )
