"""FFNified attention: query, key and value as convolutions, GELU for the softmax (FFNet)."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..legality import check
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution, depthwise
from ..operators.normalization import BatchNorm
from ..spatial import CompositeConvolution, Spatial


@dataclass(frozen=True)
class FFNifiedAttention(CompositeConvolution):
    """A 1 x 1 with batch norm is the query, a depthwise convolution the keys it meets, GELU what
    softmax was, a second depthwise convolution the values (Yun et al. 2024).

    ``conv`` is the kind of convolution of keys and values: it keeps channels and size and has a
    bias where it has no norm of its own. MetaMixer, the frame of which this is one filling, leaves
    ``conv`` and ``activation`` open. Keeps channels and size. Fan-ins: those of the three one after
    the other.
    """

    conv: Spatial = depthwise(3)
    activation: Operator = GELU()

    paper = "Yun et al. 2024 (MetaMixer)"

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        width = self.width(x)
        conv = self.conv.with_(out_channels=width, bias=True)
        y = g("query_norm", BatchNorm(), g("query", Convolution(width), x))
        y = g("activation", self.activation, g("key", conv, y))
        y = g("value", conv, y)
        check(
            y.shape.size == x.shape.size,
            "FFNifiedAttention: its conv makes {} of {}; give one that keeps the size",
            y.shape,
            x.shape,
        )
        return y
