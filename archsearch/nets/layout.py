"""Python text laid out as a formatter would: one line where it fits, else one item per line."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100
INDENT = "    "


def bracketed(indent: int, head: str, items: Sequence[str], tail: str) -> list[str]:
    """``head`` + items + ``tail`` on one line, or the items (of a call) on the next, or each on its
    own."""
    pad, inner = INDENT * indent, INDENT * (indent + 1)
    one = f"{pad}{head}{', '.join(items)}{tail}"
    if len(one) <= WIDTH:
        return [one]
    joined = inner + ", ".join(items)
    in_a_row = len(joined) <= WIDTH and not head.endswith("[")
    body = [joined] if in_a_row else [f"{inner}{item}," for item in items]
    return [f"{pad}{head}", *body, f"{pad}{tail}"]


def line_of(indent: int, head: str, text: str) -> list[str]:
    """``head`` and an expression; what a call that is too long takes stands on lines of its own."""
    line = f"{INDENT * indent}{head}{text}"
    callee, bracket, rest = text.partition("(")
    is_call = bracket and callee.replace(".", "").isidentifier() and text.endswith(")")
    if len(line) <= WIDTH or not is_call:
        return [line]
    return bracketed(indent, f"{head}{callee}(", _arguments(rest[:-1]), ")")


def _arguments(text: str) -> list[str]:
    """What stands between the commas that are in no further brackets."""
    found, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return [argument.strip() for argument in found]


def conditional(indent: int, target: str, then: str, test: str, otherwise: str) -> list[str]:
    """``target = then if test else otherwise``, in brackets where that is too long."""
    pad, inner = INDENT * indent, INDENT * (indent + 1)
    one = f"{pad}{target} = {then} if {test} else {otherwise}"
    if len(one) <= WIDTH:
        return [one]
    body = [f"{inner}{then} if {test} else {otherwise}"]
    if len(body[0]) > WIDTH:
        body = line_of(indent + 1, "", then)
        body += [f"{inner}if {test}", *line_of(indent + 1, "else ", otherwise)]
    return [f"{pad}{target} = (", *body, f"{pad})"]


def exploded(indent: int, head: str, blocks: Sequence[Sequence[str]], tail: str) -> list[str]:
    """``head``, then blocks of lines that already end in a comma, then ``tail``."""
    pad = INDENT * indent
    return [f"{pad}{head}", *(line for block in blocks for line in block), f"{pad}{tail}"]
