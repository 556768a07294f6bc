"""What constructors call their arguments: of torch by table, of an operator's layer by its source.

The names decide how a parameter of a generated class is called; nothing here counts anything.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from ..operator import Call, Operator


@dataclass(frozen=True)
class Signature:
    """Names of the positional arguments, and defaults of those that calls leave out."""

    positional: tuple[str, ...] = ()
    defaults: Mapping[str, int | float | bool] = field(default_factory=dict)


CONVOLUTION = Signature(
    ("in_channels", "out_channels", "kernel_size"),
    {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True},
)
TORCH: dict[str, Signature] = {
    "nn.Conv": CONVOLUTION,
    "nn.BatchNorm": Signature(("num_features",), {"eps": 1e-5, "momentum": 0.1}),
    "nn.LayerNorm": Signature(("normalized_shape",), {"eps": 1e-5}),
    "nn.GroupNorm": Signature(("num_groups", "num_channels"), {"eps": 1e-5}),
    "nn.Linear": Signature(("in_features", "out_features"), {"bias": True}),
    "nn.MaxPool": Signature(("kernel_size",), {"padding": 0}),
    "nn.AvgPool": Signature(("kernel_size",), {"padding": 0}),
    "nn.AdaptiveAvgPool": Signature(("output_size",)),
}
"""Layers of torch that operators name, without the number of dimensions; others work unlisted, but
the parameters of the classes around them are then named after the layer."""

NORMS = (TORCH["nn.BatchNorm"], TORCH["nn.LayerNorm"])
"""Norms that are called alike: the channels by their place, the same ``eps`` left out."""

IN_NAMES = {
    "in_channels", "in_features", "num_features", "num_channels", "normalized_shape", "channels",
    "features", "dim", "width",
}  # fmt: skip
OUT_NAMES = {"out_channels", "out_features"}


@dataclass(frozen=True)
class OwnLayer:
    """The source of an operator's own ``nn.Module`` classes, and what their constructors take."""

    source: str
    names: tuple[str, ...]
    signatures: Mapping[str, Signature]


def own_layer(operator: type[Operator]) -> OwnLayer | None:
    """What an operator's ``layer`` defines, read from its text: torch is not imported."""
    return _read_layer(operator.layer) if operator.layer is not None else None


@cache
def _read_layer(layer: Callable[[], object]) -> OwnLayer:
    text = textwrap.dedent(inspect.getsource(layer))
    function = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef))
    classes = [node for node in function.body if isinstance(node, ast.ClassDef)]
    if not classes:
        raise TypeError(f"{layer.__module__}.{layer.__qualname__} defines no class")
    lines = text.splitlines()
    sources = [_class_text(lines, node) for node in classes]
    signatures = {node.name: _signature(node) for node in classes}
    return OwnLayer("\n\n\n".join(sources), tuple(n.name for n in classes), signatures)


def signature(call: Call, operator: type[Operator]) -> Signature:
    """The signature of a constructor; empty for a layer of torch that is not in the table."""
    own = own_layer(operator)
    if own is not None and call.name in own.signatures:
        return own.signatures[call.name]
    return _torch(call.name)


def _torch(name: str) -> Signature:
    stem = name[:-2] if name[-2:] in ("1d", "2d", "3d") else name
    return TORCH.get(stem, Signature())


def _class_text(lines: list[str], node: ast.ClassDef) -> str:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))


def _signature(node: ast.ClassDef) -> Signature:
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            names = [arg.arg for arg in method.args.args[1:]]
            given = zip(reversed(names), reversed(method.args.defaults), strict=False)
            defaults = {n: d.value for n, d in given if isinstance(d, ast.Constant)}
            numbers = {n: d for n, d in defaults.items() if isinstance(d, int | float)}
            return Signature(tuple(names), numbers)
    return _torch(ast.unparse(node.bases[0])) if node.bases else Signature()
