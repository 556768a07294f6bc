"""Heads that give every position of the input scores: DeepLabv3's (Chen et al. 2017) and FCN's."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..block import Block, conv_norm_act
from ..convolutions.atrous_pyramid import AtrousPyramid
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.dropout import Dropout
from ..operators.normalization import BatchNorm
from ..operators.resampling import Upsample
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class DeepLabHead(Block):
    """``pyramid`` to ``width`` channels, 3x3, 1x1 to ``classes`` scores, ``upsample``.

    ``Upsample`` by the output stride of the network follows inputs of any size that the stride
    divides; for others ``Resize`` goes to one size; None leaves the scores at the map's size.
    """

    classes: int = 21
    width: int = 256
    pyramid: Spatial = AtrousPyramid()
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()
    upsample: Operator | None = Upsample(8)

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g("pyramid", self.pyramid.with_(out_channels=self.width), x)
        conv = Convolution(self.width, kernel_size=3)
        y = conv_norm_act(g, "conv", conv, y, self.norm, self.activation)
        y = g("classifier", Convolution(self.classes, bias=True), y)
        return y if self.upsample is None else g("upsample", self.upsample, y)


@dataclass(frozen=True)
class FCNHead(Block):
    """3x3 to ``ratio`` times the input's channels, dropout, 1x1 to ``classes`` scores, ``upsample``
    (Long et al. 2015): what torchvision trains beside DeepLabv3 on an earlier map, and drops."""

    classes: int = 21
    ratio: Ratio = Fraction(1, 4)
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()
    dropout: float = 0.1
    upsample: Operator | None = Upsample(8)

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = Convolution(scale(x.shape.channels, self.ratio), kernel_size=3)
        y = conv_norm_act(g, "conv", conv, x, self.norm, self.activation)
        y = g("dropout", Dropout(self.dropout), y)
        y = g("classifier", Convolution(self.classes, bias=True), y)
        return y if self.upsample is None else g("upsample", self.upsample, y)
