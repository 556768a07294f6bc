"""Settings that PyTorch takes as one number or as one for every dimension."""

from __future__ import annotations

from typing import Any

DIMENSIONS = (1, 2, 3)
"""Of maps: PyTorch's layers end in ``1d``, ``2d`` and ``3d``."""


def per_dimension(value: Any, dimensions: int) -> tuple[Any, ...]:
    """A setting as one number for every dimension."""
    if isinstance(value, tuple | list):
        return tuple(value) if len(value) == dimensions else tuple(value) * dimensions
    return (value,) * dimensions


def one(values: tuple[Any, ...]) -> Any:
    """One number where it is the same in all dimensions."""
    return values[0] if len(set(values)) == 1 else values
