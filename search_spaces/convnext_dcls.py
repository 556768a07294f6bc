"""ConvNeXt-like networks with learnable spacings: 34 weights spread over a kernel of 17 x 17.

Kernel size, weights per filter, interpolation and expansion are ConvNeXt-T-dcls': left open,
DeepMAD's entropy takes the most weights and the smallest expansion (docs/spaces.md). Open are the
width and depth of every stage. Every block learns positions of its own; the published networks,
which share them within a stage, save 68 parameters per channel and block by it.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from archsearch.convolutions.dcls import DCLS
from archsearch.operators.normalization import LayerNorm
from archsearch.space import SearchSpace, StageSpace, widths

spacings = DCLS(kernel_size=17, taps=34, interpolation="bilinear", group_size=1)


def stage(low: int, high: int, step: int, most: int) -> StageSpace:
    block = ConvNeXtBlock(widths(low, high, step), conv=spacings)
    between = NormDownsample(low) if low > 32 else None
    return StageSpace(block, tuple(range(1, most + 1)), before=between)


space = SearchSpace(
    name="convnext-dcls",
    stem=PatchStem(widths(32, 192)),
    stages=(
        stage(32, 192, 8, 6),
        stage(64, 384, 16, 8),
        stage(128, 768, 16, 30),
        stage(256, 1536, 32, 8),
    ),
    head=Classifier(norm=LayerNorm()),
    macs_per_param=174,
    effectiveness=0.42,
    origin="ConvNeXt-T-dcls to -B-dcls: stem, kernels, expansion; widths and depths around them",
)
