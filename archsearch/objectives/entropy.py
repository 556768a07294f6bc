"""The entropy objective of DeepMAD: what a network is worth by its description alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import pstdev, pvariance
from typing import Literal, TypeAlias

from ..architecture import Architecture
from ..entropy import chain, is_spatial, squeezes
from ..graph import Node, Scope
from ..poly import Number

NodeCost: TypeAlias = Callable[[Node], Number]


@dataclass(frozen=True)
class Entropy:
    """Weighted multi-scale entropy (DeepMAD, Shen et al. 2023).

    With H_m = ``scale`` * (sum of log fan-in up to the end of resolution level m) * log(r_m^2 c_m),
    the value is sum_m alpha_m H_m - ``beta`` * exp(spread of the stages' depths), where alpha is
    ``last_weight`` for the last level and 1 for the others. The program demands that depth over
    geometric-mean width stays within the space's ``effectiveness``, over the whole network or, with
    ``every_level``, up to the end of every level.

    ``costs`` replaces what budgets count, where a published program counts its own way.
    ``counted_stages`` gives, from the block kinds of the spatial stages, those whose depths count;
    ``squeezed_resolution`` takes the map for one position from the first squeeze-and-excitation on
    (both reproduce defects of the released DeepMAD code).
    """

    name: str
    scale: float = 1.0
    beta: float = 10.0
    last_weight: float = 8.0
    spread: Literal["var", "std"] = "var"
    every_level: bool = False
    counted_stages: Callable[[Sequence[str]], slice] = field(default=lambda kinds: slice(None))
    squeezed_resolution: bool = False
    costs: Mapping[str, NodeCost] | None = None
    origin: str = ""

    def weights(self, levels: int) -> tuple[float, ...]:
        """alpha, one per resolution level."""
        return (*[1.0] * (levels - 1), self.last_weight)

    def value(self, architecture: Architecture) -> float:
        """The objective of one network, straight from its definition."""
        root = architecture.trace()
        ends = level_ends(root, self.squeezed_resolution)
        total = sum(
            weight * self.scale * end.entropy * math.log(end.positions * end.channels)
            for weight, end in zip(self.weights(len(ends)), ends, strict=True)
        )
        return total - self.beta * math.exp(self._spread(root))

    def _spread(self, root: Scope) -> float:
        stages = [part for part in body(root) if part.kind == "Stage" and is_spatial(part)]
        counted = self.counted_stages([kind_of(stage) for stage in stages])
        depths = [spatial_depth(stage) for stage in stages[counted]] or [0]
        return pvariance(depths) if self.spread == "var" else pstdev(depths)

    def effectiveness(self, architecture: Architecture) -> float:
        """Depth over geometric-mean width, D / exp(mean log fan-in); the largest over the levels
        where every level counts."""
        ends = level_ends(architecture.trace())
        ratios = [end.layers / math.exp(end.entropy / end.layers) for end in ends]
        return max(ratios) if self.every_level else ratios[-1]


@dataclass(frozen=True)
class LevelEnd:
    """The end of a resolution level: the layers and the entropy up to there, and its map."""

    layers: int
    entropy: float
    channels: int
    positions: int


def body(root: Scope) -> list[Scope]:
    """Stem and stages of a traced network."""
    return [c for c in root.children if isinstance(c, Scope) and c.name != "head"]


def level_ends(root: Scope, squeezed_resolution: bool = False) -> list[LevelEnd]:
    """Resolution levels of a network, the head left out: a level ends where the next part's map is
    smaller."""
    parts, ends, layers, entropy, squeezed = body(root), [], 0, 0.0, False
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        own = chain(part)
        layers, entropy = layers + own.layers, entropy + float(own.entropy)
        squeezed |= squeezed_resolution and squeezes(part)
        shape = part.output.shape
        if after is None or after.output.shape.size != shape.size:
            positions = 1 if squeezed else shape.positions
            ends.append(LevelEnd(layers, entropy, shape.channels, positions))
    return ends


def kind_of(stage: Scope) -> str:
    """Class name of a stage's repeated block."""
    return [child.kind for child in stage.children if isinstance(child, Scope)][-1]


def spatial_depth(stage: Scope) -> int:
    """Blocks of a stage, a downsampling in front of them not counted as one."""
    kinds = [child.kind for child in stage.children if isinstance(child, Scope)]
    return kinds.count(kinds[-1])
