"""RegNetX and RegNetY (Radosavovic et al. 2020, tables 13 to 16)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import log

from ..architecture import Architecture, Run, Stage
from ..blocks.bottleneck import Bottleneck
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..operators.convolution import Convolution
from ..poly import Ratio
from ..recipes.squeeze_excitation import SqueezeExcitation

STEM_WIDTH = 32


def regnet(
    slope: float, initial: int, factor: float, depth: int, group_size: int, squeeze: bool = False
) -> Architecture:
    """Block j would be ``initial + slope * j`` wide; widths are snapped to powers of ``factor``,
    then to multiples of 8, equal neighbours form a stage (section 3.3 of the paper), and each stage
    to a multiple of its group size."""
    powers = [round(log((slope * j + initial) / initial) / log(factor)) for j in range(depth)]
    per_block = [round(initial * factor**power / 8) * 8 for power in powers]
    stages, width_in = [], STEM_WIDTH
    for planned in dict.fromkeys(per_block):
        group = min(group_size, planned)
        width = round(planned / group) * group
        block = partial(
            Bottleneck, width, expansion=1, conv=Convolution(kernel_size=3, group_size=group)
        )
        first = block(stride=2, projects=True, squeeze_excitation=_squeeze(squeeze, width_in))
        rest = block(squeeze_excitation=_squeeze(squeeze, width))
        stages.append(_stage(first, rest, per_block.count(planned)))
        width_in = width
    return Architecture(ConvNormAct(STEM_WIDTH, 2), tuple(stages), Classifier())


def _stage(first: Bottleneck, rest: Bottleneck, depth: int) -> Stage:
    return Stage((Run(first), Run(rest, depth - 1)) if depth > 1 else (Run(first),))


def _squeeze(squeeze: bool, width_in: int) -> SqueezeExcitation | None:
    ratio: Ratio = Fraction(round(width_in / 4), width_in)
    return SqueezeExcitation(ratio) if squeeze else None


X = {
    "002": (36.44, 24, 2.49, 13, 8), "004": (24.48, 24, 2.54, 22, 16),
    "006": (36.97, 48, 2.24, 16, 24), "008": (35.73, 56, 2.28, 16, 16),
    "016": (34.01, 80, 2.25, 18, 24), "032": (26.31, 88, 2.25, 25, 48),
    "040": (38.65, 96, 2.43, 23, 40),
}  # fmt: skip
Y = {
    "002": (36.44, 24, 2.49, 13, 8), "004": (27.89, 48, 2.09, 16, 8),
    "006": (32.54, 48, 2.32, 15, 16), "008": (38.84, 56, 2.4, 14, 16),
    "016": (20.71, 48, 2.65, 27, 24), "032": (42.63, 80, 2.66, 21, 24),
    "040": (31.41, 96, 2.24, 22, 64),
}  # fmt: skip

MODELS: dict[str, Callable[[], Architecture]] = {
    **{f"regnetx_{size}": partial(regnet, *numbers) for size, numbers in X.items()},
    **{f"regnety_{size}": partial(regnet, *numbers, squeeze=True) for size, numbers in Y.items()},
}
