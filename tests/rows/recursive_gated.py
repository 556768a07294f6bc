"""Rows of recursive gated convolutions and global filters, and what HorNet must cost."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.convolutions.recursive_gated import (
    ConstantScale,
    GlobalFilter,
    GlobalLocalFilter,
    Interleave,
    RecursiveGated,
)
from archsearch.operators.convolution import depthwise
from rows import Alone, Meeting, alone

OPERATORS = {
    "ConstantScale": alone(
        ConstantScale, factor=st.sampled_from([Fraction(1, 3), 2, Fraction(2, 3)])
    ),
    "GlobalFilter": alone(GlobalFilter),
    "Interleave": st.just(Meeting(Interleave())),
}
CONVOLUTIONS = {
    "RecursiveGated": alone(
        RecursiveGated,
        order=st.integers(1, 5),
        conv=st.sampled_from([depthwise(7), depthwise(3, dilation=2)]),
        factor=st.sampled_from([Fraction(1, 3), 1]),
    )
    | st.just(Alone(RecursiveGated(order=3, conv=GlobalLocalFilter()))),
    "GlobalLocalFilter": alone(GlobalLocalFilter, kernel_size=st.sampled_from([3, 5])),
}

PUBLISHED = {
    "hornet_tiny_7x7": (22_409_512, 3_968_389_312),
    "hornet_tiny_gf": (22_991_848, 3_888_705_120),
    "hornet_small_7x7": (49_528_264, 8_813_970_720),
    "hornet_small_gf": (50_401_768, 8_694_444_432),
    "hornet_base_7x7": (87_256_680, 15_567_143_296),
    "hornet_base_gf": (88_421_352, 15_407_774_912),
    "hornet_large_7x7": (194_542_504, 34_796_261_952),
    "hornet_large_gf": (196_289_512, 34_557_209_376),
}
GROUND_TRUTH_MODELS = {
    "HorNet-tiny_7x7": "hornet_tiny_7x7",
    "HorNet-tiny_gf": "hornet_tiny_gf",
    "HorNet-small_7x7": "hornet_small_7x7",
    "HorNet-small_gf": "hornet_small_gf",
}


def gated(config: Mapping[str, Any], shape: tuple[int, ...]) -> RecursiveGated:
    return RecursiveGated(order=config["order"])


def block(config: Mapping[str, Any], shape: tuple[int, ...]) -> MetaFormerBlock:
    return MetaFormerBlock(config["c"], conv=gated(config, shape))


GROUND_TRUTH_CHECKS = {"gnconv": gated, "HorNet.Block": block}
