"""DeepLabv3 on dilated residual networks: width and depth of four stages, scores for each pixel.

The output stride is 16: the last stage keeps its map and dilates by 2 instead, and the pyramid's
rates are those the paper gives for that. The score counts stem and stages; the head, whose cost the
budgets do count, is DeepLabv3's.
"""

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.dense_prediction import DeepLabHead
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.atrous_pyramid import AtrousPyramid
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import MaxPool
from archsearch.operators.resampling import Upsample
from archsearch.space import SearchSpace, StageSpace, widths


def stage(low: int, high: int, step: int, most: int, stride: int, dilation: int = 1) -> StageSpace:
    conv = Convolution(kernel_size=3, dilation=dilation)
    return StageSpace(
        Bottleneck(widths(low, high, step), conv=conv), tuple(range(1, most + 1)), stride
    )


space = SearchSpace(
    name="deeplab",
    stem=ConvNormAct(widths(24, 64), 2, Convolution(kernel_size=7), pool=MaxPool(3, 2, padding=1)),
    stages=(
        stage(64, 320, 32, 6, 1),
        stage(128, 640, 32, 10, 2),
        stage(256, 1280, 64, 24, 2),
        stage(512, 2048, 64, 6, 1, dilation=2),
    ),
    head=DeepLabHead(pyramid=AtrousPyramid(rates=(6, 12, 18)), upsample=Upsample(16)),
    input=(3, 512, 512),
    macs_per_param=250,
    effectiveness=0.15,
    origin="stem, strides and inner widths of ResNet-50 and -101, the head of DeepLabv3",
)
