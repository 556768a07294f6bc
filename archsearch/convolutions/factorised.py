"""(2+1)D convolution: a spatial, then a temporal convolution around a middle width (Tran et al.).

Tran et al. 2018, "A closer look at spatiotemporal convolutions for action recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..legality import check, check_odd, per_dimension
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from ..poly import NotConcrete, Number, Poly, Ratio, scale
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class Factorised(CompositeConvolution):
    """1 x k x k to the middle width, norm, activation, t x 1 x 1 to ``out_channels``, on maps of
    time x height x width: R(2+1)D's stand-in for a t x k x k convolution.

    The middle width is ``middle`` channels, or ``expansion`` times the output width (9/4 where a
    3 x 3 x 3 keeps its width), or by default M = floor(t k^2 N_in N_out / (k^2 N_in + t N_out)),
    which has as many weights as the t x k x k convolution (Tran et al. 2018, section 3.5). Fan-in,
    from the weights' axes: k^2 N_in, then t M: two layers where the full convolution is one of
    t k^2 N_in. No flag of its own: any size of map, shift-equivariant.
    """

    kernel_size: int = 3
    temporal_kernel_size: int = 3
    middle: int | None = None
    expansion: Ratio | None = None
    norm: Operator | None = BatchNorm()
    activation: Operator | None = ReLU()
    bias: bool = False
    paper = "Tran et al. 2018 (R(2+1)D)"

    def check_fields(self) -> None:
        check_odd(self, "kernel_size", "temporal_kernel_size")
        together = self.middle is not None and self.expansion is not None
        check(not together, "Factorised: give middle or expansion, not both")

    def middle_width(self, inputs: Number, outputs: Number) -> Number:
        """Channels between the two convolutions; the default of section 3.5 rounds down, so it
        raises ``NotConcrete`` for unknown widths."""
        if self.middle is not None:
            return self.middle
        if self.expansion is not None:
            return scale(outputs, self.expansion)
        if isinstance(inputs, Poly) or isinstance(outputs, Poly):
            raise NotConcrete("widths must be known to match the weights of a 3-D convolution")
        plane, taps = self.kernel_size * self.kernel_size, self.temporal_kernel_size
        return taps * plane * inputs * outputs // (plane * inputs + taps * outputs)

    def expand(self, g: Tracer, x: Value) -> Value:
        check(
            x.shape.dimensions == 3,
            "Factorised needs time, height and width, not {}; a map without time takes Convolution",
            x.shape,
        )
        t, h, w = per_dimension(self.stride, 3, "Factorised: stride")
        in_plane = 1 if h == w == 1 else (1, h, w)
        in_time = 1 if t == 1 else (t, 1, 1)
        out, bias = self.width(x), self.norm is None
        middle = self.middle_width(x.shape.channels, out)
        kernel = (1, self.kernel_size, self.kernel_size)
        y = g("spatial", Convolution(middle, kernel, in_plane, bias=bias), x)
        if self.norm is not None:
            y = g("spatial_norm", self.norm, y)
        if self.activation is not None:
            y = g("spatial_act", self.activation, y)
        kernel = (self.temporal_kernel_size, 1, 1)
        return g("temporal", Convolution(out, kernel, in_time, bias=self.bias), y)
