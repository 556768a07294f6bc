"""Growth undone: a smaller network in place of a larger one that uses no more than it has.

Nothing is approximated: channels go that nothing reads, taps and neighbours in a group that are
zero, and blocks whose branch is. Pruning is to make such networks; here they become small.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..architecture import Architecture
from ..graph import Node
from ..operator import Kind
from .carry import State, carried_weights, check_weights
from .channels import BoolArray, CannotGrow
from .inserted import Start
from .plan import Growth, plan


def unused_channels(architecture: Architecture, state: State) -> dict[str, BoolArray]:
    """For every value of a network, by the layer that gives it: the channels that no weight which
    is not zero ever reads."""
    scope = architecture.trace()
    nodes = list(scope.nodes())
    shapes = {value.name: value.shape for node in nodes for value in node.inputs}
    shapes[scope.output.name] = scope.output.shape
    found = {name: np.ones(shape.channels, dtype=bool) for name, shape in shapes.items()}
    found[scope.output.name][:] = False
    for node in reversed(nodes):
        behind = found.get(node.name, np.ones(node.shape.channels, dtype=bool))
        for i, value in enumerate(node.inputs):
            found[value.name] &= _unread(node, i, behind, state)
    return found


def _unread(node: Node, number: int, behind: BoolArray, state: State) -> BoolArray:
    """The channels of an input that a layer does not read, or only for channels that nothing behind
    it reads."""
    op, channels = node.op, node.x[number].channels
    if op.channels == "each" and number not in op.coefficients and not op.channel_order:
        return behind
    if op.channels == "flatten":
        return np.asarray(behind.reshape(channels, -1).all(1))
    read = np.ones(channels, dtype=bool)
    if op.channels == "new":
        read[:] = False
        for name, weight in op.weights(*node.x).items():
            kinds = [axis.kind for axis in weight.axes]
            if not weight.contracts:
                continue
            tensor = state[f"{node.name}.{name}"].detach()
            if Kind.IN in kinds:
                others = [dim for dim, kind in enumerate(kinds) if kind is not Kind.IN]
                read |= (tensor != 0).sum(others).bool().cpu().numpy()
            else:  # groups: output channels are the first axis, those of the group the second
                groups = channels // tensor.shape[1]
                whole = (tensor != 0).flatten(2).any(2).reshape(groups, -1, tensor.shape[1])
                read |= whole.any(1).flatten().cpu().numpy()
    return ~read


@torch.no_grad()
def shrunk_state(
    small: Architecture, large: Architecture, state: State
) -> tuple[Growth, dict[str, Tensor]]:
    """The state with which ``small`` computes what ``large`` does with ``state``; how ``large``
    would grow out of it. Raises ``CannotGrow`` naming the first weight that is in use and has no
    place in ``small``."""
    growth = plan(small, large, unused_channels(large, state))
    check_weights(large, state)
    for layer, start in growth.roles.starts.items():
        _check_start(growth, layer, start, state)
    found: dict[str, Tensor] = {}
    for name, own in carried_weights(growth):
        short, grown = name.rpartition(".")[2], own.layer
        if grown.replaced_by is not None:
            raise CannotGrow(f"{grown.new.name}: it is no plain operator any more")
        if short in grown.old.op.weights(*grown.old.x):
            found[own.origin] = own.undone(name, state[name])
        elif bool((state[name] != 0).any()):
            raise CannotGrow(f"{name} is not zero")
    places = {layer.new.name: layer for layer in growth.layers.values()}
    for name, tensor in state.items():
        outer, _, short = name.rpartition(".")
        if (kept := places.get(outer)) and short not in kept.new.op.weights(*kept.new.x):
            found[f"{kept.old.name}.{short}"] = tensor
    return growth, found


def _check_start(growth: Growth, layer: str, start: Start, state: Mapping[str, Tensor]) -> None:
    """Raise ``CannotGrow`` where an inserted layer is not what it started as any more."""
    node = growth.nodes[layer]
    if start is Start.IDENTITY:
        raise CannotGrow(f"{layer}: that it is the identity is not told by its weights alone")
    for name, weight in node.op.weights(*node.x).items():
        if weight.trained and bool((state[f"{layer}.{name}"] != 0).any()):
            raise CannotGrow(f"{layer}.{name} is not zero: its branch is in use")
