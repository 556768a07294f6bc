"""Pseudo-3-D residual networks for clips: width and depth of four stages.

The three wirings have the same weights and, but for the shorter path of B, the same entropy: a
score of fan-ins cannot choose among them. They are therefore fixed to the paper's A, B, C, one per
stage, as a stage repeats one block; frames of the last stage are convolved one by one. Time is
halved where the map is, by the stride of a stage instead of a pool before it.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.pseudo3d import Pseudo3dBottleneck
from archsearch.convolutions.pseudo3d import Pseudo3d
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import MaxPool
from archsearch.space import SearchSpace, StageSpace, widths
from archsearch.spatial import Spatial


def stage(low: int, high: int, step: int, most: int, stride: int, conv: Spatial) -> StageSpace:
    block = Pseudo3dBottleneck(widths(low, high, step), conv=conv)
    return StageSpace(block, tuple(range(1, most + 1)), stride)


space = SearchSpace(
    name="p3d",
    stem=ConvNormAct(
        widths(24, 64),
        (1, 2, 2),
        Convolution(kernel_size=(1, 7, 7)),
        pool=MaxPool((2, 3, 3), 2, padding=(0, 1, 1)),
    ),
    stages=(
        stage(64, 320, 32, 6, 1, Pseudo3d(variant="A")),
        stage(128, 640, 32, 10, 2, Pseudo3d(variant="B")),
        stage(256, 1280, 64, 36, 2, Pseudo3d(variant="C")),
        stage(512, 2048, 64, 6, 2, Convolution(kernel_size=(1, 3, 3))),
    ),
    head=Classifier(400),
    input=(3, 16, 160, 160),
    macs_per_param=35,
    effectiveness=0.27,
    origin="stem, strides and inner widths of P3D63 to P3D199; widths and depths around them",
)
