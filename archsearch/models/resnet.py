"""ResNet (He et al. 2016) and ResNeXt (Xie et al. 2017)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from ..architecture import Architecture, Stage
from ..block import StagedBlock
from ..blocks.basic import BasicBlock
from ..blocks.bottleneck import Bottleneck
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..operators.convolution import Convolution
from ..operators.pooling import MaxPool

STEM = ConvNormAct(64, 2, Convolution(kernel_size=7), pool=MaxPool(3, 2, padding=1))


def resnet(block: StagedBlock, depths: tuple[int, ...]) -> Architecture:
    """Stages of doubling width, of which the first is as wide as ``block`` and does not stride."""
    stages = []
    for i, depth in enumerate(depths):
        stride, width = min(i + 1, 2), block.width * 2**i
        projects = stride > 1 or width != STEM.width
        stages.append(
            Stage.of(replace(block, width=width), depth, stride=stride, projects=projects)
        )
    return Architecture(STEM, tuple(stages), Classifier())


MODELS = {
    "resnet18": lambda: resnet(BasicBlock(64), (2, 2, 2, 2)),
    "resnet34": lambda: resnet(BasicBlock(64), (3, 4, 6, 3)),
    "resnet50": lambda: resnet(Bottleneck(256), (3, 4, 6, 3)),
    "resnext50_32x4d": lambda: resnet(
        Bottleneck(256, expansion=Fraction(1, 2), conv=Convolution(kernel_size=3, groups=32)),
        (3, 4, 6, 3),
    ),
}
