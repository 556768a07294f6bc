"""MobileNet V1 and ResNeXt-50 with one group size everywhere (Jha et al. 2020, E2GC).

The paper replaces a fixed number of groups by a fixed number of channels per group. Group size 1 is
MobileNet V1 itself; ResNeXt-50's 32 groups have 4, 8, 16 and 32 channels from stage to stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial

from ..architecture import Architecture, Run, Stage
from ..blocks.bottleneck import Bottleneck
from ..blocks.depthwise_separable import DepthwiseSeparable
from ..operators.convolution import Convolution
from .mobilenet import mobilenetv1
from .resnet import resnet


def mobilenetv1_e2gc(group_size: int) -> Architecture:
    """MobileNet V1 with groups of ``group_size`` channels instead of depthwise convolutions."""
    plain, conv = mobilenetv1(), Convolution(kernel_size=3, group_size=group_size)

    def grouped(run: Run) -> Run:
        assert isinstance(run.block, DepthwiseSeparable)
        return replace(run, block=replace(run.block, conv=conv))

    stages = tuple(Stage(tuple(map(grouped, stage.runs))) for stage in plain.stages)
    return replace(plain, stages=stages)


def resnext50_e2gc(group_size: int) -> Architecture:
    """ResNeXt-50 with groups of ``group_size`` channels instead of 32 groups."""
    conv = Convolution(kernel_size=3, group_size=group_size)
    return resnet(Bottleneck(256, expansion=Fraction(1, 2), conv=conv), (3, 4, 6, 3))


SIZES = (1, 2, 4, 8, 16, 32)

MODELS: dict[str, Callable[[], Architecture]] = {
    **{f"mobilenetv1_e2gc_g{size}": partial(mobilenetv1_e2gc, size) for size in SIZES},
    **{f"resnext50_e2gc_g{size}": partial(resnext50_e2gc, size) for size in (*SIZES, 64)},
}
