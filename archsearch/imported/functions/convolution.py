"""Convolutions and linear layers."""

from __future__ import annotations

from typing import Any

from ...operators.convolution import Convolution
from ...operators.linear import Flatten, Linear
from ..calls import Held
from ..reader import Functions, Layers, Reader, as_map, plain
from ..steps import CannotLay, CannotMap, View
from .settings import DIMENSIONS, one, per_dimension


def _convolution(
    reader: Reader,
    x: View,
    weight: Held,
    bias: Held | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> View:
    if not isinstance(weight, Held):
        raise CannotMap("its weights are computed, not held")
    dimensions = len(weight.shape) - 2
    step = as_map(x, dimensions)
    kernel, dilations = (
        per_dimension(weight.shape[2:], dimensions),
        per_dimension(dilation, dimensions),
    )
    strides = per_dimension(stride, dimensions)
    keeping = tuple(d * (k - 1) for k, d in zip(kernel, dilations, strict=True))
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(n % 2 for n in keeping):
            raise CannotMap("padding 'same' of an even kernel has no middle; pad by a number")
        padding = [n // 2 for n in keeping]
    pads = per_dimension(padding, dimensions)
    if padding_mode != "zeros" and any(pads):
        raise CannotMap(f"padding_mode {padding_mode!r}; only 'zeros' is known")
    odd = all(k % 2 for k in kernel)
    keeps = odd and tuple(2 * p for p in pads) == keeping
    channels = step.shape.channels
    op = Convolution(
        weight.shape[0],
        one(kernel),
        one(strides),
        one(dilations),
        groups=groups if groups not in (1, channels) else None,
        group_size=1 if groups == channels > 1 else None,
        padding=None if keeps else one(pads),
        bias=bias is not None,
    )
    return reader.like(x, reader.add(op, step, weights={"weight": weight, "bias": bias}))


def _linear(reader: Reader, x: View, weight: Held, bias: Held | None = None) -> View:
    step = plain(x)
    if x.channel_axis != x.dimensions - 1:
        raise CannotLay("a linear layer over positions; only one over channels is known")
    weights = {"weight": weight, "bias": bias}
    if step.shape.positions > 1:
        pointwise = Convolution(weight.shape[0], bias=bias is not None)
        return reader.like(x, reader.add(pointwise, step, weights=weights))
    if step.shape.dimensions and step not in reader.unmapped:
        step = reader.add(Flatten(), step, name="flatten")
        step.name = "flatten"
    return reader.like(
        x, reader.add(Linear(weight.shape[0], bias is not None), step, weights=weights)
    )


FUNCTIONS: Functions = {
    **{f"conv{n}d": _convolution for n in DIMENSIONS},
    "linear": _linear,
}

_SETTINGS = ("weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode")
LAYERS: Layers = {
    **{f"Conv{n}d": (f"conv{n}d", _SETTINGS) for n in DIMENSIONS},
    "Linear": ("linear", ("weight", "bias")),
}
