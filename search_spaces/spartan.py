"""SpaRTAN-like networks: positions mixed at two scales, channels by gates, blocks of many layers.

Kernels, groups, expansions and the layers between stages are SpaRTAN's. Open are the width and
depth of every stage. A block is 7 layers deep and half of them see few inputs, so depth over width,
which is 0.4 to 0.6 for residual networks, is 3.1 for the published network.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.spartan import SpaRTANBlock
from archsearch.operators.activation import GELU, SiLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import BatchNorm
from archsearch.space import SearchSpace, StageSpace, widths

NORM = BatchNorm(eps=1e-6)
ENTRY = ConvNormAct(32, 2, norm=NORM, activation=GELU())
HALVING = ConvNormAct(
    32, 2, conv=Convolution(kernel_size=2, padding=0), norm=NORM, activation=SiLU()
)


def dense(low: int, high: int, before: ConvNormAct, most: int) -> StageSpace:
    """Positions mixed by dense convolutions, channels around depthwise ones."""
    block = SpaRTANBlock(widths(low, high), 4, Convolution(kernel_size=3), depthwise(3))
    return StageSpace(block, tuple(range(1, most + 1)), before=before)


def narrow(low: int, high: int, step: int, most: int) -> StageSpace:
    """Positions mixed by depthwise convolutions, channels around groups of the expansion."""
    grouped = Convolution(kernel_size=3, group_size=2)
    block = SpaRTANBlock(widths(low, high, step), 2, depthwise(3), grouped)
    return StageSpace(block, tuple(range(1, most + 1)), before=HALVING)


space = SearchSpace(
    name="spartan",
    stem=ConvNormAct(widths(16, 32), 2, norm=NORM, activation=GELU()),
    stages=(
        dense(16, 64, ENTRY, 4),
        dense(32, 128, HALVING, 4),
        narrow(64, 256, 16, 16),
        narrow(128, 512, 32, 4),
    ),
    head=Classifier(),
    macs_per_param=209,
    effectiveness=3.2,
    origin="SpaRTAN's released network: everything but widths and depths, which are around its own",
)
