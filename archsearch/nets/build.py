"""The module that runs: the exported text, compiled; there is no second way to make one."""

from __future__ import annotations

import linecache
import sys
from collections import OrderedDict
from hashlib import sha256
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from ..architecture import Architecture
from ..graph import Recipe
from ..operator import Shape
from .source import recipe_source, source

if TYPE_CHECKING:
    from torch import nn

KEPT = 256
"""Texts that stay importable and visible to tracebacks; beyond these the oldest is dropped."""

_modules: OrderedDict[str, ModuleType] = OrderedDict()


def build(architecture: Architecture, *, deployed: bool = False, **settings: Any) -> nn.Module:
    """The network as a PyTorch module, with fresh weights; ``deployed`` gives its deployed form,
    for the weights that ``deploy`` makes.

    ``settings`` go to its constructor: ``num_classes``, ``in_chans``, ``features_only``. Build it
    under ``with torch.device("meta")`` to have shapes without memory.
    """
    network = compile_text(source(architecture, deployed=deployed)).Net
    return cast("nn.Module", network(**settings))


def build_recipe(recipe: Recipe, x: Shape) -> nn.Module:
    """One block for inputs of shape ``x`` (no batch axis), with PyTorch's fresh weights."""
    text, name, arguments = recipe_source(recipe, x)
    module = compile_text(text)
    return cast("nn.Module", eval(f"{name}({', '.join(arguments)})", vars(module)))


def compile_text(text: str) -> ModuleType:
    """A generated text as a module, equal texts as the same one; tracebacks show its lines."""
    name = f"archsearch_net_{sha256(text.encode()).hexdigest()[:16]}"
    if name in _modules:
        _modules.move_to_end(name)
        return _modules[name]
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    # a tuple of four is what linecache keeps for files it must not look for on disk
    linecache.cache[module.__file__] = len(text), None, text.splitlines(True), module.__file__
    sys.modules[name] = _modules[name] = module
    exec(compile(text, module.__file__, "exec"), vars(module))
    while len(_modules) > KEPT:
        old, forgotten = _modules.popitem(last=False)
        sys.modules.pop(old, None)
        linecache.cache.pop(str(forgotten.__file__), None)
    return module
