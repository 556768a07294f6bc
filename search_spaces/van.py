"""Visual attention networks: large kernel attention and an MLP with a depthwise 3x3 in each block.

Kernel size 21 and the expansions 8, 8, 4, 4 are VAN's: left open, DeepMAD's entropy takes the
largest kernel and the smallest expansion (docs/spaces.md). Open are the width and depth of every
stage. The bound on depth over width is that of published members (VAN-B0 has 1.469, -B2 1.380): a
block is a row of eight convolutions, three of them depthwise.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import NormDownsample
from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.large_kernel_attention import VisualAttention
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import BatchNorm, LayerNorm
from archsearch.space import SearchSpace, StageSpace, widths

norm = BatchNorm()


def stage(low: int, high: int, step: int, most: int, expansion: int) -> StageSpace:
    block = MetaFormerBlock(
        widths(low, high, step), expansion, VisualAttention(), depthwise(3), norm, layer_scale=1e-2
    )
    between = NormDownsample(low, LayerNorm(), Convolution(kernel_size=3), final_norm=norm)
    return StageSpace(block, tuple(range(1, most + 1)), before=between if low > 24 else None)


space = SearchSpace(
    name="van",
    stem=ConvNormAct(
        widths(24, 96), 4, Convolution(kernel_size=7), norm, activation=None, bias=True
    ),
    stages=(
        stage(24, 96, 8, 6, expansion=8),
        stage(48, 192, 16, 6, expansion=8),
        stage(96, 480, 16, 12, expansion=4),
        stage(160, 768, 32, 6, expansion=4),
    ),
    head=Classifier(norm=LayerNorm(), norm_first=True),
    macs_per_param=188,
    effectiveness=1.5,
    origin="VAN-B0 to -B2: stem, kernels, expansions; widths and depths around them",
)
