"""ConvNeXt (Liu et al. 2022) and ConvNeXt V2 (Woo et al. 2023)."""

from __future__ import annotations

from dataclasses import replace

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block, NormDownsample, PatchStem
from ..operators.normalization import LayerNorm


def convnext(block: ConvNeXtBlock, depths: tuple[int, ...]) -> Architecture:
    """Stages of doubling width, of which the first is as wide as ``block``."""
    stages = []
    for i, depth in enumerate(depths):
        wide = replace(block, width=block.width * 2**i)
        between = (Run(NormDownsample(wide.width)),) if i else ()
        stages.append(Stage((*between, Run(wide, depth))))
    return Architecture(PatchStem(block.width), tuple(stages), Classifier(norm=LayerNorm()))


MODELS = {
    "convnext_atto": lambda: convnext(ConvNeXtBlock(40), (2, 2, 6, 2)),
    "convnext_pico": lambda: convnext(ConvNeXtBlock(64), (2, 2, 6, 2)),
    "convnext_tiny": lambda: convnext(ConvNeXtBlock(96), (3, 3, 9, 3)),
    "convnext_small": lambda: convnext(ConvNeXtBlock(96), (3, 3, 27, 3)),
    "convnext_base": lambda: convnext(ConvNeXtBlock(128), (3, 3, 27, 3)),
    "convnext_large": lambda: convnext(ConvNeXtBlock(192), (3, 3, 27, 3)),
    "convnext_xlarge": lambda: convnext(ConvNeXtBlock(256), (3, 3, 27, 3)),
    "convnextv2_atto": lambda: convnext(ConvNeXtV2Block(40), (2, 2, 6, 2)),
    "convnextv2_tiny": lambda: convnext(ConvNeXtV2Block(96), (3, 3, 9, 3)),
}
