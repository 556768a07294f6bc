"""ConvNeXt-like networks: large depthwise kernels, layer norm, an inverted bottleneck of 4.

Kernel size 7 and expansion 4 are ConvNeXt's: left open, DeepMAD's entropy takes the largest kernel
and the smallest expansion (docs/spaces.md). Open are the width and depth of every stage.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from archsearch.operators.normalization import LayerNorm
from archsearch.space import SearchSpace, StageSpace, widths


def stage(low: int, high: int, step: int, most: int) -> StageSpace:
    block = ConvNeXtBlock(widths(low, high, step))
    return StageSpace(block, tuple(range(1, most + 1)), before=NormDownsample(low))


space = SearchSpace(
    name="convnext",
    stem=PatchStem(widths(32, 192)),
    stages=(
        StageSpace(ConvNeXtBlock(widths(32, 192)), (1, 2, 3, 4, 5, 6)),
        stage(64, 384, 16, 8),
        stage(128, 768, 16, 30),
        stage(256, 1536, 32, 8),
    ),
    head=Classifier(norm=LayerNorm()),
    macs_per_param=156,
    effectiveness=0.4,
    origin="ConvNeXt-Atto to -Base: stem, kernel size and expansion; widths and depths around them",
)
