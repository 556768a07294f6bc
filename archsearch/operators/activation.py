"""Activation functions: each a class of its own, without weights or contractions."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from ..operator import Call, Operator, Shape, Weight


@dataclass(frozen=True)
class Activation(Operator, abstract=True):
    """A function of each number by itself; the class name is PyTorch's."""

    at_zero: ClassVar[float] = 0.0
    """What it makes of zero."""
    gives: ClassVar[tuple[float, float]] = (-inf, inf)
    """Between which numbers what it gives lies."""
    keeps: ClassVar[tuple[float, float] | None] = None
    """Between which numbers it leaves its input as it is; None where nowhere."""

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call(f"nn.{type(self).__name__}")


class ReLU(Activation):
    """max(x, 0)"""

    paper = "Nair & Hinton 2010"
    gives = keeps = (0.0, inf)


class ReLU6(Activation):
    """min(max(x, 0), 6)"""

    paper = "Krizhevsky 2010"
    gives = keeps = (0.0, 6.0)


class SiLU(Activation):
    """x sigmoid(x), also called swish"""

    paper = "Hendrycks & Gimpel 2016; Elfwing et al. 2018"


class GELU(Activation):
    """x times the normal distribution function of x"""

    paper = "Hendrycks & Gimpel 2016"


class Hardswish(Activation):
    """x hardsigmoid(x)"""

    paper = "Howard et al. 2019 (MobileNetV3)"


class Sigmoid(Activation):
    """1 / (1 + exp(-x))"""

    at_zero = 0.5
    gives = (0.0, 1.0)


class Hardsigmoid(Activation):
    """relu6(x + 3) / 6"""

    paper = "Courbariaux et al. 2015"
    at_zero = 0.5
    gives = (0.0, 1.0)


class Tanh(Activation):
    """tanh(x)"""

    gives = (-1.0, 1.0)
