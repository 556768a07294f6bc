"""LSNet's blocks, stem and downsampling (Wang et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..block import Block, check_identity, conv_norm_act
from ..convolutions.large_small import LSConvolution
from ..convolutions.reparameterised import Reparameterised
from ..graph import Tracer, Value
from ..operators.activation import ReLU
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add
from ..operators.normalization import BatchNorm
from ..poly import Ratio, scale
from ..recipes.squeeze_excitation import SqueezeExcitation
from ..spatial import Spatial


@dataclass(frozen=True)
class LSNetBlock(Block):
    """``conv``, squeeze-and-excitation where given, then x + MLP(x): 1x1 to ``expansion`` times the
    width, norm, ReLU, 1x1 back, norm. A shortcut around ``conv`` is its own business.

    The default is the block that stands first in a stage: a re-parameterised depthwise 3x3.
    """

    width: int
    conv: Spatial = Reparameterised(kernel_size=3, branches=(1,), identity=True)
    squeeze_excitation: SqueezeExcitation | None = SqueezeExcitation()
    expansion: Ratio = 2

    def expand(self, g: Tracer, x: Value) -> Value:
        check_identity(x, self.width)
        x = g("conv", self.conv.with_(out_channels=self.width), x)
        if self.squeeze_excitation is not None:
            x = g("se", self.squeeze_excitation, x)
        inner = Convolution(scale(self.width, self.expansion))
        y = conv_norm_act(g, "expand", inner, x, BatchNorm(), ReLU())
        y = conv_norm_act(g, "project", Convolution(self.width), y, BatchNorm(zero_init=True))
        return g("add", Add(), y, x)


@dataclass(frozen=True)
class LSNetPair(Block):
    """Two blocks as they alternate in LSNet's stages: ``local`` with squeeze-and-excitation, then
    ``conv`` without."""

    width: int
    conv: Spatial = LSConvolution()
    local: Spatial = LSNetBlock.conv
    expansion: Ratio = 2

    def expand(self, g: Tracer, x: Value) -> Value:
        first = LSNetBlock(self.width, self.local, expansion=self.expansion)
        second = LSNetBlock(self.width, self.conv, None, self.expansion)
        return g("second", second, g("first", first, x))


@dataclass(frozen=True)
class LSNetStem(Block):
    """Three 3x3 convolutions of stride 2, to a quarter, a half and all of ``width``, with norms and
    ReLUs between."""

    width: int

    def expand(self, g: Tracer, x: Value) -> Value:
        for i, part in enumerate((Fraction(1, 4), Fraction(1, 2)), 1):
            conv = Convolution(scale(self.width, part), 3, stride=2)
            x = conv_norm_act(g, f"conv{i}", conv, x, BatchNorm(), ReLU())
        return conv_norm_act(g, "conv3", Convolution(self.width, 3, stride=2), x, BatchNorm())


@dataclass(frozen=True)
class LSNetDownsample(Block):
    """Depthwise 3x3 of stride 2, norm, 1x1 to ``width``, norm: between LSNet's stages."""

    width: int

    def expand(self, g: Tracer, x: Value) -> Value:
        y = conv_norm_act(g, "conv", depthwise(3).with_(stride=2), x, BatchNorm())
        return conv_norm_act(g, "pointwise", Convolution(self.width), y, BatchNorm())
