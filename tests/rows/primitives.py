"""Rows of the layers that torch has, and of those that every family shares."""

from __future__ import annotations

from hypothesis import strategies as st

from archsearch.operator import Operator
from archsearch.operators.convolution import Convolution
from archsearch.operators.linear import Flatten, Linear
from archsearch.operators.merge import Add, Concat, LayerScale, Multiply, Split
from archsearch.operators.normalization import GRN, BatchNorm, GroupNorm, LayerNorm
from archsearch.operators.pooling import AvgPool, GlobalPool, MaxPool
from rows import Alone, Gated, Meeting, OnFeatures, Side, alone, pool

even_kernels = st.builds(
    Convolution,
    out_channels=st.sampled_from([3, 16]),
    kernel_size=st.sampled_from([2, 3, 4]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1]),
)
whole_kernels = st.builds(
    Convolution,
    out_channels=st.sampled_from([None, 8, 48]),
    kernel_size=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2, 3]),
    dilation=st.sampled_from([1, 2]),
    groups=st.sampled_from([None, 1, 4, 8]),
    bias=st.booleans(),
)
narrow_groups = st.builds(
    Convolution,
    out_channels=st.sampled_from([None, 32]),
    kernel_size=st.sampled_from([3, 7]),
    stride=st.sampled_from([1, 2]),
    group_size=st.sampled_from([1, 2, 8, 16]),
    bias=st.booleans(),
)
uneven_kernels = st.sampled_from(
    [
        Convolution(kernel_size=(5,), stride=(2,), dilation=(2,), group_size=1),
        Convolution(8, kernel_size=(3, 1), dilation=(2, 1), stride=(1, 2)),
        Convolution(kernel_size=(2, 3), padding=(0, 1), groups=4, bias=True),
        Convolution(kernel_size=3, stride=(2, 1), group_size=1),
        Convolution(kernel_size=(1, 11), group_size=1),
        Convolution(8, kernel_size=(1, 3, 3)),
        Convolution(8, kernel_size=(3, 1, 1), stride=(2, 1, 1), dilation=(1, 1, 2), groups=2),
    ]
)

OPERATORS = {
    **{
        name: alone(Operator.known[name])
        for name in (
            "ReLU", "ReLU6", "SiLU", "GELU", "Hardswish", "Sigmoid", "Hardsigmoid", "Tanh",
        )
    },
    "Convolution": st.builds(Alone, even_kernels | whole_kernels | narrow_groups | uneven_kernels),
    "Linear": st.builds(
        OnFeatures, st.builds(Linear, st.sampled_from([1, 7, 32]), bias=st.booleans())
    ),
    "Flatten": alone(Flatten),
    "Add": st.just(Meeting(Add())),
    "Multiply": st.sampled_from([Meeting(Multiply()), Gated(Multiply())]),
    "Concat": st.just(Side(Concat())),
    "Split": st.sampled_from([(0, 5), (4, 16), (0, 16)]).map(lambda ends: Alone(Split(*ends))),
    "LayerScale": alone(LayerScale, initial_value=st.sampled_from([1e-6, 1.0])),
    "BatchNorm": alone(
        BatchNorm,
        eps=st.sampled_from([1e-5, 1e-3]),
        momentum=st.sampled_from([0.1, 0.01]),
        zero_init=st.booleans(),
    ),
    "LayerNorm": alone(LayerNorm, eps=st.sampled_from([1e-6, 1e-5])),
    "GRN": alone(GRN, bias=st.booleans()),
    "GroupNorm": alone(
        GroupNorm, groups=st.sampled_from([1, 4, 16]), eps=st.sampled_from([1e-5, 1e-3])
    ),
    "MaxPool": pool(MaxPool),
    "AvgPool": pool(AvgPool),
    "GlobalPool": alone(GlobalPool),
}  # fmt: skip
WHOLE_MAP = {"Flatten", "GRN", "GlobalPool", "GroupNorm", "Linear"}
