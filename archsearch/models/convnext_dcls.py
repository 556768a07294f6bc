"""ConvNeXt with learnable spacings instead of 7x7 kernels (Khalfaoui-Hassani et al. 2023)."""

from __future__ import annotations

from dataclasses import replace

from ..architecture import Architecture, Run, Stage
from ..blocks.convnext import ConvNeXtBlock
from ..convolutions.dcls import DCLS
from .convnext import convnext


def convnext_dcls(width: int, depths: tuple[int, ...], conv: DCLS) -> Architecture:
    """ConvNeXt with ``conv`` for every depthwise convolution, its positions learned once a stage:
    by the first block, which the others share them with."""
    plain = convnext(ConvNeXtBlock(width, conv=conv), depths)
    return replace(plain, stages=tuple(map(_sharing, plain.stages)))


def _sharing(stage: Stage) -> Stage:
    *before, run = stage.runs
    assert isinstance(run.block, ConvNeXtBlock)
    shares = replace(run.block, conv=run.block.conv.with_(shares_positions=True))
    return Stage((*before, Run(run.block), Run(shares, run.repeats - 1)))


def bilinear(taps: int) -> DCLS:
    return DCLS(kernel_size=17, taps=taps, interpolation="bilinear", group_size=1)


TINY, DEEP = (3, 3, 9, 3), (3, 3, 27, 3)
GAUSS = DCLS(kernel_size=23, taps=26, interpolation="gauss", group_size=1)

MODELS = {
    "convnext_tiny_dcls": lambda: convnext_dcls(96, TINY, bilinear(34)),
    "convnext_small_dcls": lambda: convnext_dcls(96, DEEP, bilinear(40)),
    "convnext_base_dcls": lambda: convnext_dcls(128, DEEP, bilinear(40)),
    "convnext_tiny_dcls_gauss": lambda: convnext_dcls(96, TINY, GAUSS),
}
