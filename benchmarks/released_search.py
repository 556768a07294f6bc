"""The evolutionary search of DeepMAD's released code, ported to plain Python and made fast.

Source: alibaba/lightweight-neural-architecture-search at 8ccaf88 (tinynas/searchers, spaces,
scores). The original builds a random PyTorch network per candidate; this port computes the same
numbers in closed form and caches them per super-block. tests/test_benchmarks.py holds it to
``archsearch``'s own objective.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from archsearch.architecture import Architecture
from archsearch.models.deepmad import from_released


class SuperBlock(NamedTuple):
    """``depth`` bottlenecks of ``width`` output and ``inner`` channels."""

    width: int
    kernel_size: int
    depth: int
    inner: int


Net = tuple[int, tuple[SuperBlock, ...]]
"""Width of the stem (3x3, stride 2), and five super-blocks."""

POSITIONS = (112**2, 56**2, 28**2, 14**2, 14**2, 7**2)
"""Map sizes after the stem and after each super-block, at an input of 224 x 224."""

STRIDED = (True, True, True, False, True)
LEVEL_ENDS = (0, 1, 2, 4, 5)
"""Parts (stem: 0) after which a resolution level ends."""

SEED_NET: Net = (
    32,
    tuple(
        SuperBlock(width, 3, 1, inner)
        for width, inner in ((256, 64), (512, 128), (768, 256), (1024, 256), (2048, 512))
    ),
)
"""The hand-written network that fills the first population of deepmad_R18_FLOPs.py."""

CHANNELS = (1.5, 1.25, 0.8, 0.6, 0.5)
DEPTHS = (-2, -1, 1, 2)
MOST_CHANNELS, MOST_STEM, MOST_FIRST_DEPTH, LEAST_INNER = 2048, 32, 3, 10
POPULATION, MUTATIONS, LAST_WEIGHT, EVENNESS = 256, 2, 8.0, 10.0


def rounded(channels: float) -> int:
    """The nearest multiple of 8, at least 8."""
    return max(8, round(channels / 8.0) * 8)


@dataclass(frozen=True)
class Score:
    """What the released code computes for a network; ``rho`` is the largest over the levels."""

    objective: float
    params: int
    macs: int
    rho: float


@dataclass
class Evaluator:
    """Scores of networks within budgets; every super-block's numbers are computed once."""

    params: float = 11.69e6
    macs: float = 1.82e9
    rho: float = 0.3

    def __post_init__(self) -> None:
        self._known: dict[tuple[int, int, SuperBlock], tuple[int, int, float, int]] = {}
        self._levels: dict[tuple[int, int], float] = {}
        # rho <= limit reads 2 S >= D log(D / limit) for D layers of entropy S
        self._needed = [0.0] + [d * math.log(d / self.rho) / 2 for d in range(1, 2000)]

    def feasible(self, net: Net) -> float | None:
        """The objective of a network within the budgets; None for another."""
        stem, blocks = net
        known, needed, width = self._known, self._needed, stem
        params, macs, entropy, layers = self._stem(stem)
        total = entropy * self._level(0, stem)
        for index, block in enumerate(blocks, 1):
            key = (index, width, block)
            own = known.get(key)
            if own is None:
                own = known[key] = super_block(*key)
            params += own[0]
            macs += own[1]
            entropy += own[2]
            layers += own[3]
            width = block[0]
            if index != 3:  # the third and fourth share a resolution
                if entropy < needed[layers]:
                    return None
                total += entropy * self._level(index, width)
        if params > self.params or macs > self.macs:
            return None
        return total - evenness(blocks)

    def score(self, net: Net) -> Score:
        """All numbers of a network, within the budgets or not."""
        stem, blocks = net
        sums = [self._stem(stem)]
        widths = [stem, *(block.width for block in blocks)]
        for index, block in enumerate(blocks, 1):
            own = super_block(index, widths[index - 1], block)
            params, macs, entropy, layers = (a + b for a, b in zip(sums[-1], own, strict=True))
            sums.append((int(params), int(macs), entropy, int(layers)))
        total = sum(sums[end][2] * self._level(end, widths[end]) for end in LEVEL_ENDS)
        rho = max(sums[end][3] * math.exp(-2 * sums[end][2] / sums[end][3]) for end in LEVEL_ENDS)
        return Score(total - evenness(blocks), sums[-1][0], sums[-1][1], rho)

    def _stem(self, width: int) -> tuple[int, int, float, int]:
        return 29 * width, 30 * width * POSITIONS[0], 0.5 * math.log(27), 1

    def _level(self, index: int, width: int) -> float:
        """Weight times log(r^2 c) at the end of a part."""
        value = self._levels.get((index, width))
        if value is None:
            weight = LAST_WEIGHT if index == LEVEL_ENDS[-1] else 1.0
            value = weight * math.log(width * POSITIONS[index])
            self._levels[index, width] = value
        return value


def super_block(index: int, before: int, block: SuperBlock) -> tuple[int, int, float, int]:
    """Parameters, MACs, entropy and layers of super-block ``index`` (from 1) after ``before``
    channels. MACs as the released code counts them: 3 per element after every convolution, and
    the pooling in front of a strided projection."""
    width, kernel, depth, inner = block
    large, small, taps, more = POSITIONS[index - 1], POSITIONS[index], kernel**2, depth - 1
    spatial = inner * inner * taps
    params = (
        before * inner + before * width + 2 * width + more * width * inner
        + depth * (spatial + inner * width + 4 * inner + 2 * width)
    )  # fmt: skip
    macs = inner * large * (before + 3) + more * inner * small * (width + 3)
    macs += depth * small * (spatial + 3 * inner + inner * width + 3 * width)
    macs += width * small * (before + 3) + (before * large if STRIDED[index - 1] else 0)
    entropy = math.log(before) + more * math.log(width) + depth * math.log(inner * taps * inner)
    return params, macs, 0.5 * entropy, 3 * depth


def evenness(blocks: tuple[SuperBlock, ...]) -> float:
    """The penalty on uneven depths; the released code leaves the first two super-blocks out."""
    depths = [block[2] for block in blocks[2:]]
    mean = sum(depths) / len(depths)
    spread = sum((depth - mean) ** 2 for depth in depths) / len(depths)
    return EVENNESS * math.exp(math.sqrt(spread))


@dataclass
class Search:
    """The search, one evaluation at a time. ``repaired``: every super-block can change; as released
    the last one cannot (its index is drawn with an excluded upper end).

    Duplicates are dropped when they are drawn, not when the population overflows.
    """

    evaluator: Evaluator
    seed: int = 0
    repaired: bool = False

    def __post_init__(self) -> None:
        self._random = Random(self.seed).random
        start = self.evaluator.feasible(SEED_NET)
        if start is None:
            raise ValueError("the seed network must meet the budgets")
        self._population: list[tuple[float, Net]] = [(start, SEED_NET)]
        self._members = {SEED_NET}
        self.evaluations = 0

    @property
    def best(self) -> tuple[float, Net]:
        return self._population[-1]

    def run(self, evaluations: int) -> None:
        """Evaluate that many more networks."""
        population, members, random = self._population, self._members, self._random
        for _ in range(evaluations):
            net = population[int(random() * len(population))][1]
            for _ in range(MUTATIONS):
                net = self.mutated(net)
            value = self.evaluator.feasible(net)
            if value is None or net in members:
                continue
            if len(population) == POPULATION:
                if value <= population[0][0]:
                    continue
                members.discard(population.pop(0)[1])
            insort(population, (value, net))
            members.add(net)
        self.evaluations += evaluations

    def mutated(self, net: Net) -> Net:
        """One attribute of one part changed."""
        stem, blocks = net
        index = int(self._random() * (len(blocks) + self.repaired))
        if index == 0:
            width = rounded(stem * self._one_of(CHANNELS))
            return min(width, MOST_STEM, blocks[0].width), blocks
        before = blocks[index - 2].width if index > 1 else stem
        after = blocks[index].width if index < len(blocks) else MOST_CHANNELS
        block = self._changed(blocks[index - 1], before, after, index == 1)
        if block.inner * LEAST_INNER < block.width:
            block = block._replace(inner=rounded(block.width / LEAST_INNER))
        return stem, (*blocks[: index - 1], block, *blocks[index:])

    def _changed(self, block: SuperBlock, before: int, after: int, first: bool) -> SuperBlock:
        width, kernel, depth, inner = block
        attribute = int(self._random() * 4)
        if attribute == 0:
            width = min(rounded(width * self._one_of(CHANNELS)), MOST_CHANNELS)
            width = max(before, min(width, 4 * before, after))
        elif attribute == 1:
            kernel = 8 - kernel if self._random() < 0.75 else kernel  # 3 or 5, two draws
        elif attribute == 2:
            depth = max(1, depth + self._one_of(DEPTHS))
            depth = min(depth, MOST_FIRST_DEPTH) if first else depth
        else:
            inner = min(width, MOST_CHANNELS, rounded(inner * self._one_of(CHANNELS)))
        return SuperBlock(width, kernel, depth, inner)

    def _one_of(self, values: tuple[Any, ...]) -> Any:
        return values[int(self._random() * len(values))]


def architecture(net: Net) -> Architecture:
    """The network itself, for what counts it layer by layer."""
    stem, blocks = net
    rows: list[dict[str, Any]] = [{"class": "ConvKXBNRELU", "out": stem, "k": 3, "s": 2}]
    for (width, kernel, depth, inner), strided in zip(blocks, STRIDED, strict=True):
        block = {"out": width, "btn": inner, "k": kernel, "L": depth, "s": 2 if strided else 1}
        rows.append(block | {"class": "SuperResK1KXK1"})
    return from_released(rows)


def trace(search: Search, checkpoints: Iterable[int]) -> dict[int, float]:
    """The best objective after each of these numbers of evaluations (ascending)."""
    found = {}
    for checkpoint in checkpoints:
        search.run(checkpoint - search.evaluations)
        found[checkpoint] = search.best[0]
    return found
