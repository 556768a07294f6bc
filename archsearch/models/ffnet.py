"""FFNet (Yun et al. 2024, MetaMixer), as trained; merged it has the published counts."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.conv_stem import ConvStem
from ..blocks.ffnet import FFNetBlock, FFNetDownsample
from ..convolutions.ffnified_attention import FFNifiedAttention
from ..convolutions.reparameterised import Reparameterised
from ..operators.convolution import depthwise
from ..operators.normalization import BatchNorm
from ..spatial import Spatial

LARGE = Reparameterised(kernel_size=7)


def ffnet(
    width: int,
    depths: tuple[int, ...],
    mlp_conv: Spatial = LARGE,
    mlp_norm: BatchNorm | None = None,
    layer_scale: float | None = None,
    size: int = 256,
) -> Architecture:
    """Stages of doubling width from ``width`` on, for images of ``size`` x ``size``."""
    convs: tuple[Spatial, ...] = (depthwise(3), depthwise(3), LARGE, LARGE)
    stages = []
    for i, (depth, conv) in enumerate(zip(depths, convs, strict=True)):
        block = FFNetBlock(
            width * 2**i,
            conv=FFNifiedAttention(conv=conv),
            mlp_conv=mlp_conv,
            norm=mlp_norm,
            layer_scale=layer_scale,
        )
        between = (Run(FFNetDownsample(block.width)),) if i else ()
        stages.append(Stage((*between, Run(block, depth))))
    head = Classifier(norm=BatchNorm(), norm_first=True)
    return Architecture(ConvStem(width, 64), tuple(stages), head, (3, size, size))


def ffnet_3(size: int = 256) -> Architecture:
    return ffnet(96, (4, 4, 22, 5), layer_scale=1e-6, size=size)


MODELS = {
    "ffnet_1": lambda: ffnet(80, (2, 2, 8, 2), depthwise(3), BatchNorm()),
    "ffnet_2": lambda: ffnet(88, (3, 3, 15, 3)),
    "ffnet_3": ffnet_3,
    "ffnet_3_384": lambda: ffnet_3(384),
    "ffnet_4_384": lambda: ffnet(128, (4, 4, 27, 3), layer_scale=1e-6, size=384),
}
