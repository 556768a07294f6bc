"""Options that several commands share, and how their values are read from text."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from argparse import _ArgumentGroup as ArgumentGroup

    from ..architecture import Architecture
    from .commands import Parser

MOST_CLASSES = 10**6
LARGEST_SIZE = 2**14
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
ARCH_HELP = "an architecture.json, a run, or a published model's name"


def add_option(
    parser: Parser | ArgumentGroup,
    name: str,
    read: Callable[[str, str], Any],
    default: Any = None,
    **words: Any,
) -> None:
    """An option whose text ``read(option, text)`` turns into a value or refuses (``UserError``)."""
    parser.add_argument(name, type=partial(read, name), default=default, **words)


def add_network_options(parser: Parser) -> None:
    """What a network reads and tells apart."""
    add_option(parser, "--input", shape, metavar="3x224x224", help="channels and size of the input")
    add_option(parser, "--classes", partial(whole, most=MOST_CLASSES), metavar="N", help="classes")


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, allow_nan=False))


def architecture(name: str, args: Namespace) -> Architecture:
    """The network a person named, for the input and classes they gave."""
    from dataclasses import replace

    from ..loading import find_architecture

    found = find_architecture(name)
    if args.input is not None:
        found = replace(found, input=args.input)
    if args.classes is not None:
        found = found.with_classes(args.classes)
    return found


# -- values ------------------------------------------------------------------------------------
def whole(option: str, text: str, least: int = 1, most: int = 2**31) -> int:
    """An integer within bounds."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        value = int(text)
        if least <= value <= most:
            return value
    raise UserError(f"{option} {_quoted(text)}: give a whole number from {least} to {most}")


def shape(option: str, text: str) -> tuple[int, ...]:
    """``3x224x224``: channels, then one to three sizes."""
    if re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}){1,3}", text):
        sizes = tuple(map(int, text.split("x")))
        if all(1 <= size <= LARGEST_SIZE for size in sizes):
            return sizes
    raise UserError(
        f"{option} {_quoted(text)}: write channels and sizes up to {LARGEST_SIZE}, as in 3x224x224"
    )


def kernel_sizes(option: str, text: str) -> tuple[int, ...]:
    """``3,5``: odd sizes, each once, in order."""
    parts = [part.strip() for part in text.split(",")]
    if all(re.fullmatch(r"[0-9]{1,3}", part) and int(part) % 2 for part in parts):
        return tuple(sorted({int(part) for part in parts}))
    raise UserError(f"{option} {_quoted(text)}: write odd sizes with commas, such as 3,5,7")


def resolutions(option: str, text: str) -> tuple[int, ...]:
    """``20,24,28``: sides of square pictures, each once, in order."""
    parts = [part.strip() for part in text.split(",")]
    if all(re.fullmatch(r"[1-9][0-9]{0,4}", part) for part in parts):
        return tuple(sorted({int(part) for part in parts}))
    raise UserError(f"{option} {_quoted(text)}: write sides of pictures with commas: 20,24,28")


def ratio(option: str, text: str) -> float:
    """``1%`` or ``0.01``."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(%?)", text.strip())
    if match:
        value = float(match[1]) / (100 if match[2] else 1)
        if value < 1:
            return value
    raise UserError(f"{option} {_quoted(text)}: write a percentage below 100, such as 1%")


def duration(option: str, text: str) -> float:
    """Seconds: ``60s``, ``2m``, ``1.5h``, or a plain number of seconds."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(s|m|min|h|)", text.strip())
    if match:
        value = float(match[1]) * _SECONDS[match[2]]
        if isfinite(value) and value > 0:
            return value
    raise UserError(f"{option} {_quoted(text)}: write a time above zero, such as 60s, 2m or 1h")


def memory(option: str, text: str) -> int:
    """Bytes: ``4G``, ``500M``, ``1.5G``."""
    match = re.fullmatch(r"([0-9]{0,12}\.?[0-9]{1,12})\s*([kMGT]?)B?", text.strip())
    if match:
        value = int(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))
        if value > 0:
            return value
    raise UserError(f"{option} {_quoted(text)}: write bytes above zero, such as 500M or 4G")


def number(option: str, text: str) -> float:
    """A number of at least 0: ``0.1``, ``5e-4``."""
    if re.fullmatch(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]{1,3})?", text.strip(), re.IGNORECASE):
        value = float(text)
        if isfinite(value):
            return value
    raise UserError(f"{option} {_quoted(text)}: write a number of at least 0, such as 0.1 or 5e-4")


def _quoted(text: str) -> str:
    plain = text if text and text.isprintable() and " " not in text else repr(text)
    return plain if len(plain) <= 60 else plain[:57] + "..."
