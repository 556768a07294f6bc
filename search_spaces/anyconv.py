"""Any convolution in any block: each stage chooses how it convolves, how far and how wide.

Every stage is open, independently, in its block (ConvNeXt's, MetaFormer's, inverted residual,
bottleneck, basic), in the convolution that fills it, in that one's kernel size, dilation and group
size, and in width and depth. The blocks are as published but for what fills them, with the
expansions of their papers. A strided 3x3 convolution stands in front of every stage, so that
convolutions without a stride fit everywhere; depths go one beyond ConvNeXt-T's 3, 3, 9, 3.

DeepMAD's entropy counts fan-ins: it knows what a layer sums, not what that is good for, and takes
the most of it that a budget buys; docs/spaces.md shows what it chooses here and why. Left out is
what fits one size of map alone (global filters, attention), what is for videos or for larger maps,
and the pyramid of DeepLabv3's head; other spaces have them.
"""

from fractions import Fraction
from typing import Any

from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.ffnified_attention import FFNifiedAttention
from archsearch.convolutions.inception import InceptionDepthwise
from archsearch.convolutions.large_kernel_attention import LargeKernelAttention, VisualAttention
from archsearch.convolutions.large_small import LSConvolution
from archsearch.convolutions.recursive_gated import RecursiveGated
from archsearch.convolutions.reparameterised import DilatedReparam, Reparameterised
from archsearch.convolutions.separable import Separable
from archsearch.convolutions.weighted import WeightedConvolution
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.space import SearchSpace, StageSpace, choice, widths

small = choice(3, 5, 7)
dilated = choice(1, 2)
grouped = choice(8, 16, 32)
attention = LargeKernelAttention(kernel_size=choice(9, 15, 21))

convolutions = choice(
    Convolution(kernel_size=small, dilation=dilated),
    Convolution(kernel_size=small, dilation=dilated, group_size=grouped),
    Convolution(kernel_size=small, dilation=dilated, group_size=1),
    WeightedConvolution(kernel_size=small, group_size=choice(None, 1, 16), trainable=True),
    DCLS(kernel_size=choice(7, 17), taps=choice(9, 26, 34), group_size=choice(1, 16)),
    Separable(conv=depthwise(small)),
    InceptionDepthwise(band_kernel_size=choice(7, 11, 15)),
    Reparameterised(kernel_size=small, branches=(1,), group_size=choice(None, 1, 16)),
    DilatedReparam(kernel_size=choice(7, 9, 13)),
    attention,
    VisualAttention(conv=attention),
    RecursiveGated(order=choice(2, 3, 4, 5)),
    LSConvolution(),
    FFNifiedAttention(conv=depthwise(small)),
)


def stage(low: int, high: int, step: int, most: int) -> StageSpace:
    common: dict[str, Any] = {"width": widths(low, high, step), "conv": convolutions}
    block = choice(
        ConvNeXtBlock(**common),
        MetaFormerBlock(**common),
        InvertedResidual(**common, activation=SiLU()),
        Bottleneck(**common, expansion=Fraction(1, 4)),
        BasicBlock(**common),
    )
    downsample = ConvNormAct(low, 2, activation=None)
    return StageSpace(block, tuple(range(1, most + 1)), before=downsample)


space = SearchSpace(
    name="anyconv",
    stem=ConvNormAct(choice(16, 24, 32), 2),
    stages=(
        stage(32, 96, 16, 4),
        stage(48, 160, 16, 4),
        stage(96, 320, 32, 10),
        stage(128, 512, 32, 4),
    ),
    head=Classifier(),
    macs_per_param=100,
    effectiveness=0.5,
    origin="convolutions and blocks as published; widths and depths of mobile to tiny networks",
)
