"""What a member need not do where nothing is learnt: normalise after a convolution that could have
done it, and keep what an activation has read.

A batch norm with running statistics is a factor and a summand for each channel, which the
convolution before it takes into its weights (Jacob et al. 2018, section 3.2); for a small network
it takes as long as the convolution. ``nets.deploy`` merges more than that, into a network to be
kept; making its text would take longer than judging a member does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..graph import Scope
from ..operators.activation import Activation
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm

CONVOLUTIONS = nn.Conv1d, nn.Conv2d, nn.Conv3d


class Norm(NamedTuple):
    """A batch norm that alone reads a convolution; ``holder`` has it by its ``name``."""

    convolution: nn.Module
    norm: _BatchNorm
    holder: nn.Module
    name: str


@dataclass(frozen=True)
class Shortcuts:
    """Norms of a block that can be merged, and its activations that alone read a norm."""

    norms: tuple[Norm, ...]
    activations: tuple[nn.Module, ...]


def shortcuts(scope: Scope, module: nn.Module) -> Shortcuts:
    """Those of a block, whose layers are ``scope``."""
    nodes = {node.name: node for node in scope.nodes()}
    readers = Counter(value.name for node in nodes.values() for value in node.inputs)
    readers[scope.output.name] += 1
    norms, activations = [], []
    for name, node in nodes.items():
        read = nodes.get(node.inputs[0].name)
        if read is None or readers[read.name] > 1:
            continue
        if isinstance(node.op, BatchNorm) and isinstance(read.op, Convolution):
            filter, norm = module.get_submodule(read.name), module.get_submodule(name)
            if type(filter) in CONVOLUTIONS:
                holder, _, last = name.rpartition(".")
                own = cast("_BatchNorm", norm)
                norms.append(Norm(filter, own, module.get_submodule(holder), last))
        elif isinstance(node.op, Activation) and isinstance(read.op, BatchNorm):
            layer = module.get_submodule(name)
            if hasattr(layer, "inplace"):
                activations.append(layer)
    return Shortcuts(tuple(norms), tuple(activations))


@contextmanager
def overwriting(some: Iterable[Shortcuts]) -> Iterator[None]:
    """Inside, activations write where they read."""
    layers = [layer for own in some for layer in own.activations]
    before = [layer.inplace for layer in layers]
    try:
        for layer in layers:
            layer.inplace = True  # type: ignore[assignment]
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.inplace = value


@contextmanager
def merged(some: Iterable[Shortcuts]) -> Iterator[None]:
    """Inside, convolutions have the weights that make the norms behind them superfluous, which are
    not called. For a network in evaluation mode, of which nothing is learnt meanwhile."""
    norms = [norm for own in some for norm in own.norms]
    kept = [dict(own.convolution._parameters) for own in norms]
    try:
        for own in norms:
            own.convolution._parameters.update(_weights(own))  # type: ignore[arg-type]
            own.holder._modules[own.name] = nn.Identity()
        yield
    finally:
        for own, parameters in zip(norms, kept, strict=True):
            own.convolution._parameters.update(parameters)
            own.holder._modules[own.name] = own.norm


def _weights(own: Norm) -> dict[str, Tensor]:
    """f (W x + b - mean) + s = (f W) x + (f (b - mean) + s), f one factor per output channel."""
    of, norm = own.convolution._parameters, own.norm
    weight, bias = cast("Tensor", of["weight"]), of["bias"]
    factor = norm.weight * (norm.get_buffer("running_var") + norm.eps).rsqrt()
    mean = norm.get_buffer("running_mean")
    shift = -mean if bias is None else bias - mean
    factors = factor.view(-1, *[1] * (weight.dim() - 1))
    return {"weight": weight * factors, "bias": shift * factor + norm.bias}
