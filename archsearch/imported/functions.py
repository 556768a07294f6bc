"""What every function of PyTorch's is among our operators: one reading each, and the table.

The settings that an operator lacks are refused here, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..operator import Operator
from ..operators.activation import (
    GELU,
    Activation,
    Hardsigmoid,
    Hardswish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from ..operators.convolution import Convolution
from ..operators.dropout import Dropout
from ..operators.linear import Flatten, Linear
from ..operators.merge import Add, Concat, LayerScale, Multiply, Split
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm
from ..operators.pooling import AvgPool, GlobalPool, MaxPool
from ..operators.resampling import MODES, PixelShuffle, Resize, Upsample
from .calls import BATCH, Held, Mode
from .reader import Reader, as_map, plain, shown
from .steps import CannotLay, CannotMap, Step, View, lift, view_of


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
    kernel, dilations = _tuple(weight.shape[2:], dimensions), _tuple(dilation, dimensions)
    strides = _tuple(stride, dimensions)
    keeping = tuple(d * (k - 1) for k, d in zip(kernel, dilations, strict=True))
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(n % 2 for n in keeping):
            raise CannotMap("padding 'same' of an even kernel has no middle; pad by a number")
        padding = [n // 2 for n in keeping]
    pads = _tuple(padding, dimensions)
    if padding_mode != "zeros" and any(pads):
        raise CannotMap(f"padding_mode {padding_mode!r}; only 'zeros' is known")
    odd = all(k % 2 for k in kernel)
    keeps = odd and tuple(2 * p for p in pads) == keeping
    channels = step.shape.channels
    op = Convolution(
        weight.shape[0],
        _one(kernel),
        _one(strides),
        _one(dilations),
        groups=groups if groups not in (1, channels) else None,
        group_size=1 if groups == channels > 1 else None,
        padding=None if keeps else _one(pads),
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


def _batch_norm(
    reader: Reader,
    x: View,
    running_mean: Held | None,
    running_var: Held | None,
    weight: Held | None = None,
    bias: Held | None = None,
    training: Any = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    counter: Held | None = None,
) -> View:
    if x.channel_axis != 1:
        raise CannotLay("it normalises another axis than the channels")
    if running_mean is None or running_var is None:
        raise CannotMap("track_running_stats=False; statistics must be tracked")
    if momentum is None:
        raise CannotMap("momentum=None; the mean over all batches is not known, give a number")
    if not isinstance(training, Mode):
        raise CannotMap("statistics that are the same in training and evaluation")
    weights = {"weight": weight, "bias": bias, "running_mean": running_mean}
    weights["running_var"] = running_var
    view = reader.on(x, BatchNorm(float(eps), float(momentum)), weights=weights)
    if isinstance(counter, Held):
        view.step.weights["num_batches_tracked"] = counter.name
    return view


def _batch_norm_aten(
    reader: Reader, x: View, weight: Any, bias: Any, mean: Any, var: Any, *settings: Any
) -> View:
    """As torch.export writes it; the number of batches is then told by the name of the mean."""
    training, momentum, eps, *_ = settings
    view = _batch_norm(reader, x, mean, var, weight, bias, training, momentum, eps)
    number = mean.name.removesuffix("running_mean") + "num_batches_tracked"
    if number in reader.state:
        view.step.weights["num_batches_tracked"] = number
    return view


def _any_batch_norm(reader: Reader, x: View, *args: Any, **kwargs: Any) -> View:
    if len(args) > 4:
        return _batch_norm_aten(reader, x, *args)
    return _batch_norm(reader, x, *args, **kwargs)


def _layer_batch_norm(reader: Reader, x: View, **settings: Any) -> View:
    return _batch_norm(reader, x, training=Mode(), **settings)


def _layer_norm(
    reader: Reader,
    x: View,
    normalized_shape: Sequence[int],
    weight: Held | None = None,
    bias: Held | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> View:
    over_channels = tuple(normalized_shape) == (plain(x).shape.channels,)
    if not over_channels or x.channel_axis != x.dimensions - 1:
        raise CannotLay("it normalises positions; only channels are known")
    return reader.on(x, LayerNorm(float(eps)), weights={"weight": weight, "bias": bias})


def _group_norm(
    reader: Reader,
    x: View,
    num_groups: int,
    weight: Held | None = None,
    bias: Held | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> View:
    if x.channel_axis != 1:
        raise CannotLay("it groups another axis than the channels")
    op = GroupNorm(num_groups, float(eps))
    return reader.on(x, op, weights={"weight": weight, "bias": bias})


def _instance_norm(
    reader: Reader,
    x: View,
    running_mean: Held | None = None,
    running_var: Held | None = None,
    weight: Held | None = None,
    bias: Held | None = None,
    use_input_stats: Any = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *exported: Any,
) -> View:
    if exported:  # the order of its operator
        weight, bias, running_mean, running_var = running_mean, running_var, weight, bias
    if running_mean is not None or use_input_stats is not True:
        raise CannotMap("instance norm with tracked statistics")
    return _group_norm(reader, x, plain(x).shape.channels, weight, bias, eps)


def _activation(cls: Callable[[], Activation]) -> Callable[..., View]:
    def read(reader: Reader, x: View) -> View:
        return reader.on(x, cls())

    return read


def _relu6(reader: Reader, x: View) -> View:
    if isinstance(x, View) and x.pending == "x + 3":
        return replace(x, pending="relu6(x + 3)")
    return reader.on(x, ReLU6())


def _clamp(reader: Reader, x: View, low: Any = None, high: Any = None, **more: Any) -> View:
    low, high = (
        more.get("min", more.get("min_val", low)),
        more.get("max", more.get("max_val", high)),
    )
    if (low, high) == (0, 6):
        return _relu6(reader, x)
    if (low, high) == (0, None):
        return reader.on(x, ReLU())
    raise CannotMap(f"limits of {low} and {high}; 0 and 6 (ReLU6) are known")


def _gelu(reader: Reader, x: View, approximate: str = "none") -> View:
    if approximate != "none":
        raise CannotMap(f"approximate={approximate!r}; only the exact GELU is known")
    return reader.on(x, GELU())


def _add(reader: Reader, x: Any, y: Any, alpha: float = 1) -> View:
    if not isinstance(x, View):
        x, y = y, x
    if isinstance(y, int | float):
        if y * alpha == 0:
            return _as_view(x)
        if y * alpha == 3:
            return replace(_copy(reader, _plain_view(x)), pending="x + 3")
        raise CannotMap(f"a constant is added ({y * alpha:g})")
    if isinstance(y, Held):
        raise CannotMap(f"{y.name} is added; only the bias of a layer can be")
    if alpha != 1:
        raise CannotMap(f"alpha={alpha:g}; only a plain sum is known")
    a, b = plain(x), plain(y)
    if x.shape != y.shape:
        raise CannotLay(f"sizes {shown(x.shape)} and {shown(y.shape)} are added")
    return reader.like(x, reader.add(Add(), *_meet(a, b)))


def _multiply(reader: Reader, x: Any, y: Any) -> View:
    if not isinstance(x, View):
        x, y = y, x
    x = _as_view(x)
    if isinstance(y, int | float):
        return _times(reader, x, float(y))
    if isinstance(y, Held):
        return _layer_scale(reader, x, y)
    y = _as_view(y)
    if y.pending == "relu6(x + 3)" and x.step is y.step and not x.pending:
        return _as_view(replace(y, pending="x relu6(x + 3)"))
    if x.step.shape.positions == 1 < y.step.shape.positions:
        x, y = y, x
    gate = plain(replace(y, spread=False))
    step = plain(x)
    spread = y.spread and gate.shape.positions == 1
    if (not spread and x.dimensions != y.dimensions) or x.channel_axis != y.channel_axis:
        raise CannotLay(f"sizes {shown(x.shape)} and {shown(y.shape)} are multiplied")
    if gate.shape.positions == 1 < step.shape.positions:
        gate = lift(gate, step.shape.dimensions)
    elif x.shape != y.shape:
        raise CannotLay(f"sizes {shown(x.shape)} and {shown(y.shape)} are multiplied")
    else:
        step, gate = _meet(step, gate)
    return reader.like(x, reader.add(Multiply(), step, gate))


def _times(reader: Reader, x: View, factor: float) -> View:
    known = {"relu6(x + 3)": Hardsigmoid(), "x relu6(x + 3)": Hardswish()}
    if x.pending in known and abs(6 * factor - 1) < 1e-12:
        clean = replace(x, pending="")
        return reader.on(clean, known[x.pending], name=type(known[x.pending]).__name__.lower())
    if factor == 1:
        return _as_view(x)
    raise CannotMap(f"it is multiplied by the constant {factor:g}")


def _divide(reader: Reader, x: Any, y: Any, **more: Any) -> View:
    if not isinstance(x, View) or not isinstance(y, int | float) or more:
        raise CannotMap("no operator of archsearch divides")
    return _times(reader, x, 1 / y)


def _layer_scale(reader: Reader, x: View, factor: Held) -> View:
    expected = [1] * x.dimensions
    expected[x.channel_axis] = plain(x).shape.channels
    padded = (*(1,) * (x.dimensions - len(factor.shape)), *factor.shape)
    if list(padded) != expected:
        raise CannotMap(f"{factor.name} of {shown(factor.shape)} is no factor per channel")
    return reader.on(
        x, LayerScale(), name=factor.name.rpartition(".")[2], weights={"weight": factor}
    )


def _concat(reader: Reader, tensors: Sequence[View], dim: int = 0, **more: Any) -> View:
    dim = more.get("axis", dim)
    first, steps = tensors[0], [plain(x) for x in tensors]
    axes = {(x.channel_axis, x.dimensions) for x in tensors}
    if axes != {(dim % first.dimensions, first.dimensions)}:
        raise CannotLay("another axis than the channels is concatenated")
    if len(steps) == 1:
        return first
    return reader.like(first, reader.add(Concat(), *_meet(*steps)))


def _split(reader: Reader, x: View, size: Any, dim: int = 0) -> list[View]:
    channels = _channels(x, dim)
    sizes = size
    if isinstance(size, int):
        sizes = [min(size, channels - start) for start in range(0, channels, size)]
    stops = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [_part(reader, x, b - a, b) for a, b in zip(sizes, stops, strict=True)]


def _chunk(reader: Reader, x: View, chunks: int, dim: int = 0) -> list[View]:
    return _split(reader, x, -(-_channels(x, dim) // chunks), dim)


def _narrow(reader: Reader, x: View, dim: int, start: int, length: int) -> View:
    _channels(x, dim)
    return _part(reader, x, start, start + length)


def _slice(
    reader: Reader,
    x: View,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> View:
    """As torch.export writes ``x[:, a:b]``."""
    whole = start in (None, 0) and (end is None or end > 2**31) and step == 1
    if whole:
        return x
    if step != 1:
        raise CannotMap("it takes every other of something; only channels in a row are known")
    a, b, _ = slice(start, end).indices(_channels(x, dim))
    return _part(reader, x, a, b)


def _item(reader: Reader, x: Any, index: Any) -> Any:
    if isinstance(x, list):
        return x[index]
    indices = list(index) if isinstance(index, list | tuple) else [index]
    if ... in indices:
        place = indices.index(...)
        indices[place : place + 1] = [slice(None)] * (x.dimensions - len(indices) + 1)
    for axis, place in enumerate(indices):
        if not isinstance(place, slice):
            raise CannotMap("it takes single numbers by their place")
        x = _slice(reader, x, axis, place.start, place.stop, place.step or 1)
    return x


def _part(reader: Reader, x: View, start: int, stop: int) -> View:
    if (start, stop) == (0, x.step.shape.channels):
        return x
    return reader.on(x, Split(start, stop), name="part")


def _channels(x: View, dim: int) -> int:
    if dim % x.dimensions != x.channel_axis:
        raise CannotLay("another axis than the channels is split")
    return int(plain(x).shape.channels)


def _pool(cls: type[MaxPool | AvgPool], dimensions: int) -> Callable[..., View]:
    def max_pool(
        reader: Reader,
        x: View,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> View:
        if any(n != 1 for n in _tuple(dilation, dimensions)) or return_indices:
            raise CannotMap("dilation or indices of a pooling; neither is known")
        return pooled(reader, x, kernel_size, stride, padding, ceil_mode)

    def avg_pool(
        reader: Reader,
        x: View,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> View:
        if divisor_override is not None:
            raise CannotMap("divisor_override; only the mean is known")
        if not count_include_pad and any(_tuple(padding, dimensions)):
            raise CannotMap("count_include_pad=False with padding; only padding that counts is")
        return pooled(reader, x, kernel_size, stride, padding, ceil_mode)

    def pooled(
        reader: Reader, x: View, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool
    ) -> View:
        step = as_map(x, dimensions)
        kernel = _tuple(kernel_size, dimensions)
        strides = kernel if stride in (None, [], ()) else _tuple(stride, dimensions)
        pads = _tuple(padding, dimensions)
        if cls is AvgPool and kernel == step.shape.size and not any(pads):
            return reader.like(x, reader.add(GlobalPool(), step, name="pool"))
        op = cls(_one(kernel), _one(strides), _one(pads))
        if ceil_mode and op.shape(step.shape).size != tuple(reader.call.shape[2:]):
            raise CannotMap("ceil_mode=True adds a window here; give a padding instead")
        return reader.like(x, reader.add(op, step, name="pool"))

    return max_pool if cls is MaxPool else avg_pool


def _adaptive_pool(cls: type[MaxPool | AvgPool], dimensions: int) -> Callable[..., View]:
    def read(reader: Reader, x: View, output_size: Any, return_indices: bool = False) -> View:
        step = as_map(x, dimensions)
        size = step.shape.size
        wanted = tuple(
            n if w is None else w
            for w, n in zip(_tuple(output_size, dimensions), size, strict=True)
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
        kernel = _one(tuple(n // w for n, w in zip(size, wanted, strict=True)))
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
        return _reshape(reader, x)
    pooled = reader.like(x, reader.add(GlobalPool(), step, name="pool"))
    return pooled if keepdim else replace(pooled, channel_axis=1, dimensions=2)


def _reshape(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    """Any function that lays the same numbers out otherwise, by the sizes it gives."""
    step, (batch, *rest) = plain(x), reader.call.shape
    if batch != BATCH:
        raise CannotLay("it mixes the batch with other axes")
    wanted = (0, *rest)
    if wanted == x.shape:
        return x
    channels, positions = step.shape.channels, step.shape.positions
    if positions == 1 and sorted(rest) == sorted([channels] + [1] * (len(rest) - 1)):
        return replace(x, channel_axis=1 + rest.index(channels), dimensions=len(wanted))
    merged = replace(x, channel_axis=1, dimensions=3)
    if x.channel_axis == 1 and positions > 1 and wanted in (merged.shape, view_of(step).shape):
        return replace(x, channel_axis=1, dimensions=len(wanted))
    if x.channel_axis == 1 and rest == [channels * positions]:
        flat = reader.add(Flatten(), step, name="flatten")
        return View(flat, 1, 2, x.storage)
    raise CannotLay(f"it lays {shown(x.shape)} numbers out as {shown(wanted)}")


def _permute(reader: Reader, x: View, *dims: Any, **more: Any) -> View:
    order = more.get("dims", dims[0] if dims and isinstance(dims[0], list | tuple) else dims)
    return _reordered(reader, x, [d % x.dimensions for d in order])


def _transpose(reader: Reader, x: View, dim0: int, dim1: int) -> View:
    order = list(range(x.dimensions))
    a, b = dim0 % x.dimensions, dim1 % x.dimensions
    order[a], order[b] = b, a
    return _reordered(reader, x, order)


def _movedim(reader: Reader, x: View, source: int, destination: int) -> View:
    order = [d for d in range(x.dimensions) if d != source % x.dimensions]
    order.insert(destination % x.dimensions, source % x.dimensions)
    return _reordered(reader, x, order)


def _reordered(reader: Reader, x: View, order: list[int]) -> View:
    positions = [axis for axis in order[1:] if axis != x.channel_axis]
    if order[0] != 0 or (positions != sorted(positions) and plain(x).shape.positions > 1):
        raise CannotLay("it exchanges positions or the batch; only channels can be moved")
    return replace(x, channel_axis=order.index(x.channel_axis))


def _expand(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    if x.shape == tuple(reader.call.shape):
        return x
    if x.step.shape.positions != 1:
        raise CannotLay("more than one position is spread over a map")
    return replace(x, spread=True)


def _interpolate(
    reader: Reader,
    x: View,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> View:
    step = plain(x)
    dimensions = step.shape.dimensions
    if x.channel_axis != 1 or mode != MODES.get(dimensions) or align_corners or antialias:
        raise CannotMap(
            f"mode {mode!r}, align_corners={bool(align_corners)}; only linear interpolation between"
            " areas (align_corners=False) is known"
        )
    op: Operator
    if size is not None:
        op = Resize(size=_one(_tuple(size, dimensions)))
    else:
        factors = set(_tuple(scale_factor, dimensions))
        if len(factors) > 1 or any(f != int(f) for f in factors):
            raise CannotMap(f"scale_factor {scale_factor}; only one whole number is known")
        op = Upsample(int(factors.pop()))
    return reader.like(x, reader.add(op, step))


def _pixel_shuffle(reader: Reader, x: View, upscale_factor: int) -> View:
    return reader.like(x, reader.add(PixelShuffle(upscale_factor), as_map(x, 2)))


def _pad(reader: Reader, x: View, pad: Sequence[int], *_: Any, **__: Any) -> View:
    if any(pad):
        raise CannotMap("padding by itself; let the layer behind it pad")
    return x


def _dropout(reader: Reader, x: View, p: float = 0.5, training: Any = True) -> View:
    if training is False or p == 0:
        return _as_view(x)
    if training is True and reader.call.module is None:
        raise CannotMap("dropout in evaluation too; give training=self.training")
    return reader.on(x, Dropout(float(p)))


def _no_channel_dropout(reader: Reader, x: View, p: float = 0.5, training: Any = True) -> View:
    if training is False or p == 0:
        return _as_view(x)
    raise CannotMap("dropout of whole channels; only that of single numbers is known")


def _same(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    return _as_view(x)


def _copy(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    reader.storages += 1
    return replace(_as_view(x), storage=reader.storages)


# -- small things --------------------------------------------------------------------------------
def _as_view(x: Any) -> View:
    if not isinstance(x, View):
        raise CannotMap("it reads what is not computed from the input")
    return x


def _plain_view(x: Any) -> View:
    plain(x)
    return _as_view(x)


def _meet(*steps: Step) -> list[Step]:
    most = max(step.shape.dimensions for step in steps)
    return [lift(step, most) if step.shape.positions == 1 else step for step in steps]


def _tuple(value: Any, dimensions: int) -> tuple[Any, ...]:
    if isinstance(value, tuple | list):
        return tuple(value) if len(value) == dimensions else tuple(value) * dimensions
    return (value,) * dimensions


def _one(values: tuple[Any, ...]) -> Any:
    """One number where it is the same in all dimensions."""
    return values[0] if len(set(values)) == 1 else values


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    "linear": _linear,
    "batch_norm": _any_batch_norm,
    "layer_batch_norm": _layer_batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "relu": _activation(ReLU),
    "relu6": _relu6,
    "silu": _activation(SiLU),
    "gelu": _gelu,
    "hardswish": _activation(Hardswish),
    "sigmoid": _activation(Sigmoid),
    "hardsigmoid": _activation(Hardsigmoid),
    "tanh": _activation(Tanh),
    **dict.fromkeys(("clamp", "clip", "hardtanh", "clamp_min"), _clamp),
    **dict.fromkeys(("add", "iadd"), _add),
    **dict.fromkeys(("mul", "imul", "multiply"), _multiply),
    **dict.fromkeys(("div", "truediv", "itruediv", "divide", "true_divide"), _divide),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "chunk": _chunk,
    "narrow": _narrow,
    "slice": _slice,
    "getitem": _item,
    **{f"max_pool{n}d": _pool(MaxPool, n) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": _pool(AvgPool, n) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptive_pool(MaxPool, n) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": _adaptive_pool(AvgPool, n) for n in (1, 2, 3)},
    "mean": _mean,
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"), _reshape),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("movedim", "moveaxis"), _movedim),
    **dict.fromkeys(("expand", "expand_as"), _expand),
    **dict.fromkeys(("interpolate", "upsample"), _interpolate),
    "pixel_shuffle": _pixel_shuffle,
    "pad": _pad,
    "dropout": _dropout,
    **dict.fromkeys(("dropout1d", "dropout2d", "dropout3d"), _no_channel_dropout),
    **dict.fromkeys(("contiguous", "identity"), _same),
    "clone": _copy,
}
"""PyTorch's functions and methods by name: the same under ``torch``, in ``torch.nn.functional``, as
methods of tensors and in exported programs."""

_NORM = ("weight", "bias", "eps")
_CONVOLUTION = (
    "weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode",
)  # fmt: skip
_BATCH_NORM = ("running_mean", "running_var", "num_batches_tracked=counter", "momentum", *_NORM)
_POOL = ("kernel_size", "stride", "padding", "ceil_mode")
_DIMENSIONS = (1, 2, 3)
LAYERS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"Conv{n}d": (f"conv{n}d", _CONVOLUTION) for n in _DIMENSIONS},
    "Linear": ("linear", ("weight", "bias")),
    **{f"BatchNorm{n}d": ("layer_batch_norm", _BATCH_NORM) for n in _DIMENSIONS},
    **{
        f"InstanceNorm{n}d": ("instance_norm", ("running_mean", "running_var", *_NORM))
        for n in _DIMENSIONS
    },
    "LayerNorm": ("layer_norm", ("normalized_shape", *_NORM)),
    "GroupNorm": ("group_norm", ("num_groups", *_NORM)),
    **{
        name: (name.lower(), ())
        for name in ("ReLU", "ReLU6", "SiLU", "Hardswish", "Sigmoid", "Hardsigmoid", "Tanh")
    },
    "GELU": ("gelu", ("approximate",)),
    "Hardtanh": ("hardtanh", ("min_val", "max_val")),
    **{
        f"MaxPool{n}d": (f"max_pool{n}d", (*_POOL, "dilation", "return_indices"))
        for n in _DIMENSIONS
    },
    **{f"AvgPool{n}d": (f"avg_pool{n}d", (*_POOL, "count_include_pad")) for n in _DIMENSIONS},
    **{
        f"Adaptive{kind}Pool{n}d": (f"adaptive_{kind.lower()}_pool{n}d", ("output_size",))
        for kind in ("Avg", "Max")
        for n in _DIMENSIONS
    },
    **dict.fromkeys(("Flatten", "Unflatten"), ("flatten", ())),
    "Identity": ("identity", ()),
    "Dropout": ("dropout", ("p",)),
    **{f"Dropout{n}d": (f"dropout{n}d", ("p",)) for n in _DIMENSIONS},
    **dict.fromkeys(
        ("Upsample", "UpsamplingBilinear2d"),
        ("interpolate", ("size", "scale_factor", "mode", "align_corners")),
    ),
    "PixelShuffle": ("pixel_shuffle", ("upscale_factor",)),
}
"""Layers of torch.nn: the function each calls, and which of its settings and tensors go there (by
another name where one follows an ``=``)."""
