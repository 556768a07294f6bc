"""Visual Attention Network (Guo et al. 2023)."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.convnext import NormDownsample
from ..blocks.metaformer import MetaFormerBlock
from ..blocks.plain import ConvNormAct
from ..convolutions.large_kernel_attention import VisualAttention
from ..operators.convolution import Convolution, depthwise
from ..operators.normalization import BatchNorm, LayerNorm

EXPANSIONS = (8, 8, 4, 4)


def van(widths: tuple[int, ...], depths: tuple[int, ...]) -> Architecture:
    """The layer norm that ends a stage stands at the start of the next one's downsampling."""
    overlapping, norm, stages = Convolution(kernel_size=3), BatchNorm(), []
    for i, (width, depth, expansion) in enumerate(zip(widths, depths, EXPANSIONS, strict=True)):
        block = MetaFormerBlock(
            width, expansion, VisualAttention(), depthwise(3), norm, layer_scale=1e-2
        )
        between = Run(NormDownsample(width, LayerNorm(), overlapping, final_norm=norm))
        stages.append(Stage((*((between,) if i else ()), Run(block, depth))))
    patches = Convolution(kernel_size=7)
    stem = ConvNormAct(widths[0], 4, patches, norm, activation=None, bias=True)
    return Architecture(stem, tuple(stages), Classifier(norm=LayerNorm(), norm_first=True))


MODELS = {
    "van_b0": lambda: van((32, 64, 160, 256), (3, 3, 5, 2)),
    "van_b1": lambda: van((64, 128, 320, 512), (2, 2, 4, 2)),
    "van_b2": lambda: van((64, 128, 320, 512), (3, 3, 12, 3)),
    "van_b3": lambda: van((64, 128, 320, 512), (3, 5, 27, 3)),
    "van_b4": lambda: van((64, 128, 320, 512), (3, 6, 40, 3)),
    "van_b5": lambda: van((96, 192, 480, 768), (3, 3, 24, 3)),
    "van_b6": lambda: van((96, 192, 384, 768), (6, 6, 90, 6)),
}
