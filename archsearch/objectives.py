"""What a search maximises: each objective values an architecture and tells the program its terms.

An objective is one file in the top-level folder ``objectives/`` (or a user's own) that assigns
``objective``; this module holds the kinds it can be made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from .architecture import Architecture
from .entropy import Chain, chain
from .graph import Node, Scope
from .operators.convolution import Convolution
from .poly import Number
from .space import Pick, Point

NodeCost: TypeAlias = Callable[[Node], Number]


@dataclass(frozen=True)
class Entropy:
    """Weighted multi-scale entropy (DeepMAD, Shen et al. 2023).

    With H_m = ``scale`` * (sum of log fan-in up to the end of resolution level m) * log(r_m^2 c_m),
    the value is sum_m alpha_m H_m - ``beta`` * exp(spread of the stages' depths), where alpha is
    ``last_weight`` for the last level and 1 for the others. The program demands that depth over
    geometric-mean width stays within the space's ``effectiveness``, over the whole network or, with
    ``every_level``, up to the end of every level.

    ``costs`` replaces what budgets count, where a published program counts its own way;
    ``levels_last`` keeps only that many last stages in the spread.
    """

    name: str
    scale: float = 1.0
    beta: float = 10.0
    last_weight: float = 8.0
    spread: Literal["var", "std"] = "var"
    every_level: bool = False
    counted_stages: Callable[[int], slice] | None = None
    costs: Mapping[str, NodeCost] | None = None
    origin: str = ""

    def weights(self, levels: int) -> tuple[float, ...]:
        return (*[1.0] * (levels - 1), self.last_weight)

    def value(self, architecture: Architecture) -> float:
        """The objective of one network, straight from its definition."""
        ends, depths = levels(architecture.trace())
        total = sum(
            weight * self.scale * end.entropy * math.log(end.positions * end.channels)
            for weight, end in zip(self.weights(len(ends)), ends, strict=True)
        )
        return total - self.beta * math.exp(self.spread_of(depths))

    def spread_of(self, depths: list[int]) -> float:
        counted = depths[self.counted_stages(len(depths))] if self.counted_stages else depths
        mean = sum(counted) / len(counted)
        variance = sum((d - mean) ** 2 for d in counted) / len(counted)
        return variance if self.spread == "var" else math.sqrt(variance)

    def effectiveness(self, architecture: Architecture) -> float:
        """Depth over geometric-mean width, D / exp(mean log fan-in); the largest over the levels
        where every level counts."""
        ends, _ = levels(architecture.trace())
        ratios = [end.layers / math.exp(end.entropy / end.layers) for end in ends if end.layers]
        return max(ratios) if self.every_level else ratios[-1]


@dataclass(frozen=True)
class LevelEnd:
    """The end of a resolution level: what came up to there, and its feature map."""

    layers: int
    entropy: float
    channels: int
    positions: int


def levels(root: Scope) -> tuple[list[LevelEnd], list[int]]:
    """Resolution levels of a network (the head left out), and the depths of its spatial stages.

    A level ends where the next part has a smaller map. A stage is spatial if one of its layers
    looks at more than one position; a final 1x1 convolution is none.
    """
    parts = [c for c in root.children if isinstance(c, Scope) and c.name != "head"]
    ends, depths, layers, entropy = [], [], 0, 0.0
    for part, after in [*pairwise(parts), (parts[-1], None)]:
        own: Chain = chain(part)
        layers, entropy = layers + own.layers, entropy + float(own.entropy)
        if part.kind == "Stage" and is_spatial(part):
            depths.append(spatial_depth(part))
        shape = part.output.shape
        if after is None or after.output.shape.size != shape.size:
            ends.append(LevelEnd(layers, entropy, shape.channels, shape.positions))
    return ends, depths


def is_spatial(part: Scope) -> bool:
    return any(_looks_around(node) for node in part.nodes())


def spatial_depth(stage: Scope) -> int:
    """Blocks of a stage, a downsampling in front of them not counted as one."""
    kinds = [child.kind for child in stage.children if isinstance(child, Scope)]
    return kinds.count(kinds[-1])


def _looks_around(node: Node) -> bool:
    return isinstance(node.op, Convolution) and node.op.kernel_size != 1


@dataclass(frozen=True)
class Additive:
    """A sum of scores: one per stage's pick, and optionally one per pair of neighbouring picks.

    ``stage_score(part, pick)`` and ``pair_score(part, before, pick)`` get the part's index (stem 0,
    where there is one) and the picks; the program's answer is the exact optimum of the sum.
    """

    name: str
    stage_score: Callable[[int, Pick], float]
    pair_score: Callable[[int, Pick, Pick], float] | None = None
    origin: str = ""

    def value_of(self, point: Point) -> float:
        total = sum(self.stage_score(i, pick) for i, pick in enumerate(point))
        if self.pair_score is not None:
            total += sum(
                self.pair_score(i, a, b) for i, (a, b) in enumerate(pairwise(point), start=1)
            )
        return total


Objective: TypeAlias = Entropy | Additive
