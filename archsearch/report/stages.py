"""The rows of a stage table: what a person reads off a network, taken from its traced form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from ..architecture import Architecture, Stage
from ..cost import Cost, scope_cost
from ..graph import Recipe, Scope
from ..operator import Operator, Shape
from ..operators.convolution import Convolution
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class StageRow:
    """Stem, stage or head: its blocks, and the hyperparameters that tell it from others.

    ``convolutions`` says how each block convolves, ``kernels`` holds its largest kernel and
    ``expansions`` its expansion, every value once, in order; ``stride`` is how many times smaller
    the map becomes (None where the
    spatial dimensions end).
    """

    name: str
    block: str
    depth: int
    convolutions: tuple[str, ...]
    kernels: tuple[int | tuple[int, ...], ...]
    expansions: tuple[int | Fraction, ...]
    stride: int | None
    input: Shape
    output: Shape
    cost: Cost

    @property
    def width(self) -> int:
        """Output channels (classes, for a classifier)."""
        return int(self.output.channels)

    @property
    def convolution_text(self) -> str:
        return " + ".join(self.convolutions) or "-"

    @property
    def kernel_text(self) -> str:
        return ",".join(map(_kernel, self.kernels)) or "-"

    @property
    def expansion_text(self) -> str:
        """The expansions, as a range where there are more than two."""
        texts = list(dict.fromkeys(_ratio(e) for e in self.expansions))
        if len(texts) > 2:
            return f"{_ratio(min(self.expansions))}..{_ratio(max(self.expansions))}"
        return ",".join(texts) or "-"

    @property
    def stride_text(self) -> str:
        return "-" if self.stride is None else str(self.stride)

    @property
    def size_text(self) -> str:
        """Spatial size of the output: ``56x56``."""
        return "x".join(map(str, self.output.size)) or "-"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "name": self.name,
            "block": self.block,
            "width": self.width,
            "depth": self.depth,
            "convolutions": list(self.convolutions),
            "kernel_sizes": [list(k) if isinstance(k, tuple) else k for k in self.kernels],
            "expansions": [e if isinstance(e, int) else str(e) for e in self.expansions],
            "stride": self.stride,
            "output": [self.output.channels, *self.output.size],
            **self.cost.as_dict(),
        }


def stage_rows(architecture: Architecture) -> list[StageRow]:
    """One row per stem, stage and head, in order."""
    root = architecture.trace()
    x, rows = root.inputs[0].shape, []
    for (name, part), scope in zip(architecture.parts(), root.children, strict=True):
        assert isinstance(scope, Scope)
        rows.append(_row(name, part, scope, x))
        x = scope.output.shape
    return rows


def _row(name: str, part: Recipe, scope: Scope, x: Shape) -> StageRow:
    blocks: list[Recipe] = list(part.blocks()) if isinstance(part, Stage) else [part]
    scopes = (
        [c for c in scope.children if isinstance(c, Scope)] if isinstance(part, Stage) else [scope]
    )
    return StageRow(
        name=name,
        block=" + ".join(dict.fromkeys(block.kind for block in blocks)),
        depth=len(blocks),
        convolutions=_each_once(_convolution_words(block) for block in blocks),
        kernels=_each_once(_largest_kernel(inner) for inner in scopes),
        expansions=_each_once(getattr(block, "expansion", None) for block in blocks),
        stride=_stride(x, scope.output.shape),
        input=x,
        output=scope.output.shape,
        cost=scope_cost(scope),
    )


PLAIN = ("dense", "depthwise")
"""How a convolution is called that is ungrouped or one filter per channel, and nothing more."""


def _convolution_words(block: Recipe) -> str | None:
    """How a block convolves, its kernel size left out: "depthwise", "NAME, taps 26"."""
    conv = getattr(block, "conv", None)
    if not isinstance(conv, Operator | CompositeConvolution):
        return None
    own = {
        f.name: getattr(conv, f.name)
        for f in fields(conv)
        if f.name not in ("out_channels", "kernel_size", "stride", "padding", "bias")
        and getattr(conv, f.name) != f.default
    }
    name = type(conv).__name__
    if type(conv) is Convolution:
        is_depthwise = own.get("group_size") == 1
        name = "depthwise" if is_depthwise else "dense" if not own.keys() & GROUPED else "grouped"
        own = {k: v for k, v in own.items() if not (is_depthwise and k == "group_size")}
    words = [f"{field.replace('_', ' ')} {_value(value)}" for field, value in own.items()]
    return ", ".join([name, *words])


GROUPED = {"groups", "group_size"}


def _value(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Operator | Recipe) else str(value)


def _largest_kernel(scope: Scope) -> int | tuple[int, ...] | None:
    """The largest kernel among the layers that filter; pooling windows are not kernels."""
    found = [
        node.op.kernel_size
        for node in scope.nodes()
        if hasattr(node.op, "kernel_size") and node.op.fan_in(*node.x) is not None
    ]
    return max(found, key=lambda k: k if isinstance(k, tuple) else (k,), default=None)


def _stride(x: Shape, y: Shape) -> int | None:
    if not x.size or len(x.size) != len(y.size) or (y.positions == 1 and x.positions > 1):
        return None
    steps = [round(before / after) for before, after in zip(x.size, y.size, strict=True)]
    return max(steps) or None


def _each_once(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _kernel(kernel: int | tuple[int, ...]) -> str:
    return "x".join(map(str, kernel)) if isinstance(kernel, tuple) else str(kernel)


def _ratio(ratio: int | Fraction) -> str:
    return f"{float(ratio):.2f}".rstrip("0").rstrip(".")
