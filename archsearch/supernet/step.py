"""One step of an optimiser on the pieces of shared tensors that members learnt from a batch.

What no member of the step uses is not touched: neither decayed nor moved by momentum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..operator import Weight
from .slices import bounding, sliced
from .weights import Leaf, Subnet, Supernet


class Gradients:
    """The gradients that the members of one step leave."""

    def __init__(self, supernet: Supernet) -> None:
        self.supernet = supernet
        self._found: dict[str, list[tuple[Leaf, Tensor]]] = {}

    def take(self, subnet: Subnet) -> None:
        """Take the gradients of a subnet after backward()."""
        subnet.hand_on()
        for leaf in subnet.leaves():
            grad = leaf.parameter.grad
            if grad is not None:
                self._found.setdefault(leaf.shared, []).append((leaf, grad))
                leaf.parameter.grad = None

    def sums(self) -> list[Leaf]:
        """One piece of every tensor that somebody learnt, with the sum of all gradients as its own;
        nothing is left here."""
        found, self._found = self._found, {}
        return [self._sum(own) for own in found.values()]

    def _sum(self, own: Sequence[tuple[Leaf, Tensor]]) -> Leaf:
        weight = bounding([leaf.weight for leaf, _ in own]) if len(own) > 1 else own[0][0].weight
        largest = next(((leaf, grad) for leaf, grad in own if leaf.weight == weight), None)
        if largest is None:
            name = own[0][0].shared
            largest = self._empty(name, weight)
        leaf, total = largest
        for other, grad in own:
            if grad is not total:
                sliced(total, weight, other.weight).add_(grad)
        leaf.parameter.grad = total
        return leaf

    def _empty(self, name: str, weight: Weight) -> tuple[Leaf, Tensor]:
        large = self.supernet.layout.tensors[name].weight
        piece = nn.Parameter(sliced(self.supernet.shared[name].detach(), large, weight))
        return Leaf(name, weight, piece), torch.zeros_like(piece)


class Stepper:
    """Lets an optimiser of the shared tensors step on pieces of them.

    On a CPU, pieces whose numbers lie side by side (of all inputs, or of one) are updated by one
    kernel for all, as a network by itself is; others are passed through many times.
    """

    def __init__(self, supernet: Supernet, optimiser: torch.optim.Optimizer) -> None:
        self.supernet, self.optimiser = supernet, optimiser
        self._fuses = all(p.device.type == "cpu" for p in supernet.shared.values())
        places = {id(p): i for i, g in enumerate(optimiser.param_groups) for p in g["params"]}
        self._group = {name: places[id(p)] for name, p in supernet.shared.items()}
        _begin(optimiser)

    @contextmanager
    def on(self, pieces: Sequence[Leaf]) -> Iterator[None]:
        """Inside, the optimiser's parameters are these pieces, and what it remembers of them is a
        view of what it remembers of the whole."""
        groups, state = self.optimiser.param_groups, self.optimiser.state
        strided: list[list[nn.Parameter]] = [[] for _ in groups]
        dense: list[list[nn.Parameter]] = [[] for _ in groups]
        for piece in pieces:
            large = self.supernet.layout.tensors[piece.shared].weight
            remembered = state[self.supernet.shared[piece.shared]]
            own = dense if self._fuses and _is_dense(piece.parameter) else strided
            own[self._group[piece.shared]].append(piece.parameter)
            state[piece.parameter] = {
                key: sliced(value, large, piece.weight)
                if isinstance(value, Tensor) and value.dim()
                else value
                for key, value in remembered.items()
            }
        self.optimiser.param_groups = [
            group | {"params": parameters, "fused": fused, "foreach": not fused}
            for fused, some in ((False, strided), (True, dense))
            for group, parameters in zip(groups, some, strict=True)
        ]
        try:
            yield
        finally:
            self.optimiser.param_groups = groups
            for piece in pieces:
                del state[piece.parameter]
                piece.parameter.grad = None


def _is_dense(tensor: Tensor) -> bool:
    """Whether its numbers fill their memory, in the order that its gradient then has too."""
    if tensor.is_contiguous():
        return True
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _begin(optimiser: torch.optim.Optimizer) -> None:
    """Let the optimiser make what it remembers of every tensor, by a step that changes nothing."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    rates = [group["lr"] for group in optimiser.param_groups]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    optimiser.step()
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    for parameter in parameters:
        parameter.grad = None
        for key, value in optimiser.state[parameter].items():
            if key == "step":
                value.zero_()
