"""Architectures as JSON: canonical text, a key that is equal wherever the architecture is, files.

The type hints of the dataclasses are the format; nothing that a file says is ever evaluated. Only
numbers, truth values, ratios and known classes made of these come out of the reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from fractions import Fraction
from functools import cache
from hashlib import sha256
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from . import blocks, convolutions, operators  # noqa: F401  (imported, their classes are known)
from .architecture import MOST_BLOCKS, Architecture, Run, Stage
from .block import Block
from .blocks.layers import Layer
from .errors import BadFile, suggestion
from .operator import IllegalArchitecture, Operator
from .spatial import CompositeConvolution

FORMAT = 1
"""Version of the format; it changes only when old files would be read as something else."""

LARGEST = 2**24
"""The largest integer a file may hold: more than any width, size or kernel a network has."""

MOST_BYTES = 8 * 2**20
"""Files larger than this are refused unread; ``MOST_BLOCKS`` different blocks fit."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
"""The only text that a file may hold; the class whose field it is says what else it may not be."""

Hint: TypeAlias = Any
"""A resolved type hint: a class, a union, a tuple or a Literal."""

Json: TypeAlias = Any
"""A decoded JSON value whose objects are tuples of pairs, so that duplicate keys are seen."""


# -- writing -----------------------------------------------------------------------------------
def to_json(architecture: Architecture) -> str:
    """Canonical text: sorted keys, no spaces, fields at their default left out.

    Equal architectures have equal texts. Raises ``TypeError`` naming the field whose value is not
    of its declared type.
    """
    return json.dumps(_document(architecture), sort_keys=True, separators=(",", ":"))


def to_pretty_json(architecture: Architecture) -> str:
    """The same content for people: in order, broken into lines, ended by a newline."""
    return _pretty(_document(architecture)) + "\n"


def key(architecture: Architecture) -> str:
    """16 hexadecimal digits of the canonical text's SHA-256: the architecture's name everywhere."""
    return sha256(to_json(architecture).encode()).hexdigest()[:16]


def _document(architecture: Architecture) -> dict[str, Any]:
    # the input is written even at its default: a file should say what it describes
    head = {"format": FORMAT, "input": list(architecture.input)}
    return head | _encode_fields(Architecture, architecture, "architecture")


def _encode(hint: Hint, value: object, path: str) -> Any:
    for option in _options(hint):
        if option is float and type(value) in (int, float) and isfinite(cast(float, value)):
            return float(cast(float, value)) + 0.0  # the same text for 0.0 and -0.0, 1 and 1.0
        if option is Fraction and isinstance(value, Fraction):
            return value.numerator if value.denominator == 1 else str(value)
        if option in (int, bool, NoneType) and type(value) is option:
            return value
        if option is str and isinstance(value, str) and _NAME.fullmatch(value):
            return value
        if _origin(option) is Literal and value in get_args(option):
            return value
        if _origin(option) is tuple and isinstance(value, tuple):
            item = get_args(option)[0]
            return [_encode(item, v, f"{path}[{i}]") for i, v in enumerate(value)]
        if option is Stage and isinstance(value, Stage):
            return _encode(tuple[Run, ...], value.runs, path)
        if is_dataclass(option) and isinstance(value, cast(type, option)):
            return _encode_fields(option, value, path)
    raise TypeError(f"{path} is {value!r}; it must be {_words(hint)}")


def _encode_fields(hint: Hint, value: Any, path: str) -> dict[str, Any]:
    name = type(value).__name__
    cls = _known(hint).get(name)
    if type(value) is not cls:
        raise TypeError(f"{path} is a {name}, which no file can name")
    tag = {"is": name} if _is_tagged(hint) else {}
    return tag | {
        f.name: _encode(option, getattr(value, f.name), f"{path}.{f.name}")
        for f, option in _fields(cast(Any, cls))
        if f.default is MISSING or getattr(value, f.name) != f.default
    }


def _pretty(value: Any, indent: str = "") -> str:
    flat = json.dumps(value)
    if len(indent) + len(flat) <= 96 or not isinstance(value, dict | list):
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        lines = [f"{json.dumps(k)}: {_pretty(v, deeper)}" for k, v in value.items()]
    else:
        lines = [_pretty(v, deeper) for v in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(deeper + line for line in lines)
    return f"{opening}\n{body}\n{indent}{closing}"


# -- reading -----------------------------------------------------------------------------------
def read_architecture(path: str | Path) -> Architecture:
    """The architecture in a file; raises ``BadFile`` naming the file, the field and the value."""
    try:
        if not Path(path).is_file():
            raise BadFile(f"{path} is not a file" if Path(path).exists() else f"no file {path}")
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(f"{path} is not text: it is no architecture file, or damaged") from None
    return from_json(text, str(path))


def from_json(text: str, name: str = "architecture") -> Architecture:
    """The architecture a text describes, checked by lowering it once.

    ``name`` is what messages call the text (its file). Raises ``BadFile``: one line with the path
    of the field, the value and the way out.
    """
    try:
        if len(text) > MOST_BYTES:
            raise _Refusal(f"it is larger than {MOST_BYTES // 2**20} MB; no architecture is")
        document = json.loads(text, object_pairs_hook=tuple)
        architecture = _decode_document(document)
        architecture.trace()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise BadFile(f"{name} is not JSON ({where}): it is damaged or cut short") from None
    except RecursionError:
        raise BadFile(f"{name} is nested deeper than any architecture") from None
    except (_Refusal, IllegalArchitecture) as error:
        raise BadFile(f"{name}: {error}") from None
    except ValueError:  # an integer that Python refuses to read
        raise BadFile(f"{name} holds a number of thousands of digits; none is needed") from None
    return architecture


class _Refusal(Exception):
    """What is wrong with a value, before it is known in which file."""


def _decode_document(document: Json) -> Architecture:
    if not isinstance(document, tuple):
        raise _Refusal(f"it holds {_show(document)}, not the object of an architecture")
    found = [value for name, value in document if name == "format"]
    if len(found) != 1 or type(found[0]) is not int:
        raise _Refusal(f'one "format": {FORMAT} is missing at its top: it is no architecture file')
    if found[0] != FORMAT:
        raise _Refusal(f"format is {_show(found[0])}; this version of archsearch reads {FORMAT}")
    rest = tuple((name, value) for name, value in document if name != "format")
    return cast(Architecture, _decode_fields(Architecture, rest, ""))


def _decode(hint: Hint, value: Json, path: str) -> Any:
    for option in _options(hint):
        if option is NoneType and value is None:
            return None
        if option is bool and isinstance(value, bool):
            return value
        if option is int and type(value) is int:
            return _bounded(value, path)
        if option is float and type(value) in (int, float):
            return _finite(value, path)
        if option is Fraction and isinstance(value, str):
            return _ratio(value, path)
        if option is str and isinstance(value, str) and _NAME.fullmatch(value):
            return value
        if _origin(option) is Literal and isinstance(value, str) and value in get_args(option):
            return value
        if _origin(option) is tuple and isinstance(value, list):
            return _decode_list(get_args(option)[0], value, path)
        if option is Stage and isinstance(value, list):
            runs = _decode_list(Run, value, path)
            return _made(Stage, {"runs": runs}, path)
        if is_dataclass(option) and option is not Stage and isinstance(value, tuple):
            return _decode_fields(hint, value, path)
    raise _Refusal(f"{path} is {_show(value)}; it must be {_words(hint)}")


def _decode_list(hint: Hint, values: list[Json], path: str) -> tuple[Any, ...]:
    if len(values) > MOST_BLOCKS:
        raise _Refusal(f"{path} has {len(values)} entries, more than {MOST_BLOCKS}")
    return tuple(_decode(hint, v, f"{path}[{i}]") for i, v in enumerate(values))


def _decode_fields(hint: Hint, pairs: Sequence[tuple[str, Json]], path: str) -> Any:
    prefix = f"{path}." if path else ""
    found: dict[str, Json] = {}
    for name, value in pairs:
        if name in found:
            raise _Refusal(f"{prefix}{_plain(name)} is given twice; keep one")
        found[name] = value
    cls = _class(hint, found, path)
    hints = {f.name: (f, option) for f, option in _fields(cls)}
    values = {}
    for name, value in found.items():
        if name not in hints:
            out = suggestion(name, hints)
            raise _Refusal(f"{prefix}{_plain(name)} is not a field of {cls.__name__}; {out}")
        values[name] = _decode(hints[name][1], value, f"{prefix}{name}")
    for name, (f, option) in hints.items():
        if name not in values and f.default is MISSING:
            raise _Refusal(
                f"{prefix}{name} is missing; {cls.__name__} needs {_words(option)} there"
            )
    return _made(cls, values, path)


def _class(hint: Hint, found: dict[str, Json], path: str) -> Hint:
    families: list[Hint] = [option for option in _options(hint) if is_dataclass(option)]
    if not _is_tagged(families[0]):
        return families[0]
    known = {n: cls for family in families for n, cls in _known(family).items()}
    kind = families[0].__name__
    if "is" not in found:
        raise _Refusal(f'{path} does not say which {kind} it "is"; {suggestion("", known)}')
    name = found.pop("is")
    if not isinstance(name, str) or name not in known:
        out = suggestion(name if isinstance(name, str) else "", known)
        raise _Refusal(f"{path}: no {kind} is named {_show(name)}; {out}")
    return known[name]


def _made(cls: Hint, values: dict[str, Any], path: str) -> Any:
    try:
        return cls(**values)
    except IllegalArchitecture as error:
        raise _Refusal(f"{path}: {error}" if path else str(error)) from None


def _bounded(value: int, path: str) -> int:
    if abs(value) > LARGEST:
        raise _Refusal(f"{path} is {_show(value)}; it must be at most {LARGEST}")
    return value  # its class says, with its name, what else it may not be


def _finite(value: float, path: str) -> float:
    if not 0 <= value <= LARGEST:  # false for NaN too
        raise _Refusal(f"{path} is {_show(value)}; it must be a number from 0 to {LARGEST}")
    return float(value)


def _ratio(text: str, path: str) -> int | Fraction:
    parts = re.fullmatch(r"([0-9]{1,8})/([0-9]{1,8})", text)
    if parts is None or int(parts[2]) == 0:
        raise _Refusal(f'{path} is {_show(text)}; it must be an integer or a ratio such as "5/12"')
    ratio = Fraction(int(parts[1]), int(parts[2]))
    return ratio.numerator if ratio.denominator == 1 else ratio


# -- the format, as the dataclasses say it -----------------------------------------------------
@cache
def _fields(cls: Hint) -> tuple[tuple[Field[Any], Hint], ...]:
    hints = get_type_hints(cls)
    return tuple((f, hints[f.name]) for f in fields(cls))


@cache
def _options(hint: Hint) -> tuple[Hint, ...]:
    return get_args(hint) if _origin(hint) in (Union, UnionType) else (hint,)


def _origin(hint: Hint) -> Any:
    return get_origin(hint)


def _is_tagged(hint: Hint) -> bool:
    """Whether an object says its class by "is"; some can be nothing else."""
    return hint not in (Architecture, Run, Layer)


def _known(hint: Hint) -> dict[str, Hint]:
    """The classes a field of this type may hold: of a family with a register its public members,
    else (a recipe such as squeeze-and-excitation) the class itself."""
    register: dict[str, Hint] = getattr(hint, "known", {hint.__name__: hint})
    return {n: c for n, c in register.items() if issubclass(c, hint) and not n.startswith("_")}


def _words(hint: Hint) -> str:
    """What may stand in a field of this type, for messages."""
    return " or ".join(_word(option) for option in _options(hint))


def _word(option: Hint) -> str:
    plain = {
        NoneType: "null",
        bool: "true or false",
        int: "an integer",
        float: "a number",
        Fraction: 'a ratio such as "5/12"',
        str: "a name of letters, digits and underscores",
        Stage: "a list of runs of blocks",
        Operator: "an operator",
        CompositeConvolution: "a composite convolution",
        Block: "a block",
    }
    if option in plain:
        return plain[option]
    if _origin(option) is tuple:
        item = get_args(option)[0]
        plural = {int: "a list of integers", str: "a list of names"}
        return plural.get(item) or f"a list, each entry {_words(item)}"
    if _origin(option) is Literal:
        return " or ".join(map(repr, get_args(option)))
    return f"a {getattr(option, '__name__', option)}"


def _show(value: Json) -> str:
    """A value from a file in a message: one short line of plain characters."""
    if isinstance(value, tuple):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(name: str) -> str:
    """A field's name from a file in a message."""
    return name if re.fullmatch(r"[A-Za-z0-9_]{1,60}", name) else _show(name)
