"""Rows of the ConvFirst block, and of the inverted residual that it was compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawn import ratios, spatial

from archsearch.blocks.convfirst import ConvFirstBlock
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution
from rows import staged


def convfirst(config: Mapping[str, Any], x: tuple[int, ...]) -> ConvFirstBlock:
    conv = Convolution(kernel_size=config["k"], group_size=config["gw"])
    return ConvFirstBlock(config["c"], expansion=config["r"], conv=conv)


def mbconv(config: Mapping[str, Any], x: tuple[int, ...]) -> InvertedResidual:
    conv = Convolution(kernel_size=config["k"], group_size=config["gw"])
    return InvertedResidual(config["c"], expansion=config["r"], conv=conv, activation=SiLU())


BLOCKS = {"ConvFirstBlock": staged("ConvFirstBlock", expansion=ratios, conv=spatial)}
GROUND_TRUTH_CHECKS = {"ConvFirst": convfirst, "MBConv_gw": mbconv}
