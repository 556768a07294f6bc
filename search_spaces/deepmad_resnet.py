"""The space of DeepMAD-R18, -R34 and -R50: five stages of bottlenecks, as in the released code.

Widths are multiples of 8 up to 2048, at most four times the width before; inner widths multiples
of 8 from a tenth of the width to the width. The released search caps the stem at 32 and the first
stage at 3 blocks; the other stages are capped at 30, which its effectiveness never reaches.
"""

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution
from archsearch.space import InnerWidths, SearchSpace, StageSpace, choice, widths

block = Bottleneck(
    widths(8, 2048), expansion=InnerWidths(), conv=Convolution(kernel_size=choice(3, 5))
)

space = SearchSpace(
    name="deepmad-resnet",
    stem=ConvNormAct(widths(8, 32), 2),
    stages=tuple(
        StageSpace(block, tuple(range(1, most + 1)), stride, most_growth=4)
        for most, stride in ((3, 2), (30, 2), (30, 2), (30, 1), (30, 2))
    ),
    head=Classifier(),
    macs_per_param=160,
    effectiveness=0.3,
    origin="alibaba/lightweight-neural-architecture-search at 8ccaf88, space_k1kxk1",
)
