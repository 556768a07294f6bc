"""What may stand in generated code: plain numbers, identifiers, and names from our own registries.

An architecture may come from a file that a stranger wrote; nothing of it reaches the text of a
program unless it passed through here.
"""

from __future__ import annotations

import builtins
import re
import textwrap
from dataclasses import fields, is_dataclass
from fractions import Fraction
from keyword import iskeyword
from math import isfinite
from typing import Any

from ..operator import Call, IllegalArchitecture, Operator


class LayerName(str):
    """The name of a constructor of torch or of an operator; written as it is, not as a string."""


TORCH_LAYER = re.compile(r"nn\.[A-Z][A-Za-z0-9]*")


def check_network_name(name: str, taken: set[str]) -> None:
    """Raise ``ValueError`` where the network's class cannot be called that."""
    if not (name.isascii() and name.isidentifier()) or iskeyword(name):
        raise ValueError(f"{name!r} is no name for a class: use letters, digits and underscores")
    if name in taken or hasattr(builtins, name):
        raise ValueError(f"the name {name!r} is taken: choose another for the network")


def check_identifier(name: str) -> str:
    """``name``, which must be an identifier; raises ``IllegalArchitecture``."""
    if not (name.isascii() and name.isidentifier()) or iskeyword(name):
        raise IllegalArchitecture(f"a layer cannot be named {name!r}")
    return name


def literal(value: Any) -> str:
    """A number, or a tuple of numbers, as source text; anything else is refused."""
    if type(value) in (int, bool) or (type(value) is float and isfinite(value)):
        return re.sub(r"e([+-])0(\d)$", r"e\1\2", repr(value))  # 1e-6, as people write it
    if type(value) is tuple:
        inner = ", ".join(literal(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    raise IllegalArchitecture(f"a {type(value).__name__} is not a plain number")


def show(value: Any) -> str:
    """An argument as source text: a literal, the name of a layer, or a word such as a mode."""
    if type(value) is str:
        return f'"{check_identifier(value)}"'
    return str(value) if type(value) is LayerName else literal(value)


def check_operator(op: Operator, name: str) -> None:
    """Raise ``IllegalArchitecture`` for an operator that is not a known one with plain fields."""
    if Operator.known.get(type(op).__name__) is not type(op):
        raise IllegalArchitecture(f"{name}: {type(op).__name__} is not a known operator")
    _check_fields(op, name)


def check_call(call: Call, own: tuple[str, ...], name: str) -> None:
    """Raise ``IllegalArchitecture`` for a constructor neither torch's nor the operator's."""
    if call.name not in own and not TORCH_LAYER.fullmatch(call.name):
        raise IllegalArchitecture(f"{name}: {call.name!r} is not a layer of torch.nn")
    for keyword in call.kwargs:
        check_identifier(keyword)


def docstring_text(text: str, width: int = 96) -> list[str]:
    """Any text as lines that cannot end a docstring or escape from it."""
    safe = text.replace("\\", "/").replace('"', "'")
    lines: list[str] = []
    for line in safe.splitlines():
        plain = "".join(c for c in line if c.isprintable())
        lines += textwrap.wrap(plain, width) or [""]
    return lines


def _check_fields(value: Any, name: str) -> None:
    if is_dataclass(value):
        for field in fields(value):
            _check_fields(getattr(value, field.name), f"{name}: {field.name}")
    elif isinstance(value, str):
        check_identifier(value)
    elif type(value) is tuple:
        for item in value:
            _check_fields(item, name)
    elif value is not None and type(value) is not Fraction:
        try:
            literal(value)
        except IllegalArchitecture as error:
            raise IllegalArchitecture(f"{name}: {error}") from None
