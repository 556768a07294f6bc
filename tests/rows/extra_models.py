"""Published members, and checks of blocks, of families whose other rows stand elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsearch.blocks.convnext import ConvNeXtBlock
from archsearch.blocks.inverted_residual import InvertedResidual


def inverted_residual(config: Mapping[str, Any], x: tuple[int, ...]) -> InvertedResidual:
    projects = config["stride"] > 1 or config["ci"] != config["co"]
    return InvertedResidual(config["co"], config["stride"], projects, config["t"])


def convnext(config: Mapping[str, Any], x: tuple[int, ...]) -> ConvNeXtBlock:
    return ConvNeXtBlock(config["c"])


PUBLISHED = {
    "mobilenetv2_140": (6_108_776, 582_195_824),
    "convnext_atto": (3_695_520, 547_332_480),
    "convnext_pico": (9_045_672, 1_367_055_360),
    "convnext_large": (197_767_336, 34_361_433_600),
    "convnext_xlarge": (350_196_968, 60_921_030_656),
}
GROUND_TRUTH_MODELS = {
    "timm.convnext_atto": "convnext_atto",
    "timm.convnext_pico": "convnext_pico",
}
GROUND_TRUTH_CHECKS = {"InvertedResidual": inverted_residual, "ConvNeXt.Block": convnext}
