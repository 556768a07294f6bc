"""What a block is: a recipe of operators; it states no cost and no PyTorch.

A spatial operator (``conv``) is a field of a block, so one search space ranges over convolution
variant, kernel size, dilation and group size at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .graph import Recipe, Tracer, Value
from .operator import Operator, check
from .operators.convolution import Convolution
from .operators.merge import Add
from .operators.normalization import BatchNorm
from .poly import equal
from .spatial import Spatial


@dataclass(frozen=True)
class Block(Recipe):
    """A block, stem or head. A subclass is a frozen dataclass with an ``expand``."""

    known: ClassVar[dict[str, type[Block]]] = {}

    def __init_subclass__(cls, abstract: bool = False) -> None:
        if not abstract:
            Block.known[cls.__name__] = cls


@dataclass(frozen=True)
class StagedBlock(Block, abstract=True):
    """A block that makes up stages: output ``width``, ``stride``, and whether it ``projects``.

    ``projects`` says that the shape changes here, so the shortcut cannot be the identity: it is a
    1x1 projection or is left out, as the family has it. It is said, not found out by comparing
    widths, so that it holds for widths not chosen yet.
    """

    width: int
    stride: int | tuple[int, ...] = 1
    projects: bool = False


def conv_norm_act(
    g: Tracer,
    name: str,
    conv: Spatial,
    x: Value,
    norm: Operator | None = None,
    activation: Operator | None = None,
) -> Value:
    """A convolution, then normalisation and activation where given, named after the convolution."""
    y = g(name, conv, x)
    if norm is not None:
        y = g(f"{name}_norm", norm, y)
    return g(f"{name}_act", activation, y) if activation is not None else y


def residual_norm(norm: Operator, has_shortcut: bool) -> Operator:
    """The last norm of a branch: it starts at zero where a shortcut carries the signal (Goyal et
    al. 2017, section 5.1), and only there."""
    return norm.with_(zero_init=True) if has_shortcut and isinstance(norm, BatchNorm) else norm


def add_shortcut(g: Tracer, block: StagedBlock, x: Value, y: Value, norm: Operator) -> Value:
    """``y`` plus the block's input: itself, or projected by a strided 1x1 convolution."""
    if not block.projects:
        check_identity(x, block.width, block.stride)
        return g("add", Add(), y, x)
    size = x.shape.channels, y.shape.channels
    projection = Convolution(size[1], stride=block.stride, padding=0)
    return g("add", Add(), y, conv_norm_act(g, "shortcut", projection, x, norm))


def check_identity(x: Value, width: int, stride: int | tuple[int, ...] = 1) -> None:
    """Raise ``IllegalArchitecture`` where an identity shortcut cannot be."""
    check(stride == 1, "a stride of {} needs projects=true", stride)
    check(
        equal(x.shape.channels, width),
        "{} channels in and {} out: the shortcut cannot be the identity",
        x.shape.channels,
        width,
    )
