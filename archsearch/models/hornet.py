"""HorNet (Rao et al. 2022), with 7x7 depthwise kernels and with global filters (GF)."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.convnext import NormDownsample, PatchStem
from ..blocks.metaformer import MetaFormerBlock
from ..convolutions.recursive_gated import GlobalLocalFilter, RecursiveGated
from ..operators.convolution import depthwise
from ..operators.normalization import LayerNorm


def hornet(width: int, global_filter: bool = False) -> Architecture:
    """Four stages of doubling ``width`` and gates of order 2 to 5; global filters are in the last
    two stages."""
    stages = []
    for i, depth in enumerate((2, 3, 18, 2)):
        conv = GlobalLocalFilter() if global_filter and i >= 2 else depthwise(7)
        block = MetaFormerBlock(width * 2**i, conv=RecursiveGated(order=i + 2, conv=conv))
        between = (Run(NormDownsample(block.width)),) if i else ()
        stages.append(Stage((*between, Run(block, depth))))
    return Architecture(PatchStem(width), tuple(stages), Classifier(norm=LayerNorm()))


MODELS = {
    "hornet_tiny_7x7": lambda: hornet(64),
    "hornet_tiny_gf": lambda: hornet(64, global_filter=True),
    "hornet_small_7x7": lambda: hornet(96),
    "hornet_small_gf": lambda: hornet(96, global_filter=True),
    "hornet_base_7x7": lambda: hornet(128),
    "hornet_base_gf": lambda: hornet(128, global_filter=True),
    "hornet_large_7x7": lambda: hornet(192),
    "hornet_large_gf": lambda: hornet(192, global_filter=True),
}
