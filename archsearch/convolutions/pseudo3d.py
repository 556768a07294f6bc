"""Pseudo-3-D convolution: a spatial and a temporal one in three wirings (Qiu et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..graph import Tracer, Value
from ..legality import check, check_odd, per_dimension
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.merge import Add
from ..operators.normalization import BatchNorm
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class Pseudo3d(CompositeConvolution):
    """S is 1 x k x k within every frame, T is t x 1 x 1 across frames, on maps of time x height x
    width; each is followed by ``norm`` and ``activation``, so a block need not add its own.

    ``variant`` "A" is T(S(x)), "B" is S(x) + T(x), "C" is S(x) + T(S(x)) (Qiu et al. 2017, figure
    2). At equal channels all three have the same weights, k^2 + t instead of t k^2 per pair of
    channels. Fan-in, from the weights' axes: k^2 times the channels for S, t times for T; A and C
    have two layers on the longest path, B has one. No flag of its own: linear but for norm and
    activation, any size of map, shift-equivariant.
    """

    variant: Literal["A", "B", "C"] = "A"
    kernel_size: int = 3
    temporal_kernel_size: int = 3
    norm: Operator | None = BatchNorm()
    activation: Operator | None = ReLU()
    paper = "Qiu et al. 2017 (P3D)"

    def check_fields(self) -> None:
        check_odd(self, "kernel_size", "temporal_kernel_size")

    @property
    def kind(self) -> str:
        return f"Pseudo3d{self.variant}"

    def expand(self, g: Tracer, x: Value) -> Value:
        check(
            x.shape.dimensions == 3,
            "Pseudo3d needs time, height and width, not {}; a map without time takes Convolution",
            x.shape,
        )
        t, h, w = per_dimension(self.stride, 3, "Pseudo3d: stride")
        if self.variant == "A":
            return self._temporal(g, self._spatial(g, x, (1, h, w)), (t, 1, 1))
        spatial = self._spatial(g, x, (t, h, w))
        if self.variant == "B":
            return g("add", Add(), spatial, self._temporal(g, x, (t, h, w)))
        return g("add", Add(), spatial, self._temporal(g, spatial, (1, 1, 1)))

    def _spatial(self, g: Tracer, x: Value, stride: tuple[int, int, int]) -> Value:
        return self._convolve(g, "spatial", (1, self.kernel_size, self.kernel_size), x, stride)

    def _temporal(self, g: Tracer, x: Value, stride: tuple[int, int, int]) -> Value:
        return self._convolve(g, "temporal", (self.temporal_kernel_size, 1, 1), x, stride)

    def _convolve(
        self, g: Tracer, name: str, kernel: tuple[int, ...], x: Value, stride: tuple[int, int, int]
    ) -> Value:
        step = 1 if stride == (1, 1, 1) else stride
        bias = self.norm is None
        y = g(name, Convolution(self.out_channels, kernel, step, bias=bias), x)
        if self.norm is not None:
            y = g(f"{name}_norm", self.norm, y)
        return y if self.activation is None else g(f"{name}_act", self.activation, y)
