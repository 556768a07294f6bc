"""R3D, MC3 and R(2+1)D with 18 layers (Tran et al. 2018), for clips of 16 frames of 112 x 112."""

from __future__ import annotations

from ..architecture import Architecture, Stage
from ..blocks.basic import BasicBlock
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..convolutions.factorised import Factorised
from ..operators.convolution import Convolution
from ..spatial import Spatial

WIDTHS = (64, 128, 256, 512)
CLIP = (3, 16, 112, 112)
STEM = Convolution(kernel_size=(3, 7, 7))
SPATIAL = Convolution(kernel_size=(1, 3, 3))
FULL = Convolution(kernel_size=3)


def video_resnet(stem: Spatial, convolutions: tuple[Spatial, ...]) -> Architecture:
    """Four stages of two basic blocks, each stage with a convolution of its own; stages without
    temporal taps keep the number of frames."""
    stages, before = [], WIDTHS[0]
    for width, conv in zip(WIDTHS, convolutions, strict=True):
        block = BasicBlock(width, conv=conv)
        if width == before:
            stages.append(Stage.of(block, 2))
            continue
        stride = (1, 2, 2) if conv == SPATIAL else 2
        first = conv
        if isinstance(conv, Factorised):  # one middle width for both convolutions of a block
            first = conv.with_(middle=conv.middle_width(before, width))
        stages.append(Stage.of(block, 2, stride=stride, projects=True, conv=first))
        before = width
    entry = ConvNormAct(WIDTHS[0], conv=stem, stride=(1, 2, 2))
    return Architecture(entry, tuple(stages), Classifier(400), CLIP)


def r2plus1d_18() -> Architecture:
    """The released network: 45 channels amid the stem, where matching weights would give 83."""
    return video_resnet(Factorised(kernel_size=7, middle=45), (Factorised(),) * 4)


MODELS = {
    "r3d_18": lambda: video_resnet(STEM, (FULL,) * 4),
    "mc3_18": lambda: video_resnet(STEM, (FULL, SPATIAL, SPATIAL, SPATIAL)),
    "r2plus1d_18": r2plus1d_18,
}
