"""Residual networks for small pictures (8x8 to 64x64), 3,000 to 20 million parameters.

Where the resolution is low from the start, it is kept in the stem and in the first stage, as in the
ResNets and MobileNets that people write for CIFAR; two more stages halve it. Every stage chooses
between residual blocks of dense or grouped convolutions and inverted residuals of depthwise ones,
the kernel size, and how wide the block is inside.
"""

from fractions import Fraction

from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.space import SearchSpace, StageSpace, choice, widths

width = choice(*widths(4, 32, 4).values, *widths(40, 128, 8).values, *widths(160, 384, 32).values)

residual = BasicBlock(
    width,
    expansion=choice(Fraction(1, 2), 1, 2),
    conv=choice(Convolution(kernel_size=3), Convolution(kernel_size=5)),
)
grouped = BasicBlock(width, conv=Convolution(kernel_size=3, group_size=4))
inverted = InvertedResidual(
    width, expansion=choice(2, 3, 4, 6), conv=choice(depthwise(3), depthwise(5))
)


def stage(most: int, stride: int) -> StageSpace:
    return StageSpace(choice(residual, grouped, inverted), tuple(range(1, most + 1)), stride)


space = SearchSpace(
    name="small",
    stem=ConvNormAct(choice(*widths(4, 32, 4).values, *widths(40, 64, 8).values)),
    stages=(stage(4, 1), stage(5, 2), stage(4, 2)),
    head=Classifier(10),
    input=(3, 32, 32),
    effectiveness=0.5,
    origin="ResNet and MobileNet V2 for small pictures; ranges ours",
)
