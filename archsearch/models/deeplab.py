"""DeepLabv3 (Chen et al. 2017) as in torchvision: dilated ResNet-50, -101 and MobileNetV3-Large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

from ..architecture import Architecture, Run, Stage
from ..block import Block, StagedBlock
from ..blocks.bottleneck import Bottleneck
from ..blocks.dense_prediction import DeepLabHead
from ..blocks.inverted_residual import InvertedResidual
from ..operators.resampling import Resize
from .mobilenet import mobilenetv3_large
from .resnet import resnet

IMAGE = (3, 520, 520)
SPATIAL = Bottleneck | InvertedResidual
"""The blocks that dilate their convolution."""


def dilated(stages: Sequence[Stage], strides: int, delayed: bool = True) -> tuple[Stage, ...]:
    """The stages with their last ``strides`` strides taken out, and every convolution after one
    dilated by 2 more: outputs look at the same places as before, but stand closer.

    With ``delayed`` the block that lost its stride keeps the dilation before it (torchvision's
    ResNet), else it has the new one (its MobileNetV3).
    """
    strided = sum(_is_strided(block) for stage in stages for block in stage.blocks())
    kept, rate, changed = strided - strides, 1, []
    for stage in stages:
        blocks = []
        for block in stage.blocks():
            own = rate
            if _is_strided(block):
                kept -= 1
                if kept < 0:
                    block, rate = replace(block, stride=1), 2 * rate
                    own = own if delayed else rate
            if own > 1 and isinstance(block, SPATIAL):
                block = replace(block, conv=block.conv.with_(dilation=own))
            blocks.append(Run(block))
        changed.append(Stage(tuple(blocks)))
    return tuple(changed)


def _is_strided(block: Block) -> TypeGuard[StagedBlock]:
    return isinstance(block, StagedBlock) and block.stride != 1


def deeplabv3_resnet(depths: tuple[int, ...]) -> Architecture:
    """Output stride 8."""
    backbone = resnet(Bottleneck(256), depths)
    return Architecture(backbone.stem, dilated(backbone.stages, 2), DeepLabHead(), IMAGE)


def deeplabv3_mobilenet() -> Architecture:
    """Output stride 16, which does not divide 520: the scores are resized to the image."""
    backbone = mobilenetv3_large()
    stages = dilated(backbone.stages, 1, delayed=False)
    head = DeepLabHead(upsample=Resize(IMAGE[1:]))
    return Architecture(backbone.stem, stages, head, IMAGE)


MODELS = {
    "deeplabv3_resnet50": lambda: deeplabv3_resnet((3, 4, 6, 3)),
    "deeplabv3_resnet101": lambda: deeplabv3_resnet((3, 4, 23, 3)),
    "deeplabv3_mobilenet_v3_large": deeplabv3_mobilenet,
}
