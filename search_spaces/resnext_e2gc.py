"""ResNeXt-like networks whose 3x3 convolutions have groups of 1 to 64 channels (E2GC).

Every stage chooses its group size, whatever its width; E2GC has the same in all stages, which is a
member. Open are group size, width and depth of every stage; the inner width is half the width, as
ResNeXt's. The bound on depth over width is that of ResNeXt-50 with groups of 1 (0.383), the deepest
of the family for its widths: groups widen the fan-in.
"""

from fractions import Fraction

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import MaxPool
from archsearch.space import SearchSpace, StageSpace, choice, widths


def stage(low: int, high: int, step: int, most: int, stride: int) -> StageSpace:
    conv = Convolution(kernel_size=3, group_size=choice(1, 2, 4, 8, 16, 32, 64))
    block = Bottleneck(widths(low, high, step), expansion=Fraction(1, 2), conv=conv)
    return StageSpace(block, tuple(range(1, most + 1)), stride)


space = SearchSpace(
    name="resnext-e2gc",
    stem=ConvNormAct(widths(32, 64), 2, Convolution(kernel_size=7), pool=MaxPool(3, 2, padding=1)),
    stages=(
        stage(128, 384, 32, 6, 1),
        stage(256, 768, 64, 8, 2),
        stage(384, 1536, 128, 16, 2),
        stage(1024, 3072, 128, 6, 2),
    ),
    head=Classifier(),
    macs_per_param=170,
    effectiveness=0.39,
    origin="ResNeXt-50 with group sizes 1 to 64: stem, strides, inner widths; widths and depths"
    " around them",
)
