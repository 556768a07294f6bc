"""Zen-score (Lin et al. 2021, "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition").

Algorithm 1: of the network without its residual links, with weights and inputs from N(0, 1), the
score is log E|f(x) - f(x + a e)| + the sum over batch norms of log sqrt(mean variance of their
channels), where f(x) is the map before global pooling: how much the output changes with the input,
and what the norms have divided it by given back. Squeeze-and-excitation is left out as well, as in
the paper.

The released code differs: it takes the sum of absolute values for the Euclidean norm, and running
variances after two batches (19 % of what the batches have) for the batch's own. Here it is the
algorithm. The paper knows batch norm alone; layer and group norms are given back likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from string import Formatter
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..graph import Node, Scope
from ..operators.merge import Add, Multiply
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm
from ..operators.pooling import GlobalPool
from .fresh import BATCH, fresh, seeded

if TYPE_CHECKING:
    from torch import Tensor, nn

STEP = 0.01
"""a: how far x + a e lies from x, as in the released code."""


def zen(architecture: Architecture, seed: int = 0) -> float:
    """The score from one batch of inputs; f(x) is the map that the head gets."""
    import torch
    from torch.nn.init import normal_

    with seeded(seed), torch.no_grad():
        net, _ = fresh(architecture, start=normal_)
        x = torch.randn(BATCH, *architecture.input)
        moved = x + STEP * torch.randn(BATCH, *architecture.input)
        root = architecture.trace()
        variances: list[Tensor] = []
        change = features(net, root, x, variances.append) - features(net, root, moved)
        distance = float(change.double().flatten(1).norm(dim=1).mean())
        divided = sum(math.log(float(variance)) / 2 for variance in variances)
        return math.log(distance) + divided if distance > 0 else -math.inf


def features(
    net: nn.Module, root: Scope, x: Tensor, see: Callable[[Tensor], None] | None = None
) -> Tensor:
    """The map that the head gets; ``see`` is told of every norm on the way the mean variance that
    it divides by."""
    (inputs,), (head,) = root.inputs, [part for part in root.children if part.name == "head"]
    output = head.inputs[0].name
    values = {inputs.name: x}
    for node, reads in main_layers(root, output):
        given = [values[name] for name in reads]
        if len(given) < len(node.inputs):
            (values[node.name],) = given
            continue
        if see is not None and isinstance(node.op, BatchNorm | LayerNorm | GroupNorm):
            see(_variance(node.op, given[0]))
        values[node.name] = _apply(net, node, given)
    return values[output]


def main_layers(root: Scope, output: str) -> list[tuple[Node, tuple[str, ...]]]:
    """The layers that ``output`` is computed by without residual links and squeezed gates, in
    order, with what each still reads; one that lost a branch passes the other on.

    Of branches that are added the one with most layers that contract stays (or all that have as
    many); of factors those that come from a map stay.
    """
    depth = {value.name: 0 for value in root.inputs}
    squeezed: set[str] = set()
    kept: dict[str, tuple[Node, tuple[str, ...]]] = {}
    for node in root.nodes():
        names = tuple(value.name for value in node.inputs)
        reads = names
        if isinstance(node.op, Add):
            longest = max(depth[name] for name in names)
            reads = tuple(name for name in names if depth[name] == longest)
        elif isinstance(node.op, Multiply):
            reads = tuple(name for name in names if name not in squeezed) or names
        if isinstance(node.op, GlobalPool) or squeezed.issuperset(reads):
            squeezed.add(node.name)
        contracts = node.op.fan_in(*node.x) is not None
        depth[node.name] = max(depth[name] for name in reads) + contracts
        kept[node.name] = node, reads
    needed, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name in kept and name not in needed:
            needed.add(name)
            waiting += kept[name][1]
    return [step for name, step in kept.items() if name in needed]


def _variance(norm: BatchNorm | LayerNorm | GroupNorm, x: Tensor) -> Tensor:
    """What a norm divides by, squared: the mean of the variances it takes."""
    if isinstance(norm, BatchNorm):
        own = x.transpose(0, 1).flatten(1)
    elif isinstance(norm, LayerNorm):
        own = x.movedim(1, -1).flatten(0, -2)
    else:
        own = x.reshape(len(x) * norm.groups, -1)
    return own.var(dim=1, unbiased=False).mean()


def _apply(net: nn.Module, node: Node, given: Sequence[Tensor]) -> Tensor:
    """A layer's own line of forward(), as the built network has it."""
    import torch

    line = node.op.forward(*node.x)
    names = [f"x{i}" for i in range(len(given))]
    numbers = {
        field: getattr(node.op, field)
        for _, field, _, _ in Formatter().parse(line)
        if field and not field.isdigit() and field != "module"
    }
    known = {"torch": torch, **dict(zip(names, given, strict=True))}
    if node.op.module(*node.x) is not None:
        known["module"] = net.get_submodule(node.name)
    result: Tensor = eval(line.format(*names, module="module", **numbers), known)
    return result
