"""UniRepLKNet-like networks: 13x13 depthwise kernels that train with dilated branches beside them.

Kernel sizes (3 in the first stage, 13 after it, as UniRepLKNet-A to -N have them), squeeze-and-
excitation and expansion are the published ones: left open, DeepMAD's entropy takes the largest
kernel and the smallest expansion (docs/spaces.md). Open are the width and depth of every stage. The
bound on depth over width is that of the deepest family member of this size (-S has 0.448, -A
0.207). Budgets count the network as it is trained; deployed, with its branches merged, it has a few
percent fewer parameters and MACs.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.conv_stem import ConvStem
from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.unireplknet import UniRepLKNetBlock
from archsearch.convolutions.reparameterised import DilatedReparam
from archsearch.operators.convolution import depthwise
from archsearch.operators.normalization import LayerNorm
from archsearch.space import SearchSpace, StageSpace, widths

norm = LayerNorm()


def stage(low: int, high: int, step: int, most: int) -> StageSpace:
    block = UniRepLKNetBlock(widths(low, high, step), conv=DilatedReparam(kernel_size=13))
    between = ConvNormAct(low, 2, norm=norm, activation=None, bias=True)
    return StageSpace(block, tuple(range(1, most + 1)), before=between)


space = SearchSpace(
    name="unireplknet",
    stem=ConvStem(widths(32, 192), norm=norm, bias=True),
    stages=(
        StageSpace(UniRepLKNetBlock(widths(32, 192), conv=depthwise(3)), (1, 2, 3, 4, 5, 6)),
        stage(64, 384, 16, 8),
        stage(128, 768, 16, 30),
        stage(256, 1536, 32, 8),
    ),
    head=Classifier(norm=norm),
    macs_per_param=150,
    effectiveness=0.45,
    origin="UniRepLKNet-A to -N: stem, kernels, expansion; widths and depths around them",
)
