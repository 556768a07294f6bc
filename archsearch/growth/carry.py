"""The weights of a grown network and what an optimiser remembers of them, from those of the old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from ..architecture import Architecture
from ..errors import UserError
from .carried import Carried
from .fresh import Fresh, started
from .plan import Growth

State: TypeAlias = Mapping[str, Tensor]


def check_weights(architecture: Architecture, state: State) -> None:
    """Raise ``UserError`` naming the first tensor that is not one of the network's."""
    nodes = {node.name: node for node in architecture.trace().nodes()}
    expected = {
        f"{layer}.{name}": tuple(axis.size for axis in weight.axes)
        for layer, node in nodes.items()
        for name, weight in node.op.weights(*node.x).items()
    }
    for name in sorted(expected.keys() | state.keys()):
        theirs = tuple(state[name].shape) if name in state else None
        if name not in expected and name.rpartition(".")[0] in nodes:
            continue  # how many batches a norm has seen, say
        if (mine := expected.get(name)) != theirs:
            raise UserError(
                f"{name} has the shape {theirs} in the weights and {mine} in the architecture: they"
                " are of another network"
            )


@torch.no_grad()
def grown_state(growth: Growth, state: State, seed: int = 0) -> dict[str, Tensor]:
    """The state of the new network, which then computes what the old one does with ``state``.

    Tensors that stay as they are are those of ``state``, not copies. New filters and differences
    between copies are drawn by the ``seed``. Raises ``UserError`` for weights of another network.
    """
    check_weights(growth.old, state)
    like = next(tensor for tensor in state.values() if tensor.is_floating_point())
    fresh = Fresh(growth, seed, like)
    random = torch.Generator(like.device).manual_seed(seed)
    found = {}
    for name, carried in carried_weights(growth):
        old = state.get(carried.origin)
        if old is None:  # a bias that there was none of
            old = like.new_zeros([axis.size for axis in carried.old.axes])
        draw = partial(fresh.like, name, carried.layer, carried.weight, old)
        found[name] = carried.weights(old, draw, random)
    found = _adopted(growth, found) | dict(_untold(growth, state))
    for layer in (name for name in growth.nodes if name not in growth.layers):
        for short in fresh.names(layer):
            if (name := f"{layer}.{short}") not in found:
                found[name] = started(growth, fresh, layer, short)
    return found


@torch.no_grad()
def grown_moments(growth: Growth, moments: State, names: Mapping[str, int]) -> dict[str, Tensor]:
    """What an optimiser remembers of every weight, as ``NAME.KEY``; ``names`` tells the power of
    the gradient that each KEY averages (1 for momentum, 2 for Adam's second moments, 0 for what is
    no tensor of the weight's shape, like the number of steps).

    The gradient of a copy of a filter is its share of the filter's; that of a copy of an input is
    all of it. What is new starts without momentum, and with the mean second moment of its tensor.
    """
    found = {}
    for name, carried in carried_weights(growth):
        is_rewritten = carried.layer.replaced_by is not None and carried.weight.contracts
        if not carried.weight.trained or is_rewritten:
            continue
        for key, power in names.items():
            old = moments.get(f"{carried.origin}.{key}")
            if old is None:
                continue
            if not power:
                found[f"{name}.{key}"] = old
            else:
                found[f"{name}.{key}"] = carried.moments(old, power)
    return found


def carried_weights(growth: Growth) -> Iterator[tuple[str, Carried]]:
    """The weights of the layers that were there before, by their names in the new state."""
    for name, layer in growth.layers.items():
        for short, weight in layer.new.op.weights(*layer.new.x).items():
            place = layer.bias_in if short == "bias" and layer.bias_in else name
            yield f"{place}.{short}", Carried(layer, short, weight)


def _adopted(growth: Growth, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights, where operators stand in the place of plain ones: theirs."""
    for name, layer in growth.layers.items():
        if layer.replaced_by is not None:
            shorts = layer.new.op.weights(*layer.new.x)
            own = layer.replaced_by.adopted(
                {short: found.pop(f"{name}.{short}") for short in shorts}
            )
            found |= {f"{name}.{short}": tensor for short, tensor in own.items()}
    return found


def _untold(growth: Growth, state: State) -> Iterator[tuple[str, Tensor]]:
    """What layers hold beside the weights that their operators tell of: how many batches a norm has
    seen, say."""
    places = {layer.old.name: layer for layer in growth.layers.values()}
    for name, tensor in state.items():
        outer, _, short = name.rpartition(".")
        layer = places.get(outer)
        if layer is not None and short not in layer.old.op.weights(*layer.old.x):
            yield f"{layer.new.name}.{short}", tensor
