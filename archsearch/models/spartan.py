"""SpaRTAN (Pay et al. 2025): the network of its authors' code, 3.8 million parameters."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..blocks.spartan import SpaRTANBlock
from ..operators.activation import GELU, SiLU
from ..operators.convolution import Convolution, depthwise
from ..operators.normalization import BatchNorm

NORM = BatchNorm(eps=1e-6)


def spartan() -> Architecture:
    """In the first two stages positions are mixed by dense convolutions, channels around depthwise
    ones; in the last two positions by depthwise ones, channels around groups of an expansion."""
    rows = ((32, 3, 4), (64, 3, 4), (128, 12, 2), (256, 2, 2))  # width, depth, expansion
    stages = []
    for i, (width, depth, expansion) in enumerate(rows):
        early = i < 2
        opening = ConvNormAct(width, 2, norm=NORM, activation=GELU())
        if i > 0:
            halving = Convolution(kernel_size=2, padding=0)
            opening = ConvNormAct(width, 2, conv=halving, norm=NORM, activation=SiLU())
        block = SpaRTANBlock(
            width,
            expansion,
            conv=Convolution(kernel_size=3) if early else depthwise(3),
            mlp_conv=Convolution(kernel_size=3, group_size=1 if early else expansion),
        )
        stages.append(Stage((Run(opening), Run(block, depth))))
    stem = ConvNormAct(16, 2, norm=NORM, activation=GELU())
    return Architecture(stem, tuple(stages), Classifier())


MODELS = {"spartan": spartan}
