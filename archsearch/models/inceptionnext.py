"""InceptionNeXt (Yu et al. 2024)."""

from __future__ import annotations

from fractions import Fraction

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import MLPClassifier
from ..blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from ..convolutions.inception import InceptionDepthwise
from ..operators.normalization import BatchNorm

EXPANSIONS = (4, 4, 4, 3)
EIGHTH = InceptionDepthwise()
QUARTER = InceptionDepthwise(band_kernel_size=9, branch_ratio=Fraction(1, 4))


def inceptionnext(
    width: int,
    depths: tuple[int, ...],
    conv: InceptionDepthwise = EIGHTH,
    size: int = 224,
) -> Architecture:
    """Stages of doubling width from ``width`` on, for images of ``size`` x ``size``."""
    norm, stages = BatchNorm(), []
    for i, (depth, expansion) in enumerate(zip(depths, EXPANSIONS, strict=True)):
        block = ConvNeXtBlock(width * 2**i, expansion, conv, norm)
        between = (Run(NormDownsample(block.width, norm)),) if i else ()
        stages.append(Stage((*between, Run(block, depth))))
    stem = PatchStem(width, norm=norm)
    return Architecture(stem, tuple(stages), MLPClassifier(), (3, size, size))


def inceptionnext_base(size: int = 224) -> Architecture:
    return inceptionnext(128, (3, 3, 27, 3), size=size)


MODELS = {
    "inceptionnext_atto": lambda: inceptionnext(40, (2, 2, 6, 2), QUARTER),
    "inceptionnext_tiny": lambda: inceptionnext(96, (3, 3, 9, 3)),
    "inceptionnext_small": lambda: inceptionnext(96, (3, 3, 27, 3)),
    "inceptionnext_base": inceptionnext_base,
    "inceptionnext_base_384": lambda: inceptionnext_base(384),
}
