"""ConvFirst networks: a grouped convolution in front, then two 1x1, every convolution with a norm.

The block is Lavin's (2024), with groups of 8 channels and the expansion of 4 of his benchmark. What
stages his networks have could not be looked up, so the stages are ours: as in EfficientNets a stem
and four stages of stride 2, and a last 1x1 of 1280. Open are the width and depth of every stage.
The bound on depth over width is that of the space ``mobile``, whose blocks are as deep.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convfirst import ConvFirstBlock
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, widths


def stage(low: int, high: int, step: int, most: int) -> StageSpace:
    return StageSpace(ConvFirstBlock(widths(low, high, step)), tuple(range(2, most + 1)), 2)


space = SearchSpace(
    name="convfirst",
    stem=ConvNormAct(widths(16, 64), 2, activation=SiLU()),
    stages=(
        stage(24, 96, 8, 4),
        stage(48, 192, 8, 6),
        stage(96, 384, 16, 16),
        stage(160, 640, 32, 6),
        StageSpace(ConvNormAct(1280, conv=Convolution(), activation=SiLU())),
    ),
    head=Classifier(),
    macs_per_param=130,
    effectiveness=0.65,
    origin="block of Lavin 2024; the stages are ours",
)
