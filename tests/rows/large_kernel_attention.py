"""Rows of large kernel attention and the Visual Attention Network."""

from __future__ import annotations

from typing import Any

from drawn import activations
from hypothesis import strategies as st

from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.convolutions.large_kernel_attention import LargeKernelAttention, VisualAttention
from archsearch.operators.convolution import depthwise
from archsearch.operators.normalization import BatchNorm
from rows import Alone, alone

attention = st.sampled_from([(21, 3), (7, 3), (10, 2), (5, 1), (14, 3)]).map(
    lambda sizes: LargeKernelAttention(kernel_size=sizes[0], dilation=sizes[1])
)

CONVOLUTIONS = {
    "LargeKernelAttention": attention.map(Alone),
    "VisualAttention": alone(
        VisualAttention, conv=attention | st.just(depthwise(5)), activation=activations
    ),
}

PUBLISHED = {
    "van_b0": (4_105_800, 864_224_000),
    "van_b1": (13_861_800, 2_495_262_720),
    "van_b2": (26_578_472, 4_992_773_120),
    "van_b3": (44_765_608, 8_925_292_032),
    "van_b4": (60_283_176, 12_143_756_288),
    "van_b5": (89_967_688, 17_129_123_328),
    "van_b6": (199_829_416, 38_710_096_896),
}
GROUND_TRUTH_MODELS = {"VAN-B0": "van_b0", "VAN-B1": "van_b1", "VAN-B2": "van_b2"}


def lka(config: dict[str, Any], x: tuple[int, ...]) -> LargeKernelAttention:
    return LargeKernelAttention()


def block(config: dict[str, Any], x: tuple[int, ...]) -> MetaFormerBlock:
    return MetaFormerBlock(
        config["c"], config["r"], VisualAttention(), depthwise(3), BatchNorm(), layer_scale=1e-2
    )


GROUND_TRUTH_CHECKS = {"LKA": lka, "VAN.Block": block}
