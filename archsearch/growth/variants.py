"""A kind of convolution as a person writes it, put in the place of one that is there."""

from __future__ import annotations

import ast
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .. import convolutions  # noqa: F401  (imported, its classes are known)
from ..errors import UserError, suggestion
from ..operator import Operator
from ..operators.convolution import Convolution
from ..points import text_of
from ..spatial import CompositeConvolution, Spatial
from .amounts import LARGEST
from .channels import CannotGrow
from .fields import values, with_kernel

LONGEST = 200
"""Characters of a written convolution; none that means something is longer."""

WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Variant:
    """A kind of convolution, with those of its settings that are not to be the present one's:
    ``DCLS(interpolation=bilinear)``."""

    kind: type[Spatial]
    settings: tuple[tuple[str, Any], ...] = ()

    @staticmethod
    def parse(text: str) -> Variant | None:
        """What is written, as ``list operators`` names it and ``text_of`` writes its settings; None
        for what is not of that form. Raises ``UserError`` naming what is not known."""
        try:
            tree = ast.parse(text[: LONGEST + 1].strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return None
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        if len(text) > LONGEST or not isinstance(call.func, ast.Name) or call.args:
            return None
        name, known = call.func.id, kinds()
        if name not in known:
            raise UserError(f"no convolution is named {name[:40]!r}; {suggestion(name, known)}")
        settings = (_setting(known[name], keyword) for keyword in call.keywords)
        return Variant(known[name], tuple(settings))

    def in_place_of(self, part: str, conv: Spatial, channels: int | None) -> Spatial:
        """It with the other settings of ``conv``, where it has such; raises ``CannotGrow`` naming
        the part where it cannot have one of them.

        ``channels`` are those that ``conv`` reads, where that is one number.
        """
        wanted, hints = dict(self.settings), _hints(self.kind.__name__)
        if "kernel_size" in wanted and "kernel_size" in values(conv):
            conv = with_kernel(conv, wanted["kernel_size"])
        present = values(conv)
        groups = present.get("groups")
        if groups is not None and "groups" not in hints and "group_size" in hints:
            if channels is None:
                raise CannotGrow(f"{part}: {self} counts channels per group, and not the"
                                 f" {groups} groups that are there")  # fmt: skip
            present["group_size"] = channels // groups
        taken = {}
        for name, value in present.items():
            if name not in hints:
                continue
            if type(value) is tuple and len(set(value)) == 1 and not _fits(hints[name], value):
                value = value[0]
            if _fits(hints[name], value):
                taken[name] = value
            elif value is not None:  # what is not said there has a default here
                raise CannotGrow(f"{part}: {self.kind.__name__} has no {name} of {text_of(value)}")
        return self.kind(**(taken | wanted))

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={text_of(value)}" for name, value in self.settings)
        return f"{self.kind.__name__}({inner})" if inner else self.kind.__name__


def kinds() -> dict[str, type[Spatial]]:
    """All that can stand in the ``conv`` of a block, by name."""
    found: dict[str, type[Spatial]] = dict(CompositeConvolution.known)
    found |= {name: kind for name, kind in Operator.known.items() if issubclass(kind, Convolution)}
    return {name: kind for name, kind in found.items() if not name.startswith("_")}


@cache
def _hints(name: str) -> dict[str, Any]:
    """The types of the fields of one of ``kinds``."""
    kind = kinds()[name]
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _setting(kind: type[Spatial], written: ast.keyword) -> tuple[str, Any]:
    hints, name, value = _hints(kind.__name__), str(written.arg), _value(written.value)
    if name not in hints:
        raise UserError(f"{kind.__name__} has no {name[:40]}; {suggestion(name, hints)}")
    if not _fits(hints[name], value):
        value = (value,)
    if not _fits(hints[name], value):
        raise UserError(f"{name} of {kind.__name__} cannot be {ast.unparse(written.value)[:40]}")
    return name, value


def _value(tree: ast.expr) -> Any:
    """A number, a word or several of them; what is neither is None of a field's kinds."""
    if isinstance(tree, ast.Constant):
        return tree.value
    if isinstance(tree, ast.Name):
        return WORDS.get(tree.id, tree.id)
    return tuple(map(_value, tree.elts)) if isinstance(tree, ast.Tuple) else tree


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value is of a field's type."""
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin is tuple:
        return type(value) is tuple and all(_fits(get_args(hint)[0], each) for each in value)
    if origin in (Union, UnionType):
        return any(_fits(option, value) for option in get_args(hint))
    is_part = is_dataclass(value) and isinstance(hint, type) and isinstance(value, hint)
    if type(value) is int and value > LARGEST:
        return False
    return is_part or type(value) is hint or (hint is float and type(value) is int)
