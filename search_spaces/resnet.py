"""Residual networks of bottlenecks: width, inner width, grouping and depth of four stages.

The spatial convolution is dense or grouped with 16, 32 or 64 channels per group, as in ResNeXt and
RegNet; inner widths run from a quarter of the width (ResNet) to the width itself (RegNet).
"""

from fractions import Fraction

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import MaxPool
from archsearch.space import InnerWidths, SearchSpace, StageSpace, choice, widths

convolution = choice(
    Convolution(kernel_size=3),
    *(Convolution(kernel_size=3, group_size=size) for size in (16, 32, 64)),
)


def stage(low: int, high: int, step: int, most: int, stride: int) -> StageSpace:
    block = Bottleneck(
        widths(low, high, step),
        expansion=InnerWidths(step // 2, Fraction(1, 4), 1),
        conv=convolution,
    )
    return StageSpace(block, tuple(range(1, most + 1)), stride)


space = SearchSpace(
    name="resnet",
    stem=ConvNormAct(widths(24, 64), 2, Convolution(kernel_size=7), pool=MaxPool(3, 2, padding=1)),
    stages=(
        stage(64, 320, 32, 6, 1),
        stage(128, 640, 32, 10, 2),
        stage(256, 1280, 64, 24, 2),
        stage(512, 2048, 64, 12, 2),
    ),
    head=Classifier(),
    macs_per_param=160,
    effectiveness=0.3,
    origin="stem and strides of ResNet-50; inner widths and groups of ResNet, ResNeXt and RegNet",
)
