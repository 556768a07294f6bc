"""R(2+1)D networks for clips: basic blocks of (2+1)D convolutions, width and depth of four stages.

The middle width is 9/4 of the block's: there a (2+1)D convolution that keeps its width has as many
weights as the 3 x 3 x 3 one it stands for (Tran et al. 2018, section 3.5).
"""

from fractions import Fraction

from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.factorised import Factorised
from archsearch.space import SearchSpace, StageSpace, widths


def stage(low: int, high: int, step: int, most: int, stride: int) -> StageSpace:
    block = BasicBlock(widths(low, high, step), conv=Factorised(expansion=Fraction(9, 4)))
    return StageSpace(block, tuple(range(1, most + 1)), stride)


space = SearchSpace(
    name="r2plus1d",
    stem=ConvNormAct(widths(16, 64), (1, 2, 2), Factorised(kernel_size=7, middle=45)),
    stages=(
        stage(16, 96, 8, 4, 1),
        stage(32, 192, 8, 6, 2),
        stage(64, 384, 16, 8, 2),
        stage(128, 768, 16, 4, 2),
    ),
    head=Classifier(400),
    input=(3, 16, 112, 112),
    macs_per_param=320,
    effectiveness=0.07,
    origin="stem and strides of R(2+1)D-18 and -34; widths and depths around them",
)
