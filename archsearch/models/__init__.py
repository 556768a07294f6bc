"""Published networks as short descriptions; ``models.get("resnet50")`` gives one by its name.

Each file is a family and lists its members in ``MODELS``; a new file here is found by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from ..architecture import Architecture

MODELS: dict[str, Callable[[], Architecture]] = {
    name: build
    for module in sorted(iter_modules(__path__), key=lambda module: module.name)
    for name, build in import_module(f"{__name__}.{module.name}").MODELS.items()
}


def get(name: str) -> Architecture:
    """The published network of that name; raises ``KeyError`` where ``MODELS`` has none."""
    return MODELS[name]()
