"""DeepMAD-R18 and DeepMAD-R34 (Shen et al. 2023), as released by their authors."""

from __future__ import annotations

from fractions import Fraction

from ..architecture import Architecture, Stage
from ..blocks.bottleneck import Bottleneck
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..operators.convolution import Convolution


def deepmad(stem: int, rows: tuple[tuple[int, int, int, int, int], ...]) -> Architecture:
    """One stage per super-block of the released description: width, inner width, kernel, depth,
    stride; the first block of each projects."""
    stages = tuple(
        Stage.of(
            Bottleneck(width, expansion=Fraction(inner, width), conv=Convolution(kernel_size=k)),
            depth, stride=stride, projects=True,
        )
        for width, inner, k, depth, stride in rows
    )  # fmt: skip
    return Architecture(ConvNormAct(stem, 2), stages, Classifier())


MODELS = {
    "deepmad_r18": lambda: deepmad(32, (
        (96, 40, 5, 1, 2), (384, 40, 5, 6, 2), (384, 64, 5, 9, 2),
        (1024, 104, 3, 10, 1), (672, 104, 5, 12, 2),
    )),
    "deepmad_r34": lambda: deepmad(24, (
        (128, 24, 5, 1, 2), (512, 48, 5, 10, 2), (896, 88, 5, 13, 2),
        (1024, 104, 5, 11, 1), (616, 128, 5, 14, 2),
    )),
}  # fmt: skip
