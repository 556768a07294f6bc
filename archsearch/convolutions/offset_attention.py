"""Attention over the whole map as a spatial layer with norm and shortcut (LSNet's last stage)."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..legality import Divisors, check, check_odd
from ..operators.activation import ReLU
from ..operators.attention import BiasedAttention
from ..operators.convolution import Convolution
from ..operators.merge import Add, Split
from ..operators.normalization import BatchNorm
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class OffsetAttention(CompositeConvolution):
    """Attention of ``heads`` heads with a learned bias per offset, after a depthwise convolution
    of the queries; norms after every convolution, and a shortcut around it all.

    Queries and keys have ``key_width`` channels a head, values all channels together. A signal
    passes as value: the first 1x1 (fan-in C), attention (all positions) and the last 1x1 (C);
    queries and keys only weigh it. It is input-conditioned and fits one size of map.
    """

    heads: int = 4
    key_width: int = 16
    query_kernel_size: int | tuple[int, ...] = 3
    paper = "Wang et al. 2025 (LSNet); Graham et al. 2021 (LeViT)"

    def check_fields(self) -> None:
        check_odd(self, "query_kernel_size")

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        channels, keys = x.shape.channels, self.heads * self.key_width
        check(
            channels % self.heads == 0,
            "OffsetAttention: {} channels do not split into {} heads; {} would",
            channels,
            self.heads,
            Divisors(channels, self.heads),
        )
        y = g("qkv_norm", BatchNorm(), g("qkv", Convolution(2 * keys + channels), x))
        query = g("query", Split(0, keys), y)
        key = g("key", Split(keys, 2 * keys), y)
        value = g("value", Split(2 * keys, 2 * keys + channels), y)
        conv = Convolution(kernel_size=self.query_kernel_size, group_size=1)
        query = g("query_conv_norm", BatchNorm(), g("query_conv", conv, query))
        y = g("attention", BiasedAttention(self.heads), query, key, value)
        y = g("project", Convolution(channels), g("activation", ReLU(), y))
        return g("add", Add(), g("project_norm", BatchNorm(zero_init=True), y), x)
