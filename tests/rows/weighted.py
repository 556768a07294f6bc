"""Rows of weighted convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from archsearch.convolutions.weighted import WeightedConvolution
from rows import alone

OPERATORS = {
    "WeightedConvolution": alone(
        WeightedConvolution,
        out_channels=st.sampled_from([None, 8, 32]),
        kernel_size=st.sampled_from([1, 3, 5]),
        stride=st.sampled_from([1, 2]),
        dilation=st.sampled_from([1, 2]),
        groups=st.sampled_from([None, 8]),
        bias=st.booleans(),
        trainable=st.booleans(),
    )
    | alone(
        WeightedConvolution,
        kernel_size=st.just(5),
        group_size=st.sampled_from([1, 4]),
        density=st.sampled_from([(0.2, 0.8), (0.5, 1.5)]),
        trainable=st.booleans(),
    )
}


def of_check(config: Mapping[str, Any], input_shape: tuple[int, ...]) -> WeightedConvolution:
    return WeightedConvolution(
        config["co"], config["k"], groups=config.get("g"), bias=bool(config.get("bias"))
    )


def trainable(config: Mapping[str, Any], input_shape: tuple[int, ...]) -> WeightedConvolution:
    return WeightedConvolution(config["co"], config["k"], trainable=True)


GROUND_TRUTH_CHECKS = {"wConv2d": of_check, "wConv2d_trainable": trainable}
