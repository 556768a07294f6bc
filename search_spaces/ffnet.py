"""FFNet-like networks: convolutions as query, key and value, in blocks that train with 7x7 and 3x3.

Kernel sizes (keys and values of 3 in the first two stages, 7 after them, 7 in front of the MLP) and
the expansion 3 are FFNet's: left open, DeepMAD's entropy takes the largest kernel and the smallest
expansion (docs/spaces.md). Open are the width and depth of every stage; as FFNet's depthwise
downsampling gives each channel a whole number of filters, widths grow by 2 or 3. Budgets count the
network as it is trained; deployed, with its branches merged, it has about 1 % fewer parameters and
MACs. The bound on depth over width is that of published members (FFNet-2 has 1.208, -3 1.614).
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.conv_stem import ConvStem
from archsearch.blocks.ffnet import FFNetBlock, FFNetDownsample
from archsearch.convolutions.ffnified_attention import FFNifiedAttention
from archsearch.convolutions.reparameterised import Reparameterised
from archsearch.operators.convolution import depthwise
from archsearch.operators.normalization import BatchNorm
from archsearch.space import SearchSpace, StageSpace, widths
from archsearch.spatial import Spatial

large = Reparameterised(kernel_size=7)


def stage(low: int, high: int, step: int, most: int, conv: Spatial) -> StageSpace:
    block = FFNetBlock(
        widths(low, high, step), conv=FFNifiedAttention(conv=conv), mlp_conv=large, norm=None
    )
    depth = tuple(range(1, most + 1))
    return StageSpace(block, depth, before=FFNetDownsample(low) if low > 64 else None)


space = SearchSpace(
    name="ffnet",
    stem=ConvStem(widths(64, 120), 64),
    stages=(
        stage(64, 120, 8, 6, depthwise(3)),
        stage(128, 240, 8, 6, depthwise(3)),
        stage(256, 480, 8, 22, large),
        stage(512, 960, 16, 8, large),
    ),
    head=Classifier(norm=BatchNorm(), norm_first=True),
    macs_per_param=167,
    effectiveness=1.65,
    origin="FFNet-1 to -3: stem, kernels, expansion; widths and depths around them",
)
