"""What a network costs: one fold over the layers' own formulas, cached by block and input shape.

A layer's costs come out of the same formulas on integers, on numpy arrays of candidates and on
polynomials; the fold over layers takes the first two, as the larger of two polynomials is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

from .architecture import Architecture, Run, Stage
from .graph import Node, Recipe, Scope, trace
from .operator import IllegalArchitecture, Operator, Shape, Window
from .poly import Number, Poly

BYTES = 4
"""Bytes per number, float32."""


@dataclass(frozen=True)
class Cost:
    """Costs of a layer, block, stage or network for one input (batch 1).

    ``params``, ``buffers``: numbers held. ``macs``: multiply-accumulates of convolutions and linear
    layers. ``activations``: output elements of convolutions, linear layers and pools. ``traffic``:
    bytes read and written when every layer reads its inputs and weights once and writes its output
    once. ``peak_memory``: bytes of the largest set of feature maps alive at one time, layer by
    layer, without in-place work and without weights. All for float32.
    """

    params: Number = 0
    buffers: Number = 0
    macs: Number = 0
    activations: Number = 0
    traffic: Number = 0
    peak_memory: Number = 0
    windows: tuple[Window, ...] = field(default=(), repr=False)

    @property
    def weight_bytes(self) -> Number:
        """Bytes of a checkpoint: parameters and tracked statistics."""
        return BYTES * (self.params + self.buffers)

    @property
    def intensity(self) -> Number:
        """MACs per byte moved; 0 where nothing moves."""
        moves = isinstance(self.traffic, np.ndarray) or self.traffic != 0
        return self.macs / self.traffic if moves else 0.0

    @property
    def receptive_field(self) -> int:
        """Input positions that one output position sees through convolutions and pooling windows,
        in the dimension where these are most (global pooling, as in squeeze-and-excitation, is not
        counted)."""
        return max((window.reach for window in self.windows), default=1)

    def then(self, other: Cost, times: int = 1) -> Cost:
        """This part followed by ``times`` equal parts."""
        return Cost(
            self.params + times * other.params,
            self.buffers + times * other.buffers,
            self.macs + times * other.macs,
            self.activations + times * other.activations,
            self.traffic + times * other.traffic,
            _larger(self.peak_memory, other.peak_memory),
            _after(self.windows, other.windows, times),
        )

    def as_dict(self) -> dict[str, Number]:
        """Every cost by its name, derived ones included."""
        return {name: getattr(self, name) for name in COST_NAMES}


COST_NAMES = (
    "params",
    "macs",
    "activations",
    "traffic",
    "peak_memory",
    "weight_bytes",
    "intensity",
    "receptive_field",
)


LayerCost: TypeAlias = Callable[[Operator, tuple[Shape, ...]], Cost]


def layer_cost(op: Operator, x: tuple[Shape, ...]) -> Cost:
    """Costs of one layer on its inputs; its peak is its inputs and its output together."""
    return Cost(
        op.params(*x),
        op.buffers(*x),
        op.macs(*x),
        op.activations(*x),
        BYTES * op.traffic(*x),
        BYTES * (sum([shape.numel for shape in x]) + op.shape(*x).numel),
        op.windows_of(*x),
    )


_known_layer_cost = lru_cache(maxsize=1 << 16)(layer_cost)
"""For whole numbers: equal layers recur in blocks that differ elsewhere."""


def node_cost(node: Node) -> Cost:
    """Costs of a layer in its place."""
    return layer_cost(node.op, node.x)


def scope_cost(scope: Scope, of_layer: LayerCost = layer_cost) -> Cost:
    """Costs of a traced part, from the costs of its layers.

    Raises ``TypeError`` where widths are polynomials: there, sum what is wanted of ``node_cost``.
    """
    costs = [of_layer(node.op, node.x) for node in scope.nodes()]
    return Cost(
        sum(c.params for c in costs),
        sum(c.buffers for c in costs),
        sum(c.macs for c in costs),
        sum(c.activations for c in costs),
        sum(c.traffic for c in costs),
        peak_memory(scope),
        scope_windows(scope),
    )


def peak_memory(scope: Scope) -> Number:
    """Bytes of the largest set of feature maps alive while one layer runs.

    A map lives from the layer that computes it (the scope's input: from the start) to the last
    layer that reads it; layers run in order, none in place.
    """
    nodes = list(scope.nodes())
    last = {value.name: i for i, node in enumerate(nodes) for value in node.inputs}
    last[scope.output.name] = len(nodes)
    alive: Number = sum(value.shape.numel for value in scope.inputs if value.name in last)
    peak: Number = 0
    for i, node in enumerate(nodes):
        alive = alive + node.shape.numel
        peak = _larger(peak, alive)
        for value in node.inputs:
            if last.get(value.name) == i:
                alive = alive - value.shape.numel
                del last[value.name]
        if node.name not in last:
            alive = alive - node.shape.numel
    return BYTES * peak


def scope_window(scope: Scope) -> Window:
    """How far the output looks into the input, and how far apart outputs stand there, in the
    dimension where each is most."""
    return _widest(scope_windows(scope))


def scope_windows(scope: Scope) -> tuple[Window, ...]:
    """The same for each dimension: along the widest path through the graph."""
    seen = {value.name: (Window(),) * value.shape.dimensions for value in scope.inputs}
    for node in scope.nodes():
        paths = [seen[value.name] for value in node.inputs]
        before = tuple(map(_widest, zip(*paths, strict=True))) if len(paths) > 1 else paths[0]
        seen[node.name] = _after(before, node.op.windows_of(*node.x))
    return seen[scope.output.name]


def _widest(windows: Sequence[Window]) -> Window:
    return Window(
        max((window.reach for window in windows), default=1),
        max((window.stride for window in windows), default=1),
    )


@lru_cache(maxsize=1 << 16)
def recipe_cost(recipe: Recipe, x: Shape) -> tuple[Cost, Shape]:
    """Costs of one block on one input shape, and its output shape."""
    scope = trace(recipe, x)
    return scope_cost(scope, _known_layer_cost), scope.output.shape


def runs_cost(runs: Iterable[Run], x: Shape, total: Cost) -> tuple[Cost, Shape]:
    """Costs of ``total`` and blocks after it; repeated blocks are folded once where they can be."""
    for run in runs:
        left = run.repeats
        while left:
            cost, y = recipe_cost(run.block, x)
            times = left if y == x else 1
            total, x, left = total.then(cost, times), y, left - times
    return total, x


def cost(architecture: Architecture) -> Cost:
    """Costs of a whole network; raises ``IllegalArchitecture`` naming the layer that cannot be."""
    total, x = Cost(), Shape(architecture.input[0], architecture.input[1:])
    try:
        for _, part in architecture.parts():
            total, x = runs_cost(part.runs if isinstance(part, Stage) else (Run(part),), x, total)
    except IllegalArchitecture:
        architecture.trace()  # raises the same with the layer's whole name
        raise
    return total


@dataclass(frozen=True)
class Row:
    """One line of a cost table: a part, what it gives out, what it costs by itself."""

    name: str
    kind: str
    depth: int
    output: Shape
    cost: Cost


def cost_rows(
    architecture: Architecture, level: Literal["stage", "block", "layer"] = "stage"
) -> list[Row]:
    """Costs by "stage" (with stem and head), "block" or "layer", in execution order."""
    root = architecture.trace()
    if level == "layer":
        return [_row(node) for node in root.nodes()]
    if level == "block":
        return [_row(block) for part in root.children for block in _blocks(part)]
    return [_row(part) for part in root.children]


def node_costs(architecture: Architecture) -> Mapping[str, dict[str, Any]]:
    """Costs of every layer by its dotted name, for ``graph.to_networkx``."""
    return {node.name: node_cost(node).as_dict() for node in architecture.trace().nodes()}


def _blocks(part: Scope | Node) -> tuple[Scope | Node, ...]:
    """The blocks of a stage; of anything else, itself."""
    return part.children if isinstance(part, Scope) and part.kind == "Stage" else (part,)


def _row(part: Scope | Node) -> Row:
    if isinstance(part, Node):
        return Row(part.name, type(part.op).__name__, 1, part.shape, node_cost(part))
    blocks = _blocks(part)
    kinds = dict.fromkeys(block.kind for block in blocks if isinstance(block, Scope))
    return Row(part.name, " + ".join(kinds), len(blocks), part.output.shape, scope_cost(part))


def _larger(a: Number, b: Number) -> Number:
    """Raises ``TypeError`` for polynomials: the larger of two is not one."""
    if isinstance(a, Poly) or isinstance(b, Poly):
        raise TypeError("the larger of two polynomials is no polynomial: no peak of unknowns")
    return np.maximum(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else max(a, b)


def _after(
    first: tuple[Window, ...], then: tuple[Window, ...], times: int = 1
) -> tuple[Window, ...]:
    """What ``times`` windows in a row see through those before them, dimension by dimension; a
    feature vector has no dimension, and sees what the map did that it was made of."""
    if not then:
        return first
    first = first or (Window(),) * len(then)
    return tuple(_along(a, b, times) for a, b in zip(first, then, strict=True))


def _along(first: Window, then: Window, times: int) -> Window:
    """The same in one dimension (Araujo et al. 2019)."""
    if then.stride == 1:
        steps, stride = times, 1
    else:
        stride = then.stride**times
        steps = (stride - 1) // (then.stride - 1)
    return Window(first.reach + (then.reach - 1) * first.stride * steps, first.stride * stride)
