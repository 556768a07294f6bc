"""HorNet-like networks: recursive gated convolutions of order 2 to 5 and an MLP in each block.

Kernel size 7, the order of every stage and expansion 4 are HorNet's; open are the width and depth
of every stage. Order n halves the width n - 1 times, which the steps of the widths allow. The bound
on depth over width is that of HorNet-T (1.406): a block of order n is a row of n + 4 convolutions.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import NormDownsample, PatchStem
from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.convolutions.recursive_gated import RecursiveGated
from archsearch.operators.normalization import LayerNorm
from archsearch.space import SearchSpace, StageSpace, widths


def stage(low: int, high: int, step: int, order: int, most: int) -> StageSpace:
    block = MetaFormerBlock(widths(low, high, step), conv=RecursiveGated(order=order))
    between = NormDownsample(low) if order > 2 else None
    return StageSpace(block, tuple(range(1, most + 1)), before=between)


space = SearchSpace(
    name="hornet",
    stem=PatchStem(widths(32, 192)),
    stages=(
        stage(32, 192, 8, order=2, most=4),
        stage(64, 384, 16, order=3, most=6),
        stage(128, 768, 16, order=4, most=24),
        stage(256, 1536, 32, order=5, most=4),
    ),
    head=Classifier(norm=LayerNorm()),
    macs_per_param=177,
    effectiveness=1.45,
    origin="HorNet-T to -L: stem, kernel size, orders, expansion; widths and depths around them",
)
