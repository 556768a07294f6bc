"""What a network costs: one fold over the layers' own formulas, cached by block and input shape.

The same fold runs on integers, on numpy arrays of candidates and on polynomials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from .architecture import Architecture, Run, Stage
from .graph import Node, Recipe, Scope, Value, trace
from .operator import Shape, Window
from .poly import Number

BYTES = 4
"""Bytes per number, float32."""


@dataclass(frozen=True)
class Cost:
    """Costs of a layer, block, stage or network for one input (batch 1).

    ``params``, ``buffers``: numbers held. ``macs``: multiply-accumulates of convolutions and linear
    layers. ``activations``: output elements of convolutions, linear layers and pools. ``traffic``:
    bytes read and written when every layer reads its inputs and weights once and writes its output
    once. ``peak_memory``: bytes of the largest set of feature maps alive at one time, layer by layer,
    without in-place work and without weights. All for float32.
    """

    params: Number = 0
    buffers: Number = 0
    macs: Number = 0
    activations: Number = 0
    traffic: Number = 0
    peak_memory: Number = 0
    window: Window = field(default=Window(), repr=False)

    @property
    def weight_bytes(self) -> Number:
        """Bytes of a checkpoint: parameters and tracked statistics."""
        return BYTES * (self.params + self.buffers)

    @property
    def intensity(self) -> Number:
        """MACs per byte moved."""
        return self.macs / self.traffic if isinstance(self.traffic, int) and self.traffic else 0.0

    @property
    def receptive_field(self) -> int:
        """Input positions per dimension that one output position sees through convolutions and
        pooling windows (global pooling, as in squeeze-and-excitation, is not counted)."""
        return self.window.reach

    def then(self, other: Cost, times: int = 1) -> Cost:
        """This part followed by ``times`` equal parts."""
        window = self.window
        for _ in range(times):
            reach = window.reach + (other.window.reach - 1) * window.stride
            window = Window(reach, window.stride * other.window.stride)
            if other.window == Window():
                break
        return Cost(
            self.params + times * other.params,
            self.buffers + times * other.buffers,
            self.macs + times * other.macs,
            self.activations + times * other.activations,
            self.traffic + times * other.traffic,
            _larger(self.peak_memory, other.peak_memory),
            window,
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


def node_cost(node: Node) -> Cost:
    """Costs of one layer; its peak is its inputs and its output together."""
    x, op = node.x, node.op
    return Cost(
        op.params(*x),
        op.buffers(*x),
        op.macs(*x),
        op.activations(*x),
        BYTES * op.traffic(*x),
        BYTES * (sum(shape.numel for shape in x) + node.shape.numel),
        op.window(*x),
    )


def scope_cost(scope: Scope) -> Cost:
    """Costs of a traced part."""
    costs = [node_cost(node) for node in scope.nodes()]
    return Cost(
        sum(c.params for c in costs),
        sum(c.buffers for c in costs),
        sum(c.macs for c in costs),
        sum(c.activations for c in costs),
        sum(c.traffic for c in costs),
        peak_memory(scope),
        scope_window(scope),
    )


def peak_memory(scope: Scope) -> Number:
    """Bytes of the largest set of feature maps alive while one layer runs.

    A map lives from the layer that computes it (the scope's input: from the start) to the last
    layer that reads it; layers run in order, none in place.
    """
    nodes = list(scope.nodes())
    last = {value.name: i for i, node in enumerate(nodes) for value in node.inputs}
    last[scope.output.name] = len(nodes)
    alive: dict[str, Number] = {v.name: v.shape.numel for v in scope.inputs if v.name in last}
    peak: Number = 0
    for i, node in enumerate(nodes):
        alive[node.name] = node.shape.numel
        peak = _larger(peak, sum(alive.values()))
        alive = {name: numel for name, numel in alive.items() if last.get(name, i) > i}
    return BYTES * peak


def scope_window(scope: Scope) -> Window:
    """How far the output looks into the input: the widest path through the graph."""
    seen: dict[str, Window] = {value.name: Window() for value in scope.inputs}
    for node in scope.nodes():
        paths = [seen[value.name] for value in node.inputs]
        stride = max(path.stride for path in paths)
        own = node.op.window(*node.x)
        reach = max(path.reach for path in paths) + (own.reach - 1) * stride
        seen[node.name] = Window(reach, stride * own.stride)
    return seen[scope.output.name]


@lru_cache(maxsize=1 << 16)
def recipe_cost(recipe: Recipe, x: Shape) -> tuple[Cost, Shape]:
    """Costs of one block on one input shape, and its output shape."""
    scope = trace(recipe, x)
    return scope_cost(scope), scope.output.shape


def runs_cost(runs: Iterable[Run], x: Shape, total: Cost) -> tuple[Cost, Shape]:
    """Costs of blocks in a row after ``total``; repeated blocks are folded once where they can be."""
    for run in runs:
        left = run.repeats
        while left:
            cost, y = recipe_cost(run.block, x)
            times = left if y == x else 1
            total, x, left = total.then(cost, times), y, left - times
    return total, x


def cost(architecture: Architecture) -> Cost:
    """Costs of a whole network."""
    total, x = Cost(), Shape(architecture.input[0], architecture.input[1:])
    for _, part in architecture.parts():
        runs = part.runs if isinstance(part, Stage) else (Run(part),)  # type: ignore[arg-type]
        total, x = runs_cost(runs, x, total)
    return total


@dataclass(frozen=True)
class Row:
    """One line of a cost table: a part, what it gives out, what it costs by itself."""

    name: str
    kind: str
    depth: int
    output: Shape
    cost: Cost


def cost_rows(architecture: Architecture, level: str = "stage") -> list[Row]:
    """Costs by "stage" (with stem and head), "block" or "layer", in execution order."""
    root = architecture.trace()
    parts: list[Scope | Node] = [child for child in root.children]
    if level != "stage":
        parts = [b for p in parts for b in (p.children if _is_stage(p) else (p,))]  # type: ignore[union-attr]
    if level == "layer":
        parts = list(root.nodes())
    return [_row(part) for part in parts]


def node_costs(architecture: Architecture) -> Mapping[str, dict[str, Any]]:
    """Costs of every layer by its dotted name, for ``graph.to_networkx``."""
    return {node.name: node_cost(node).as_dict() for node in architecture.trace().nodes()}


def _is_stage(part: Scope | Node) -> bool:
    return isinstance(part, Scope) and part.kind == "Stage"


def _row(part: Scope | Node) -> Row:
    if isinstance(part, Node):
        return Row(part.name, type(part.op).__name__, 1, part.shape, node_cost(part))
    depth = len(part.children) if part.kind == "Stage" else 1
    kind = part.kind
    if depth and part.kind == "Stage":
        kinds = dict.fromkeys(child.kind for child in part.children if isinstance(child, Scope))
        kind = " + ".join(kinds)
    return Row(part.name, kind, depth, part.output.shape, scope_cost(part))


def _larger(a: Number, b: Number) -> Number:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.maximum(a, b)
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else 0
