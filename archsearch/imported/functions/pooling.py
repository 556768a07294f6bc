"""Pooling: by windows, to a size, over the whole map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...operators.pooling import AvgPool, GlobalPool, MaxPool
from ..reader import Functions, Layers, Reader, as_map, plain, shown
from ..steps import CannotLay, CannotMap, View
from .layout import reshape
from .settings import DIMENSIONS, one, per_dimension

_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
"""Settings in the order of PyTorch's functions."""


@dataclass(frozen=True)
class _Windows:
    """Settings of either pooling, with PyTorch's defaults."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    return_indices: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None


def _pool(
    cls: type[MaxPool | AvgPool], order: Sequence[str], dimensions: int
) -> Callable[..., View]:
    def read(reader: Reader, x: View, *args: Any, **named: Any) -> View:
        own = _Windows(**dict(zip(order, args, strict=False)), **named)
        pads = per_dimension(own.padding, dimensions)
        if any(n != 1 for n in per_dimension(own.dilation, dimensions)) or own.return_indices:
            raise CannotMap("dilation or indices of a pooling; neither is known")
        if own.divisor_override is not None:
            raise CannotMap("divisor_override; only the mean is known")
        if not own.count_include_pad and any(pads):
            raise CannotMap("count_include_pad=False with padding; only padding that counts is")
        step = as_map(x, dimensions)
        kernel = per_dimension(own.kernel_size, dimensions)
        stepped = own.stride not in (None, [], ())
        strides = per_dimension(own.stride, dimensions) if stepped else kernel
        if cls is AvgPool and kernel == step.shape.size and not any(pads):
            return reader.like(x, reader.add(GlobalPool(), step, name="pool"))
        op = cls(one(kernel), one(strides), one(pads))
        if own.ceil_mode and op.shape(step.shape).size != tuple(reader.call.shape[2:]):
            raise CannotMap("ceil_mode=True adds a window here; give a padding instead")
        return reader.like(x, reader.add(op, step, name="pool"))

    return read


def _adaptive_pool(cls: type[MaxPool | AvgPool], dimensions: int) -> Callable[..., View]:
    def read(reader: Reader, x: View, output_size: Any, return_indices: bool = False) -> View:
        step = as_map(x, dimensions)
        size = step.shape.size
        wanted = tuple(
            n if w is None else w
            for w, n in zip(per_dimension(output_size, dimensions), size, strict=True)
        )
        if cls is AvgPool and set(wanted) == {1}:
            return reader.like(x, reader.add(GlobalPool(), step, name="pool"))
        if wanted == size:
            return x
        if any(n % w for n, w in zip(size, wanted, strict=True)):
            raise CannotMap(
                f"windows of unequal size make {shown(wanted)} of {shown(size)}; give an input"
                " that divides, or pool to 1"
            )
        kernel = one(tuple(n // w for n, w in zip(size, wanted, strict=True)))
        return reader.like(x, reader.add(cls(kernel, kernel), step, name="pool"))

    return read


def _mean(reader: Reader, x: View, dim: Any = None, keepdim: bool = False, **more: Any) -> View:
    dim = more.get("axis", dim)
    step = plain(x)
    dims = [dim] if isinstance(dim, int) else dim
    if dims is None or more.get("dtype") is not None:
        raise CannotMap("a mean over everything, or in another type")
    over = {d % x.dimensions for d in dims}
    if over != set(range(1, x.dimensions)) - {x.channel_axis}:
        raise CannotLay("a mean over other axes than all positions")
    if not step.shape.dimensions:
        return reshape(reader, x)
    pooled = reader.like(x, reader.add(GlobalPool(), step, name="pool"))
    return pooled if keepdim else replace(pooled, channel_axis=1, dimensions=2)


FUNCTIONS: Functions = {
    **{f"max_pool{n}d": _pool(MaxPool, _MAX, n) for n in DIMENSIONS},
    **{f"avg_pool{n}d": _pool(AvgPool, _AVG, n) for n in DIMENSIONS},
    **{f"adaptive_max_pool{n}d": _adaptive_pool(MaxPool, n) for n in DIMENSIONS},
    **{f"adaptive_avg_pool{n}d": _adaptive_pool(AvgPool, n) for n in DIMENSIONS},
    "mean": _mean,
}

LAYERS: Layers = {
    **{f"MaxPool{n}d": (f"max_pool{n}d", _MAX) for n in DIMENSIONS},
    "AvgPool1d": ("avg_pool1d", _AVG[:-1]),
    **{f"AvgPool{n}d": (f"avg_pool{n}d", _AVG) for n in DIMENSIONS[1:]},
    **{
        f"Adaptive{kind}Pool{n}d": (f"adaptive_{kind.lower()}_pool{n}d", ("output_size",))
        for kind in ("Avg", "Max")
        for n in DIMENSIONS
    },
}
