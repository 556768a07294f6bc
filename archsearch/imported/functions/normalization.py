"""Norms: over the batch, the channels, groups of them, or every channel by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...operators.normalization import BatchNorm, GroupNorm, LayerNorm
from ..calls import Held, Mode
from ..reader import Functions, Layers, Reader, plain
from ..steps import CannotLay, CannotMap, View
from .settings import DIMENSIONS


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


FUNCTIONS: Functions = {
    "batch_norm": _any_batch_norm,
    "layer_batch_norm": _layer_batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
}

_AFFINE = ("weight", "bias", "eps")
_STATISTICS = ("running_mean", "running_var")
_BATCH_NORM = (*_STATISTICS, "num_batches_tracked=counter", "momentum", *_AFFINE)
LAYERS: Layers = {
    **{f"BatchNorm{n}d": ("layer_batch_norm", _BATCH_NORM) for n in DIMENSIONS},
    **{f"InstanceNorm{n}d": ("instance_norm", (*_STATISTICS, *_AFFINE)) for n in DIMENSIONS},
    "LayerNorm": ("layer_norm", ("normalized_shape", *_AFFINE)),
    "GroupNorm": ("group_norm", ("num_groups", *_AFFINE)),
}
