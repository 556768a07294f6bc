"""Activations, by their own names or as limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...operators.activation import (
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
from ..reader import Functions, Layers, Reader
from ..steps import CannotMap, View

PLUS_3, RELU6_OF_IT, TIMES_X = "x + 3", "relu6(x + 3)", "x relu6(x + 3)"
"""The steps on the way to a hard sigmoid or hard swish that is written out."""


def _activation(cls: Callable[[], Activation]) -> Callable[..., View]:
    def read(reader: Reader, x: View) -> View:
        return reader.on(x, cls())

    return read


def _relu6(reader: Reader, x: View) -> View:
    if isinstance(x, View) and x.pending == PLUS_3:
        return replace(x, pending=RELU6_OF_IT)
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


_PLAIN = (ReLU, SiLU, Hardswish, Sigmoid, Hardsigmoid, Tanh)
FUNCTIONS: Functions = {
    **{cls.__name__.lower(): _activation(cls) for cls in _PLAIN},
    "relu6": _relu6,
    "gelu": _gelu,
    **dict.fromkeys(("clamp", "clip", "hardtanh", "clamp_min"), _clamp),
}

LAYERS: Layers = {
    **{cls.__name__: (cls.__name__.lower(), ()) for cls in (*_PLAIN, ReLU6)},
    "GELU": ("gelu", ("approximate",)),
    "Hardtanh": ("hardtanh", ("min_val", "max_val")),
}
