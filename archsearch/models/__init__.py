"""Published networks as short descriptions; ``models.get("resnet50")`` gives one by its name."""

from __future__ import annotations

from collections.abc import Callable

from ..architecture import Architecture
from . import convnext, deepmad, densenet, efficientnet, mobilenet, regnet, resnet, vgg

MODELS: dict[str, Callable[[], Architecture]] = {
    name: build
    for family in (resnet, mobilenet, efficientnet, regnet, convnext, vgg, densenet, deepmad)
    for name, build in family.MODELS.items()
}


def get(name: str) -> Architecture:
    """The published network of that name; raises ``KeyError`` where ``MODELS`` has none."""
    return MODELS[name]()
