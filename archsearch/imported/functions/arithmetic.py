"""Sums and products: of two maps, with a factor per channel, or with constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...operators.activation import Hardsigmoid, Hardswish
from ...operators.merge import Add, LayerScale, Multiply
from ..calls import Held
from ..reader import Functions, Reader, as_view, plain, shown
from ..steps import CannotLay, CannotMap, View, meet
from .activation import PLUS_3, RELU6_OF_IT, TIMES_X


def _add(reader: Reader, x: Any, y: Any, alpha: float = 1) -> View:
    if not isinstance(x, View):
        x, y = y, x
    if isinstance(y, int | float):
        if y * alpha == 0:
            return as_view(x)
        if y * alpha == 3:
            return replace(reader.like(x, plain(x)), pending=PLUS_3)
        raise CannotMap(f"a constant is added ({y * alpha:g})")
    if isinstance(y, Held):
        raise CannotMap(f"{y.name} is added; only the bias of a layer can be")
    if alpha != 1:
        raise CannotMap(f"alpha={alpha:g}; only a plain sum is known")
    a, b = plain(x), plain(y)
    if x.shape != y.shape:
        raise CannotLay(f"sizes {shown(x.shape)} and {shown(y.shape)} are added")
    return reader.like(x, reader.add(Add(), *meet(a, b)))


def _multiply(reader: Reader, x: Any, y: Any) -> View:
    if not isinstance(x, View):
        x, y = y, x
    x = as_view(x)
    if isinstance(y, int | float):
        return _times(reader, x, float(y))
    if isinstance(y, Held):
        return _layer_scale(reader, x, y)
    y = as_view(y)
    if y.pending == RELU6_OF_IT and x.step is y.step and not x.pending:
        return as_view(replace(y, pending=TIMES_X))
    if x.step.shape.positions == 1 < y.step.shape.positions:
        x, y = y, x
    gate = plain(replace(y, spread=False))
    step = plain(x)
    alike = x.dimensions == y.dimensions or (y.spread and gate.shape.positions == 1)
    fits = x.shape == y.shape or gate.shape.positions == 1 < step.shape.positions
    if not (alike and fits and x.channel_axis == y.channel_axis):
        raise CannotLay(f"sizes {shown(x.shape)} and {shown(y.shape)} are multiplied")
    return reader.like(x, reader.add(Multiply(), *meet(step, gate)))


def _times(reader: Reader, x: View, factor: float) -> View:
    known = {RELU6_OF_IT: Hardsigmoid(), TIMES_X: Hardswish()}
    if x.pending in known and abs(6 * factor - 1) < 1e-12:
        clean = replace(x, pending="")
        return reader.on(clean, known[x.pending], name=type(known[x.pending]).__name__.lower())
    if factor == 1:
        return as_view(x)
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


FUNCTIONS: Functions = {
    **dict.fromkeys(("add", "iadd"), _add),
    **dict.fromkeys(("mul", "imul", "multiply"), _multiply),
    **dict.fromkeys(("div", "truediv", "itruediv", "divide", "true_divide"), _divide),
}
