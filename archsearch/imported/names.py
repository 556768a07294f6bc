"""What layers and classes of an imported block are called: as the user called them, as far as such
names can stand in a program."""

from __future__ import annotations

import builtins
from keyword import iskeyword

from torch import nn

from ..blocks.layers import INPUT
from ..operator import Operator
from ..operators.activation import Activation
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm
from ..operators.pooling import AvgPool, GlobalPool, MaxPool
from .parts import Piece
from .steps import Step

ROLES: tuple[tuple[str, tuple[type[Operator], ...]], ...] = (
    ("conv", (Convolution,)),
    ("norm", (BatchNorm, LayerNorm, GroupNorm)),
    ("act", (Activation,)),
    ("pool", (MaxPool, AvgPool, GlobalPool)),
)
"""Names of layers that have but a number, as those of ``nn.Sequential``."""

TAKEN = {INPUT, "self", "torch", "nn", "Tensor", "pre_logits", *dir(nn.Module())}
"""Names that a module of PyTorch, or its forward(), already has."""

LONGEST = 60


def class_name(piece: Piece) -> str:
    """The user's class, where its name can be one in a program."""
    name = piece.kind.lstrip("_")
    return name if _fits(name) and not hasattr(builtins, name) else "Layers"


def layer_names(piece: Piece) -> dict[Step, str]:
    """The name of every step's layer in the block, all different."""
    around = piece.path or _common([step.scope for step in piece.steps])
    names: dict[Step, str] = {}
    used: set[str] = set()
    for step in piece.steps:
        assert step.op is not None
        words = step.name.removeprefix(f"{around}." if around else "").split(".")
        base = _base(words, step.op, bool(piece.path))
        name, number = base, 2
        while name in used:
            name = f"{base}{'_' if base[-1].isdigit() else ''}{number}"
            number += 1
        used.add(name)
        names[step] = name
    return names


def _base(words: list[str], op: Operator, is_module: bool) -> str:
    """A module's layers keep their names; other layers are equal where they do equal things, so
    they are called by what they do, not by their place."""
    role = next((role for role, kinds in ROLES if isinstance(op, kinds)), type(op).__name__.lower())
    if not is_module and words[-1].isdigit():
        return role
    name = "_".join(words)
    name = name if is_module else name.rstrip("0123456789_")
    if not _fits(name):
        name = f"{role}_{name}" if is_module and _fits(f"{role}_{name}") else role
    return f"{name}_layer" if name in TAKEN else name


def _fits(name: str) -> bool:
    plain = name.isascii() and name.isidentifier() and not iskeyword(name)
    return plain and name[0] != "_" and len(name) <= LONGEST


def _common(scopes: list[str]) -> str:
    """The innermost module that all are in."""
    words = [scope.split(".") for scope in scopes]
    common: list[str] = []
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        common.append(column[0])
    return ".".join(common)
