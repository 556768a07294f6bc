"""InceptionNeXt-like networks: ConvNeXt's blocks with batch norm and a large kernel taken apart.

Kernel sizes, the share of the channels that they convolve and the expansions are InceptionNeXt's:
left open, DeepMAD's entropy takes the largest of the first and the smallest of the last
(docs/spaces.md). Open are the width and depth of every stage. The bound on depth over width is high
beside ConvNeXt's because most channels pass a block's convolution unchanged, which counts as a
layer of width 1: InceptionNeXt-T has 0.556, -S 1.037.
"""

from archsearch.blocks.classifier import MLPClassifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from archsearch.convolutions.inception import InceptionDepthwise
from archsearch.operators.normalization import BatchNorm
from archsearch.space import SearchSpace, StageSpace, widths

norm = BatchNorm()


def stage(low: int, high: int, step: int, most: int, expansion: int = 4) -> StageSpace:
    block = ConvNeXtBlock(widths(low, high, step), expansion, InceptionDepthwise(), norm)
    depth = tuple(range(1, most + 1))
    return StageSpace(block, depth, before=NormDownsample(low, norm) if low > 32 else None)


space = SearchSpace(
    name="inceptionnext",
    stem=PatchStem(widths(32, 192), norm=norm),
    stages=(
        stage(32, 192, 8, 6),
        stage(64, 384, 16, 8),
        stage(128, 768, 16, 30),
        stage(256, 1536, 32, 8, expansion=3),
    ),
    head=MLPClassifier(),
    macs_per_param=149,
    effectiveness=1.04,
    origin="InceptionNeXt-T to -B: kernels, branches, expansions; widths and depths around them",
)
