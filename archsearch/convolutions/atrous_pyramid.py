"""Atrous spatial pyramid pooling: one map at several dilations, and its mean (Chen et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..legality import check_odd
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.dropout import Dropout
from ..operators.merge import Concat
from ..operators.normalization import BatchNorm
from ..operators.pooling import GlobalPool
from ..operators.resampling import ResizeLike
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class AtrousPyramid(CompositeConvolution):
    """DeepLabv3's ASPP: a 1x1, one ``kernel_size`` convolution per dilation in ``rates``, and the
    1x1 of the map's mean spread over it again, side by side; then a 1x1 and dropout.

    Every convolution gives ``out_channels`` and is followed by ``norm`` and ``activation``. The
    rates are 6, 12, 18 at output stride 16 and twice that at 8 (Chen et al. 2017, section 3.3); a
    rate as large as the map leaves a 3x3 only its centre. Cost does not depend on them. Fan-in,
    from the weights' axes: input channels times 1 or kernel_size^2 by branch, of which the mean
    over channels counts, then (rates + 2) times ``out_channels``. Flags: it looks at the whole
    map, and batch norm on a mean of one position needs two images or more to train. No stride.
    """

    rates: tuple[int, ...] = (12, 24, 36)
    kernel_size: int = 3
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()
    dropout: float = 0.5
    paper = "Chen et al. 2017 (DeepLabv3)"

    def check_fields(self) -> None:
        check_odd(self, "kernel_size")

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_size(x)
        width = self.width(x)
        branches = [self._branch(g, "pointwise", Convolution(width), x)]
        for i, rate in enumerate(self.rates, 1):
            dilated = Convolution(width, self.kernel_size, dilation=rate)
            branches.append(self._branch(g, f"dilated{i}", dilated, x))
        mean = self._branch(g, "pooled", Convolution(width), g("pool", GlobalPool(), x))
        branches.append(g("spread", ResizeLike(), mean, x))
        y = self._branch(g, "project", Convolution(width), g("concat", Concat(), *branches))
        return g("dropout", Dropout(self.dropout), y)

    def _branch(self, g: Tracer, name: str, convolution: Convolution, x: Value) -> Value:
        y = g(f"{name}_norm", self.norm, g(name, convolution, x))
        return g(f"{name}_act", self.activation, y)
