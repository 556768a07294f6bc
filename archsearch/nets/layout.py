"""Python text laid out as a formatter would: one line where it fits, else one item per line."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100
INDENT = "    "


def bracketed(indent: int, head: str, items: Sequence[str], tail: str) -> list[str]:
    """``head`` + items + ``tail`` on one line, or the items on the next, or each on its own."""
    pad, inner = INDENT * indent, INDENT * (indent + 1)
    one = f"{pad}{head}{', '.join(items)}{tail}"
    if len(one) <= WIDTH:
        return [one]
    joined = inner + ", ".join(items)
    body = [joined] if len(joined) <= WIDTH else [f"{inner}{item}," for item in items]
    return [f"{pad}{head}", *body, f"{pad}{tail}"]


def conditional(indent: int, target: str, then: str, test: str, otherwise: str) -> list[str]:
    """``target = then if test else otherwise``, in brackets where that is too long."""
    pad, inner = INDENT * indent, INDENT * (indent + 1)
    one = f"{pad}{target} = {then} if {test} else {otherwise}"
    if len(one) <= WIDTH:
        return [one]
    body = [f"{inner}{then} if {test} else {otherwise}"]
    if len(body[0]) > WIDTH:
        body = [f"{inner}{then}", f"{inner}if {test}", f"{inner}else {otherwise}"]
    return [f"{pad}{target} = (", *body, f"{pad})"]


def exploded(indent: int, head: str, blocks: Sequence[Sequence[str]], tail: str) -> list[str]:
    """``head``, then blocks of lines that already end in a comma, then ``tail``."""
    pad = INDENT * indent
    return [f"{pad}{head}", *(line for block in blocks for line in block), f"{pad}{tail}"]
