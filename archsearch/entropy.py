"""Entropy of a network: the layers a signal passes one after the other, and their fan-in.

DeepMAD (Shen et al. 2023, section 3) measures a network by the logarithms of its layers' widths,
where the width of a layer is its fan-in: in channels times kernel positions, per group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .graph import Node, Scope
from .operator import Kind
from .operators.pooling import GlobalPool
from .poly import Number, Poly, is_one


@dataclass(frozen=True)
class Chain:
    """Number of layers in a row and the sum of the natural logarithms of their fan-ins."""

    layers: int
    entropy: Number


def main_path(scope: Scope) -> list[Node]:
    """The longest row of layers that contract (convolutions, linear layers) from input to output.

    Shortcuts, projections and parallel branches are shorter and drop out; a path through global
    pooling carries no map and is left out, and with it squeeze-and-excitation.
    """
    best: dict[str, list[Node]] = {value.name: [] for value in scope.inputs}
    for node in scope.nodes():
        paths = [best[value.name] for value in node.inputs if value.name in best]
        if isinstance(node.op, GlobalPool) or not paths:
            continue
        longest = max(paths, key=len)
        contracts = node.op.fan_in(*node.x) is not None
        best[node.name] = [*longest, node] if contracts else longest
    return best.get(scope.output.name, [])


def chain(scope: Scope) -> Chain:
    """Layers and entropy of a traced part."""
    path = main_path(scope)
    return Chain(len(path), sum(log(node.op.fan_in(*node.x)) for node in path))


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
