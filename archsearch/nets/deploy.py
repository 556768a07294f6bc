"""The deployed network as a module: the generated class of the merged graph, with merged weights.

``merge`` says which layers are left and where their weights come from; here that is computed, in
double precision, and stored in the type of the trained network.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..architecture import Architecture
from ..errors import UserError
from ..merge import Affine, Bypassed, Followed, Plain, Preceded, Source, Stored, Summed
from ..merge import deployed as deployed_form
from ..operators.merge import LayerScale
from ..operators.normalization import BatchNorm

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights: TypeAlias = "dict[str, Tensor]"
"""Tensors of one layer by their names in it; a filter's are ``weight`` and, maybe, ``bias``."""


def deploy(net: nn.Module, architecture: Architecture) -> nn.Module:
    """The deployed form of a trained network, in evaluation mode; ``net`` stays as it is.

    It computes what ``net.eval()`` does, to rounding. Its type and device are those of the first
    parameter. Raises ``UserError`` where ``net`` is no network of this architecture.
    """
    import torch

    from .build import build

    with torch.device("meta"):
        _check(net.state_dict(), build(architecture).state_dict())
    like = next(net.parameters())
    with torch.random.fork_rng(devices=[]):
        merged = build(architecture, deployed=True).to(like.device, like.dtype)
    merged.load_state_dict(deployed_state(net, architecture))
    return merged.eval()


def deployed_state(net: nn.Module, architecture: Architecture) -> Weights:
    """The state dict of the deployed form, in double precision."""
    import torch

    with torch.no_grad():
        return {
            f"{layer}.{name}": tensor
            for layer, source in deployed_form(architecture.trace()).weights.items()
            for name, tensor in _weights(net, source).items()
        }


def _check(found: Weights, expected: Weights) -> None:
    for name in sorted(found.keys() | expected.keys()):
        theirs, mine = (tuple(s[name].shape) if name in s else None for s in (found, expected))
        if theirs != mine:
            raise UserError(
                f"{name} has the shape {theirs} in the network and {mine} in the architecture:"
                " give the architecture that the network was built from"
            )


def _weights(net: nn.Module, source: Source) -> Weights:
    """The weights of a deployed layer from those of the trained network."""
    match source:
        case Stored(layer, leave_out):
            state = _layer(net, layer).state_dict()
            return {name: tensor for name, tensor in state.items() if name not in leave_out}
        case Plain(layer):
            return cast("Callable[[], Weights]", _layer(net, layer).merged)()
        case Followed(filter, by):
            return _followed(_weights(net, filter), *_affine(net, by))
        case Preceded(filter, by):
            return _preceded(_weights(net, filter), source, *_affine(net, by))
        case Bypassed(filter, by):
            affine = _affine(net, by) if by is not None else (None, None)
            return _bypassed(_weights(net, filter), *affine)
        case Summed(_, parts):
            return _summed(source, *(_weights(net, part.filter) for part in parts))


def _layer(net: nn.Module, name: str) -> nn.Module:
    return deepcopy(net.get_submodule(name)).cpu().double()


def _affine(net: nn.Module, affine: Affine) -> tuple[Tensor | None, Tensor | None]:
    """Factors and summands, one per channel; None where there are none."""
    state = _layer(net, affine.layer).state_dict()
    if affine.kind is LayerScale:
        return state["weight"], None
    if affine.kind is not BatchNorm:
        return None, state["bias"]
    factor = state["weight"] * (state["running_var"] + affine.eps).rsqrt()
    return factor, state["bias"] - state["running_mean"] * factor


def _followed(weights: Weights, factor: Tensor | None, summand: Tensor | None) -> Weights:
    """f (W x + b) + s = (f W) x + (f b + s)."""
    weight, bias = weights["weight"], weights.get("bias")
    if factor is not None:
        weight = weight * factor.view(-1, *[1] * (weight.dim() - 1))
        bias = bias * factor if bias is not None else None
    return _filter(weight, bias, summand)


def _preceded(
    weights: Weights, how: Preceded, factor: Tensor | None, summand: Tensor | None
) -> Weights:
    """W (f x + s) + b = (W f) x + (W s + b)."""
    weight, added = weights["weight"], None
    outputs, inputs = weight.shape[:2]

    def seen(numbers: Tensor) -> Tensor:
        """One number per input of every output."""
        of_group = numbers.repeat_interleave(how.repeats).view(how.groups, inputs)
        rows = of_group.repeat_interleave(outputs // how.groups, 0)
        return rows.view(outputs, inputs, *[1] * (weight.dim() - 2))

    if summand is not None:
        added = (weight * seen(summand)).flatten(1).sum(1)
    if factor is not None:
        weight = weight * seen(factor)
    return _filter(weight, weights.get("bias"), added)


def _bypassed(weights: Weights, factor: Tensor | None, summand: Tensor | None) -> Weights:
    """W x + b + f x + s: the factors (one, where there are none) join the middle taps."""
    import torch

    weight = weights["weight"].clone()
    outputs, inputs = weight.shape[:2]
    channel = torch.arange(outputs)  # of which each sees itself as one of its group's inputs
    middle: tuple[Any, ...] = tuple(size // 2 for size in weight.shape[2:])
    weight[(channel, channel % inputs, *middle)] += 1 if factor is None else factor
    return _filter(weight, weights.get("bias"), summand)


def _summed(how: Summed, *filters: Weights) -> Weights:
    """Kernels added tap by tap, in a larger one that has the taps of both."""
    outputs, inputs = filters[0]["weight"].shape[:2]
    total = filters[0]["weight"].new_zeros(outputs, inputs, *how.size)
    for weights, part in zip(filters, how.parts, strict=True):
        kernel = weights["weight"]
        taps: tuple[Any, ...] = tuple(
            slice(start, start + step * (size - 1) + 1, step)
            for start, step, size in zip(part.start, part.step, kernel.shape[2:], strict=True)
        )
        total[(..., *taps)] += kernel
    return _filter(total, *(weights.get("bias") for weights in filters))


def _filter(weight: Tensor, *biases: Tensor | None) -> Weights:
    given = [bias for bias in biases if bias is not None]
    return {"weight": weight} | ({"bias": sum(given[1:], given[0])} if given else {})
