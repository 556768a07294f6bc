"""Rows of InceptionNeXt."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from drawn import activations
from hypothesis import strategies as st

from archsearch.blocks.convnext import ConvNeXtBlock
from archsearch.convolutions.inception import InceptionDepthwise
from archsearch.operators.normalization import BatchNorm, LayerNorm
from rows import alone, built

CONVOLUTIONS = {
    "InceptionDepthwise": alone(
        InceptionDepthwise,
        square_kernel_size=st.sampled_from([3, 5]),
        band_kernel_size=st.sampled_from([7, 9, 11]),
        branch_ratio=st.sampled_from([Fraction(1, 8), Fraction(1, 4), Fraction(1, 16)]),
    ),
}
BLOCKS = {
    "MLPClassifier": built(
        "MLPClassifier",
        st.sampled_from([1, 10]),
        st.sampled_from([1, 3, Fraction(1, 2)]),
        activations,
        st.just(LayerNorm()),
    ),
}
DIMENSIONS = {"InceptionDepthwise": (2,)}
WHOLE_MAP = {"MLPClassifier"}

PUBLISHED = {
    "inceptionnext_atto": (4_156_520, 503_035_040),
    "inceptionnext_tiny": (28_055_680, 4_188_634_272),
    "inceptionnext_small": (49_374_016, 8_355_682_080),
    "inceptionnext_base": (86_672_136, 14_841_072_000),
    "inceptionnext_base_384": (86_672_136, 43_602_524_160),
}
GROUND_TRUTH_MODELS = {
    "InceptionNeXt-atto": "inceptionnext_atto",
    "InceptionNeXt-tiny": "inceptionnext_tiny",
}


def inception(config: dict[str, Any], x: tuple[int, ...]) -> InceptionDepthwise:
    ratio = Fraction(config.get("r", 1 / 8))
    return InceptionDepthwise(band_kernel_size=config.get("kb", 11), branch_ratio=ratio)


def metanext(config: dict[str, Any], x: tuple[int, ...]) -> ConvNeXtBlock:
    return ConvNeXtBlock(config["c"], conv=InceptionDepthwise(), norm=BatchNorm())


GROUND_TRUTH_CHECKS = {"InceptionDWConv2d": inception, "MetaNeXtBlock": metanext}
