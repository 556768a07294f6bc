"""Entropy of a network: the layers a signal passes one after the other, and their fan-in.

DeepMAD (Shen et al. 2023, section 3) measures a network by the logarithms of its layers' widths,
where the width of a layer is its fan-in: in channels times kernel positions, per group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .graph import Node, Scope
from .legality import NotConcrete
from .operator import Kind, Shape
from .operators.pooling import GlobalPool
from .poly import Number, Poly, is_one


@dataclass(frozen=True)
class Chain:
    """What a signal passes on its way: how many layers that contract (``path`` names them), and the
    sum of the natural logarithms of their fan-ins."""

    layers: int = 0
    entropy: Number = 0.0
    path: tuple[Node, ...] = ()

    def through(self, node: Node) -> Chain:
        """This chain and one more layer; a layer that contracts nothing adds none."""
        fan_in = node.op.fan_in(*node.x)
        if fan_in is None:
            return self
        return Chain(self.layers + 1, self.entropy + log(fan_in), (*self.path, node))


def chain(scope: Scope) -> Chain:
    """The main path of a traced part: its longest row of layers that contract, input to output.

    Shortcuts, projections and parallel branches are shorter and drop out; of equally long branches
    the one of largest entropy counts. Where branches are put side by side, each channel has its own
    branch's entropy, so the mean over the channels counts: a kernel for an eighth of the channels
    is worth an eighth. Nothing is counted of a path that carries no map (through global pooling, so
    squeeze-and-excitation drops out) or that only makes coefficients (``Operator.coefficients``).
    """
    best: dict[str, Chain] = {value.name: Chain() for value in scope.inputs}
    for node in scope.nodes():
        branches = [
            (best[value.name], value.shape)
            for i, value in enumerate(node.inputs)
            if value.name in best and i not in node.op.coefficients
        ]
        if isinstance(node.op, GlobalPool) or not branches:
            continue
        joined = _side_by_side(branches) if node.op.channels == "concat" else _longest(branches)
        best[node.name] = joined.through(node)
    return best.get(scope.output.name, Chain())


def main_path(scope: Scope) -> list[Node]:
    """The layers of ``chain``, in order."""
    return list(chain(scope).path)


def _longest(branches: Sequence[tuple[Chain, Shape]]) -> Chain:
    longest, *others = sorted((own for own, _ in branches), key=lambda own: -own.layers)
    entropy = longest.entropy
    for other in others:
        if other.layers == longest.layers and other is not longest:
            entropy = _larger(entropy, other.entropy)
    return replace(longest, entropy=entropy)


def _side_by_side(branches: Sequence[tuple[Chain, Shape]]) -> Chain:
    if any(isinstance(shape.channels, Poly) for _, shape in branches):
        raise NotConcrete("the shares of branches side by side, of which some width is open")
    channels = sum(shape.channels for _, shape in branches)
    entropy = sum(own.entropy * (shape.channels / channels) for own, shape in branches)
    return replace(_longest(branches), entropy=entropy)


def _larger(a: Number, b: Number) -> Number:
    """The larger of two entropies; raises ``NotConcrete`` where an open width decides."""
    if isinstance(a, Poly) or isinstance(b, Poly):
        difference = Poly.of(b) - a
        if any(np.any(c != 0) for monomial, c in difference.terms.items() if monomial):
            raise NotConcrete("which of two branches has the larger entropy")
        return a + np.maximum(difference.terms.get((), 0.0), 0.0)
    return np.maximum(a, b)


def is_spatial(scope: Scope) -> bool:
    """Whether some layer that contracts looks at more than one position."""
    return any(
        axis.kind is Kind.TAP and not is_one(axis.size)
        for node in scope.nodes()
        for weight in node.op.weights(*node.x).values()
        for axis in weight.axes
    )


def squeezes(scope: Scope) -> bool:
    """Whether some layer gates the map by what it holds on average (global pooling inside)."""
    return any(isinstance(node.op, GlobalPool) for node in scope.nodes())


def log(number: Number) -> Number:
    """Natural logarithm of an integer, an array, or a single term in unknowns: the latter becomes a
    polynomial in the unknowns' logarithms, named ``log NAME``."""
    if isinstance(number, Poly):
        ((monomial, coefficient),) = number.terms.items()
        total = Poly({(): log(coefficient)})
        for name, power in monomial:
            total = total + Poly({((f"log {name}", 1),): power})
        return total
    return np.log(number) if isinstance(number, np.ndarray) else math.log(number)
