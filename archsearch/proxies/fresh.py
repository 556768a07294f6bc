"""What the proxies share: a network with fresh weights, a batch to try it on, and its gradients.

Published proxies start networks in one of three ways, named in each file: as PyTorch does, from a
standard normal distribution, or by variance scaling. In all of them norms and layer scales start as
the identity: a branch that training starts at zero would not be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from ..architecture import Architecture
from ..errors import UserError
from ..graph import Node
from ..nets.build import build
from ..operators.merge import LayerScale

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch: TypeAlias = "tuple[Tensor, Tensor]"
"""Inputs, and for each the number of its class (or a map of them)."""

BATCH = 16
"""Inputs of a batch where none is given."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn inside depends on the seed alone, and PyTorch's random state is left as it was;
    gradients are on inside, whatever they are outside."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        yield


def fresh(
    architecture: Architecture, start: Callable[[Tensor], object] | None = None
) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """The network in training mode without dropout, and its weights that contract, by their names.

    Every layer starts as PyTorch starts it; where ``start`` is given, it fills each weight that
    contracts, and the biases beside them are zero.
    """
    import torch
    from torch import nn

    net = build(architecture).train()
    for module in net.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    parameters = dict(net.named_parameters())
    weights = {
        name: parameters[name]
        for node in architecture.trace().nodes()
        for name in (f"{node.name}.{own}" for own in _contracting(node))
        if name in parameters
    }
    with torch.no_grad():
        for node in architecture.trace().nodes():
            if isinstance(node.op, LayerScale):
                parameters[f"{node.name}.weight"].fill_(1.0)
        if start is not None:
            for name, parameter in weights.items():
                start(parameter)
                bias = parameters.get(f"{name.rpartition('.')[0]}.bias")
                if bias is not None:
                    bias.zero_()
    return net, weights


def normal_batch(architecture: Architecture, count: int = BATCH) -> Batch:
    """Inputs from a standard normal distribution, with classes drawn evenly: a proxy that needs no
    data. To be called inside ``seeded``."""
    import torch

    output = architecture.trace().output.shape
    x = torch.randn(count, *architecture.input)
    return x, torch.randint(int(output.channels), (count, *output.size))


def checked(batch: Batch, architecture: Architecture, least: int = 2) -> Batch:
    """A batch that somebody gave. Raises ``UserError`` where it does not fit the network."""
    x, labels = batch
    output = architecture.trace().output.shape
    if len(x) < least:
        raise UserError(f"the batch has {len(x)} inputs; at least {least} are needed")
    if tuple(x.shape[1:]) != architecture.input:
        sizes = ["x".join(map(str, size)) for size in (x.shape[1:], architecture.input)]
        raise UserError(f"the batch has inputs of {sizes[0]}, the network takes {sizes[1]}")
    if tuple(labels.shape) != (len(x), *output.size):
        sizes = ["x".join(map(str, size)) for size in (labels.shape, (len(x), *output.size))]
        raise UserError(f"the labels of the batch are {sizes[0]}, not {sizes[1]}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < output.channels:
        found = f"{int(labels.min())} to {int(labels.max())}"
        raise UserError(
            f"labels go from {found}; the network tells {output.channels} classes apart"
        )
    return x, labels


def gradients(net: nn.Module, weights: dict[str, nn.Parameter], batch: Batch) -> dict[str, Tensor]:
    """Of the cross-entropy on a batch, by each weight that it depends on."""
    import torch
    from torch.nn.functional import cross_entropy

    x, labels = batch
    found = torch.autograd.grad(
        cross_entropy(net(x), labels), list(weights.values()), allow_unused=True
    )
    return {name: own for name, own in zip(weights, found, strict=True) if own is not None}


def _contracting(node: Node) -> list[str]:
    """A layer's own names of its weights that contract."""
    return [name for name, weight in node.op.weights(*node.x).items() if weight.contracts]
