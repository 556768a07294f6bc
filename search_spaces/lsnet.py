"""LSNet-like networks: local and large-small convolutions in turn, attention on the last maps.

Kernel sizes, expansion 2 and the four heads of 16 channels are LSNet's. Open are the width of every
stage and its number of pairs of blocks; the first stage has local blocks or pairs. LSNet-T, whose
first stage is the stem alone, is no member. The bound on depth over width is that of LSNet-B
(0.730; LSNet-S has 0.579).
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.lsnet import LSNetBlock, LSNetDownsample, LSNetPair, LSNetStem
from archsearch.convolutions.offset_attention import OffsetAttention
from archsearch.operators.normalization import BatchNorm
from archsearch.space import SearchSpace, StageSpace, choice, widths
from archsearch.spatial import Spatial


def stage(low: int, high: int, pairs: int, conv: Spatial = LSNetPair.conv) -> StageSpace:
    block = LSNetPair(widths(low, high, 16), conv)
    return StageSpace(block, tuple(range(1, pairs + 1)), before=LSNetDownsample(low))


first = widths(32, 160, 16)

space = SearchSpace(
    name="lsnet",
    stem=LSNetStem(first),
    stages=(
        StageSpace(choice(LSNetBlock(first), LSNetPair(first)), (1, 2, 3)),
        stage(64, 320, 4),
        stage(128, 448, 6),
        stage(192, 640, 7, OffsetAttention()),
    ),
    head=Classifier(norm=BatchNorm()),
    macs_per_param=35,
    effectiveness=0.75,
    origin="LSNet-S and -B: kernels, expansion, heads; widths and depths around them",
)
