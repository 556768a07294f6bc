"""Candidates judged with the weights that a supernet has for them: none of them is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ..architecture import Architecture
from ..data.dataset import Data
from ..supernet.layout import Layout

if TYPE_CHECKING:
    from ..supernet.weights import Supernet

Score = Callable[[Architecture], Mapping[str, float]]
"""Called with a network; gives its "accuracy" (of 1) and "loss" (nats) on validation pictures."""


@dataclass(frozen=True, eq=False)
class Inherited:
    """The weights of a supernet on their way to workers: ``tensors`` are plain arrays by name, so
    that they travel as the data do, and no process writes into them."""

    layout: Layout
    tensors: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def score(self, data: Data, device: str | None) -> Score:
        """Judges members on the data with these weights, on one of ``find_device``; what all of
        them share is done now."""
        from ..supernet.score import Scorer
        from ..training.devices import find_device

        scorer = Scorer(self.supernet().to(find_device(device)), data)
        scorer.prepare()

        def score(architecture: Architecture) -> dict[str, float]:
            return scorer.score(architecture)._asdict()

        return score

    def supernet(self) -> Supernet:
        """A supernet with these weights, on the CPU."""
        import torch

        from ..supernet.weights import Supernet

        return Supernet(
            self.layout, tensors={name: torch.tensor(own) for name, own in self.tensors.items()}
        )


def inherited(supernet: Supernet) -> Inherited:
    """The weights of a supernet, ready to travel."""
    tensors = {name: own.detach().cpu().numpy() for name, own in supernet.shared.items()}
    return Inherited(supernet.layout, tensors)
