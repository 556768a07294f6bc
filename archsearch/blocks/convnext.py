"""ConvNeXt's block (Liu et al. 2022), its V2 form (Woo et al. 2023), its stem and downsampling."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, check_identity, conv_norm_act
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add, LayerScale
from ..operators.normalization import GRN, LayerNorm
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class ConvNeXtBlock(Block):
    """``conv``, norm, 1x1 to ``expansion`` times the width, GELU, 1x1 back, around an identity.

    ``response_norm`` adds GRN after the GELU (V2); ``layer_scale`` is the initial factor of the
    branch, None for none (V2).
    """

    width: int
    expansion: Ratio = 4
    conv: Spatial = depthwise(7)
    norm: Operator = LayerNorm()
    response_norm: bool = False
    layer_scale: float | None = 1e-6

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = self.conv.with_(out_channels=self.width, bias=True)
        y = conv_norm_act(g, "conv", conv, x, self.norm)
        inner = scale(self.width, self.expansion)
        y = conv_norm_act(g, "expand", Convolution(inner, bias=True), y, activation=GELU())
        if self.response_norm:
            y = g("response_norm", GRN(), y)
        y = g("project", Convolution(self.width, bias=True), y)
        if self.layer_scale is not None:
            y = g("layer_scale", LayerScale(self.layer_scale), y)
        check_identity(x, self.width)
        return g("add", Add(), y, x)


@dataclass(frozen=True)
class ConvNeXtV2Block(ConvNeXtBlock):
    """ConvNeXt's block with global response normalisation instead of layer scale."""

    response_norm: bool = True
    layer_scale: float | None = None


@dataclass(frozen=True)
class PatchStem(Block):
    """The image in patches: a ``patch`` x ``patch`` convolution of that stride, then a norm."""

    width: int
    patch: int = 4
    norm: Operator = LayerNorm()

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = Convolution(self.width, self.patch, stride=self.patch, padding=0, bias=True)
        return conv_norm_act(g, "conv", conv, x, self.norm)


@dataclass(frozen=True)
class NormDownsample(Block):
    """A norm, then a 2x2 convolution of stride 2: what stands between ConvNeXt's stages.

    ``conv`` may be another, and ``final_norm`` follow it (VAN: 3x3, batch norm).
    """

    width: int
    norm: Operator = LayerNorm()
    conv: Spatial = Convolution(kernel_size=2, padding=0)
    final_norm: Operator | None = None

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = self.conv.with_(out_channels=self.width, stride=2, bias=True)
        return conv_norm_act(g, "conv", conv, g("norm", self.norm, x), self.final_norm)
