"""What every function of PyTorch's is among our operators: one reading each, and the tables.

The settings that an operator lacks are refused here, with the reason. A file holds the functions of
one kind, and which layers of torch.nn call them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..reader import Layers
from . import (
    activation,
    arithmetic,
    channels,
    convolution,
    layout,
    normalization,
    pooling,
    resampling,
    unchanged,
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **activation.FUNCTIONS,
    **arithmetic.FUNCTIONS,
    **channels.FUNCTIONS,
    **convolution.FUNCTIONS,
    **layout.FUNCTIONS,
    **normalization.FUNCTIONS,
    **pooling.FUNCTIONS,
    **resampling.FUNCTIONS,
    **unchanged.FUNCTIONS,
}
"""PyTorch's functions and methods by name: the same under ``torch``, in ``torch.nn.functional``, as
methods of tensors and in exported programs."""

LAYERS: Layers = {
    **activation.LAYERS,
    **convolution.LAYERS,
    **layout.LAYERS,
    **normalization.LAYERS,
    **pooling.LAYERS,
    **resampling.LAYERS,
    **unchanged.LAYERS,
}
"""Layers of torch.nn by the names of their classes."""
