"""UniRepLKNet (Ding et al. 2024), as trained; merged it has the published counts."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.conv_stem import ConvStem
from ..blocks.plain import ConvNormAct
from ..blocks.unireplknet import UniRepLKNetBlock
from ..convolutions.reparameterised import DilatedReparam
from ..operators.convolution import depthwise
from ..operators.normalization import LayerNorm
from ..spatial import Spatial

SMALL, LARGE = depthwise(3), DilatedReparam(kernel_size=13)


def unireplknet(
    width: int, depths: tuple[int, ...], third: tuple[Spatial, ...] = (LARGE,)
) -> Architecture:
    """Stages of doubling width; the blocks of the third take the convolutions ``third`` in turn."""
    of_stage: tuple[tuple[Spatial, ...], ...] = ((SMALL,), (LARGE,), third, (LARGE,))
    stages = []
    for i, (depth, convs) in enumerate(zip(depths, of_stage, strict=True)):
        wide = width * 2**i
        blocks = [UniRepLKNetBlock(wide, conv=convs[n % len(convs)]) for n in range(depth)]
        stages.append(Stage((*((downsample(wide),) if i else ()), *map(Run, blocks))))
    stem = ConvStem(width, norm=LayerNorm(), bias=True)
    return Architecture(stem, tuple(stages), Classifier(norm=LayerNorm()))


def downsample(width: int) -> Run:
    return Run(ConvNormAct(width, 2, norm=LayerNorm(), activation=None, bias=True))


DEEP, SPARSE = (3, 3, 27, 3), (LARGE, SMALL, SMALL)

MODELS = {
    "unireplknet_a": lambda: unireplknet(40, (2, 2, 6, 2)),
    "unireplknet_f": lambda: unireplknet(48, (2, 2, 6, 2)),
    "unireplknet_p": lambda: unireplknet(64, (2, 2, 6, 2)),
    "unireplknet_n": lambda: unireplknet(80, (2, 2, 8, 2)),
    "unireplknet_t": lambda: unireplknet(80, (3, 3, 18, 3), (LARGE, SMALL)),
    "unireplknet_s": lambda: unireplknet(96, DEEP, SPARSE),
    "unireplknet_b": lambda: unireplknet(128, DEEP, SPARSE),
    "unireplknet_l": lambda: unireplknet(192, DEEP, SPARSE),
    "unireplknet_xl": lambda: unireplknet(256, DEEP, SPARSE),
}
