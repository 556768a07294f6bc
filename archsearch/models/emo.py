"""EMO (Zhang et al. 2023) and EMOv2 (Zhang et al. 2024), as in the code of the latter.

EMOv2 attends within close and remote windows, and its depthwise kernels are 5; EMO within remote
windows only, with kernels of 3 in the first two stages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from ..architecture import Architecture, Stage
from ..blocks.classifier import Classifier
from ..blocks.inverted_residual_mobile import InvertedResidualMobile, MobileStem
from ..operators.activation import GELU
from ..operators.convolution import depthwise
from ..operators.normalization import LayerNorm
from ..operators.window_attention import WindowAttention
from ..poly import Ratio


@dataclass(frozen=True)
class Size:
    """Per stage: blocks, width, expansion; of the last two: width of a head."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    expansions: tuple[Ratio, ...] = (2, 3, 4, 4)
    head_widths: tuple[int, int] = (32, 32)


NARROW = (2, Fraction(5, 2), 3, Fraction(7, 2))
SIZES = {
    "1m": Size((2, 2, 8, 3), (32, 48, 80, 180), NARROW, (20, 20)),
    "2m": Size((3, 3, 9, 3), (32, 48, 120, 200), NARROW, (20, 20)),
    "5m": Size((3, 3, 9, 3), (48, 72, 160, 288)),
    "20m": Size((3, 3, 13, 3), (64, 128, 320, 448)),
    "50m": Size((5, 8, 20, 7), (64, 128, 384, 512)),
}


def emo(
    size: Size,
    windows: Literal["close", "remote", "both"],
    kernel_sizes: tuple[int, ...],
    resolution: int = 224,
    window_size: int = 7,
) -> Architecture:
    """The blocks of the last two stages attend, except the first of each stage."""
    stages = []
    for i, (depth, width) in enumerate(zip(size.depths, size.widths, strict=True)):
        conv = depthwise(kernel_sizes[i])
        block = InvertedResidualMobile(width, expansion=size.expansions[i], conv=conv)
        if i >= 2:
            attention = WindowAttention(size.head_widths[i - 2], window_size, windows)
            block = replace(block, attention=attention, norm=LayerNorm(), activation=GELU())
        stages.append(Stage.of(block, depth, stride=2, projects=True))
    stem = MobileStem(size.widths[0] // 2)
    head = Classifier(norm=LayerNorm(), norm_first=True)
    return Architecture(stem, tuple(stages), head, (3, resolution, resolution))


V1, V2 = (3, 3, 5, 5), (5, 5, 5, 5)
MODELS = {
    "emo_1m": lambda: emo(SIZES["1m"], "remote", V1),
    "emo_5m": lambda: emo(SIZES["5m"], "remote", V1),
    "emov2_1m": lambda: emo(SIZES["1m"], "both", V2),
    "emov2_2m": lambda: emo(SIZES["2m"], "both", V2),
    "emov2_5m": lambda: emo(SIZES["5m"], "both", V2),
    "emov2_5m_512": lambda: emo(SIZES["5m"], "both", V2, 512, 8),
    "emov2_20m": lambda: emo(SIZES["20m"], "both", V2),
    "emov2_50m": lambda: emo(SIZES["50m"], "both", V2),
}
