"""ESPCN (Shi et al. 2016): an image made 2, 3 or 4 times larger, from its luminance alone."""

from __future__ import annotations

from functools import partial

from ..architecture import Architecture, Stage
from ..blocks.plain import ConvNormAct
from ..blocks.super_resolution import SuperResolutionHead
from ..convolutions.sub_pixel import SubPixel
from ..operators.activation import Tanh
from ..operators.convolution import Convolution


def espcn(scale: int) -> Architecture:
    """5x5 to 64, 3x3 to 32 channels, then the sub-pixel convolution, on 100 x 100 pixels."""
    stem = ConvNormAct(64, conv=Convolution(kernel_size=5), norm=None, activation=Tanh())
    mapping = ConvNormAct(32, norm=None, activation=Tanh())
    head = SuperResolutionHead(conv=SubPixel(scale=scale))
    return Architecture(stem, (Stage.of(mapping),), head, (1, 100, 100))


MODELS = {f"espcn_x{scale}": partial(espcn, scale) for scale in (2, 3, 4)}
