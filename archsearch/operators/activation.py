"""Activation functions: each a class of its own, without weights or contractions."""

from __future__ import annotations

from dataclasses import dataclass

from ..operator import Call, Operator, Shape, Weight


@dataclass(frozen=True)
class Activation(Operator, abstract=True):
    """A function of each number by itself; the class name is PyTorch's."""

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call(f"nn.{type(self).__name__}")


class ReLU(Activation):
    """max(x, 0)"""

    paper = "Nair & Hinton 2010"


class ReLU6(Activation):
    """min(max(x, 0), 6)"""

    paper = "Krizhevsky 2010"


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


class Hardsigmoid(Activation):
    """relu6(x + 3) / 6"""

    paper = "Courbariaux et al. 2015"


class Tanh(Activation):
    """tanh(x)"""
