"""MobileNet V1-like networks whose 3x3 convolutions have groups of 1 to 32 channels (E2GC).

Every stage chooses its group size, whatever its width; E2GC has the same in all stages, which is a
member. Open are group size, width and depth of every stage. The bound on depth over width is that
of MobileNet V1 (0.560), the deepest of the family for its widths: groups widen the fan-in.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.depthwise_separable import DepthwiseSeparable
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, choice, widths


def stage(low: int, high: int, step: int, most: int, stride: int) -> StageSpace:
    conv = Convolution(kernel_size=3, group_size=choice(1, 2, 4, 8, 16, 32))
    block = DepthwiseSeparable(widths(low, high, step), conv=conv)
    return StageSpace(block, tuple(range(1, most + 1)), stride)


space = SearchSpace(
    name="mobilenetv1-e2gc",
    stem=ConvNormAct(widths(16, 64), 2),
    stages=(
        stage(32, 128, 16, 2, 1),
        stage(64, 256, 32, 4, 2),
        stage(128, 512, 32, 4, 2),
        stage(256, 768, 32, 8, 2),
        stage(512, 1536, 64, 4, 2),
    ),
    head=Classifier(),
    macs_per_param=142,
    effectiveness=0.57,
    origin="MobileNet V1 with group sizes 1 to 32: stem and strides; widths and depths around them",
)
