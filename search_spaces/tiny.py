"""Tiny networks for small pictures (8x8 to 64x64), 1,000 to 400,000 parameters.

Depthwise separable convolutions, which learn most for their parameters where these are few: in
trials on a part of CIFAR-10 they were ahead of residual blocks of dense convolutions at every
budget, and faster than inverted residuals, whose wide maps cost time. The stem keeps the
resolution, each of three stages halves it. Kernel sizes are fixed, as in every space the default
objective is to choose from; the bound on depth over width is a network's that trained well.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.depthwise_separable import DepthwiseSeparable
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import depthwise
from archsearch.space import SearchSpace, StageSpace, choice, widths

NARROW = widths(4, 16, 2)
width = choice(*NARROW.values, *widths(20, 64, 4).values, *widths(72, 192, 8).values)


def stage(most: int) -> StageSpace:
    block = DepthwiseSeparable(width, conv=depthwise(5))
    return StageSpace(block, tuple(range(1, most + 1)), stride=2)


space = SearchSpace(
    name="tiny",
    stem=ConvNormAct(choice(*NARROW.values, *widths(20, 32, 4).values)),
    stages=(stage(3), stage(4), stage(3)),
    head=Classifier(10),
    input=(3, 32, 32),
    macs_per_param=4900,
    effectiveness=0.42,
    origin="MobileNet V1 with kernels of 5, for small pictures; ranges ours",
)
