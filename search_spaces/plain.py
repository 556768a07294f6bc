"""Plain networks without shortcuts (VGG-like): 3x3 convolution, batch norm, ReLU, five stages."""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, widths


def stage(low: int, high: int, most: int) -> StageSpace:
    return StageSpace(ConvNormAct(widths(low, high, 16)), tuple(range(1, most + 1)), 2)


space = SearchSpace(
    name="plain",
    stem=ConvNormAct(widths(16, 64), 2),
    stages=(
        stage(32, 128, 3),
        stage(48, 256, 4),
        stage(64, 512, 5),
        stage(96, 768, 5),
    ),
    head=Classifier(),
    macs_per_param=180,
    effectiveness=0.1,
    origin="VGG's blocks with batch norm, strided convolutions in place of pooling",
)
