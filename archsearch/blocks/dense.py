"""DenseNet's layer and transition: a layer adds channels to what it read (Huang et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block
from ..graph import Tracer, Value
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.merge import Concat
from ..operators.normalization import BatchNorm
from ..operators.pooling import AvgPool
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class DenseLayer(Block):
    """Norm, ReLU, 1x1 to ``expansion`` times the growth rate, norm, ReLU, ``conv`` to
    ``growth_rate`` channels, put beside the input."""

    growth_rate: int = 32
    expansion: Ratio = 4
    conv: Spatial = Convolution(kernel_size=3)

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g("act1", ReLU(), g("norm1", BatchNorm(), x))
        y = g("conv1", Convolution(scale(self.growth_rate, self.expansion)), y)
        y = g("act2", ReLU(), g("norm2", BatchNorm(), y))
        y = g("conv2", self.conv.with_(out_channels=self.growth_rate), y)
        return g("concat", Concat(), x, y)


@dataclass(frozen=True)
class DenseTransition(Block):
    """Norm, ReLU, 1x1 to ``width``, average pooling by 2."""

    width: int

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g("act", ReLU(), g("norm", BatchNorm(), x))
        return g("pool", AvgPool(), g("conv", Convolution(self.width), y))
