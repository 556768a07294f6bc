"""Rows of the large-small convolution and of the aggregation inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from archsearch.convolutions.large_small import LSConvolution, SmallKernelAggregation
from archsearch.graph import Tracer, Value
from archsearch.operators.convolution import Convolution
from rows import Alone, alone


@dataclass(frozen=True)
class Weighed(Alone):
    """An aggregation of the input with half as many kernels computed from it."""

    op: SmallKernelAggregation

    def expand(self, g: Tracer, x: Value) -> Value:
        channels = self.op.taps(x.shape) * (x.shape.channels // 2)
        return g("op", self.op, x, g("kernels", Convolution(channels), x))


OPERATORS = {
    "SmallKernelAggregation": st.builds(
        Weighed, st.builds(SmallKernelAggregation, kernel_size=st.sampled_from([1, 3, 5]))
    ),
}
CONVOLUTIONS = {
    "LSConvolution": alone(
        LSConvolution,
        large_kernel_size=st.sampled_from([5, 7]),
        small_kernel_size=st.sampled_from([1, 3]),
        groups=st.sampled_from([1, 2, 8, 16]),
    ),
}
WHOLE_MAP = {"LSConvolution"}


def convolution(config: Mapping[str, Any], shape: tuple[int, ...]) -> LSConvolution:
    return LSConvolution(
        large_kernel_size=config["lks"], small_kernel_size=config["sks"], groups=config["groups"]
    )


GROUND_TRUTH_CHECKS = {"LSConv": convolution}
