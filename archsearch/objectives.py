"""What a search maximises: each objective values an architecture and tells the program its terms.

An objective is one file in the top-level folder ``objectives/`` (or a user's own) that assigns
``objective``; this module holds the kinds it can be made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import pstdev, pvariance
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .architecture import Architecture
from .entropy import chain, is_spatial, squeezes
from .fitted import Fitted
from .graph import Node, Scope
from .poly import Number
from .space import Pick, Point

FloatArray = npt.NDArray[np.float64]
NodeCost: TypeAlias = Callable[[Node], Number]


class Terms(Protocol):
    """A sum over the parts of a network, as the program reads it: ``intercept``, a score for every
    pick and, with ``has_pairs``, one for every two neighbouring picks (``fitted.Sum`` is one)."""

    @property
    def intercept(self) -> float: ...

    @property
    def has_pairs(self) -> bool: ...

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        """Scores of picks of one part, shape (picks,); NaN for a pick that is not allowed."""
        ...

    def pair_scores(self, part: int, before: Sequence[Pick], picks: Sequence[Pick]) -> FloatArray:
        """Scores of neighbours, ``before`` of the part in front: shape (picks, before)."""
        ...


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


@dataclass(frozen=True)
class Additive:
    """A sum of scores: one per stage's pick, and optionally one per pair of neighbouring picks.

    ``stage_score(part, pick)`` and ``pair_score(part, before, pick)`` get the part's index (stem 0,
    where there is one) and the picks; the program's answer is the exact optimum of the sum. A pick
    whose score is NaN is in no network.
    """

    name: str
    stage_score: Callable[[int, Pick], float]
    pair_score: Callable[[int, Pick, Pick], float] | None = None
    origin: str = ""

    @property
    def intercept(self) -> float:
        return 0.0

    @property
    def has_pairs(self) -> bool:
        return self.pair_score is not None

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        return np.array([self.stage_score(part, pick) for pick in picks], dtype=np.float64)

    def pair_scores(self, part: int, before: Sequence[Pick], picks: Sequence[Pick]) -> FloatArray:
        score = self.pair_score
        assert score is not None
        return np.array([[score(part, a, b) for a in before] for b in picks], dtype=np.float64)

    def value_of(self, point: Point) -> float:
        total = sum(self.stage_score(i, pick) for i, pick in enumerate(point))
        if self.pair_score is not None:
            total += sum(
                self.pair_score(i, a, b) for i, (a, b) in enumerate(pairwise(point), start=1)
            )
        return total


Objective: TypeAlias = Entropy | Additive | Fitted


def terms_of(objective: Objective) -> Terms | None:
    """The sum an objective maximises; None where it is more than a sum."""
    if isinstance(objective, Fitted):
        return objective.score
    return objective if isinstance(objective, Additive) else None
