"""Every operator and composite convolution as a row: formulas, properties, transformations.

Nothing here is typed by hand: formulas are what counting gives for unknown channels, kernel and
map, checked against counting with integers; properties are read off the traced and deployed form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from fractions import Fraction
from importlib import import_module
from itertools import combinations
from typing import Any, TypeAlias

from ..graph import Recipe, Scope, Tracer, Value, trace
from ..growth.channels import CannotGrow
from ..growth.plan import lay
from ..legality import IllegalArchitecture
from ..loading import summary
from ..merge import deployed
from ..operator import Operator, Shape
from ..operators.convolution import Convolution
from ..poly import Monomial, Number, Poly
from ..spatial import CompositeConvolution
from .table import LEFT, table

Kind: TypeAlias = type[Operator] | type[CompositeConvolution]

TRANSFORMATIONS = ("wider", "larger kernel", "fewer groups")
"""What growth is asked of each."""

CHANNELS = 64
"""Channels of the map on which a row is counted, where its formula does not hold for any number."""
SIDES = {2: ("H", "W"), 3: ("D", "H", "W"), 1: ("W",), 0: ()}
"""Names of a map's sizes; the first number of dimensions that an operator takes is shown."""
SIDE = 14
STEPS = (2, 4, 6)
"""How much larger a kernel is tried: not every convolution has one for every odd size."""


@dataclass(frozen=True)
class OperatorRow:
    """What is listed of an operator or composite convolution."""

    name: str
    composite: bool
    summary: str
    paper: str
    fields: Mapping[str, str]
    """Names to defaults; empty where there is none."""
    dimensions: int
    """Spatial dimensions for which it is counted."""
    parameters: str
    macs: str
    properties: Sequence[str]
    refusals: Mapping[str, str]
    """Transformations to why they would change what it computes; empty where they do not."""

    @property
    def preserved_by(self) -> list[str]:
        """The transformations that do not change what it computes."""
        return [name for name, reason in self.refusals.items() if not reason]


def operator_kinds() -> dict[str, Kind]:
    """All that is shipped, composites first, by name."""
    for package in ("operators", "convolutions"):  # makes them known
        import_module(f"archsearch.{package}")
    own = __name__.partition(".")[0]
    kinds: list[tuple[str, Kind]] = [
        *sorted(CompositeConvolution.known.items()),
        *sorted(Operator.known.items()),
    ]
    return {n: kind for n, kind in kinds if kind.__module__.partition(".")[0] == own}


def operator_rows(name: str | None = None) -> list[OperatorRow]:
    """The rows of all that is shipped, composites first, or the one of that name."""
    return [_row(kind) for n, kind in operator_kinds().items() if name in (None, n)]


def _row(kind: Kind) -> OperatorRow:
    example = _Example.of(kind)
    scope = example.scope()
    parameters, macs = _formulas(example)
    return OperatorRow(
        kind.__name__,
        issubclass(kind, CompositeConvolution),
        summary(kind),
        kind.paper,
        {f.name: _default(f) for f in fields(kind)},
        example.dimensions,
        parameters,
        macs,
        tuple(_properties(example, scope)),
        {name: _refusal(name, example, scope) for name in TRANSFORMATIONS},
    )


# -- an instance to look at ----------------------------------------------------------------------
@dataclass(frozen=True)
class _Placed(Recipe):
    """An operator or convolution on its inputs; ``around`` puts a convolution before and after."""

    op: Operator | CompositeConvolution
    others: tuple[Shape, ...] = ()
    around: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        others = [Value(f"x{i}", shape) for i, shape in enumerate(self.others)]
        if not self.around:
            return g("op", self.op, x, *others)
        y = g("op", self.op, g("before", Convolution(), x), *others)
        return g("after", Convolution(), y)


@dataclass(frozen=True)
class _Example:
    """An operator with its defaults on the first map that it takes."""

    kind: Kind
    dimensions: int
    settings: Mapping[str, Any]
    """The fields that have no default."""
    multiple: int
    """Channels of further inputs, in channels of the first."""

    @staticmethod
    def of(kind: Kind) -> _Example:
        needed = [f for f in fields(kind) if f.default is MISSING]
        settings = {f.name: CHANNELS // 4 * (i + 1) for i, f in enumerate(needed)}
        for dimensions in SIDES:
            for multiple in (1, 9, 2):
                example = _Example(kind, dimensions, settings, multiple)
                try:
                    example.scope()
                except IllegalArchitecture:
                    continue
                return example
        raise TypeError(f"{kind.__name__} takes no map of {CHANNELS} channels")

    def scope(
        self,
        channels: Number = CHANNELS,
        size: Sequence[Number] | None = None,
        around: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> Scope:
        """It alone, traced; raises ``IllegalArchitecture`` where that cannot be."""
        made = self.kind(**(dict(self.settings) | dict(settings or {})))
        sides: Any = tuple(size) if size is not None else (SIDE,) * self.dimensions
        inputs = 2 if not isinstance(made, Operator) or made.inputs is None else made.inputs
        others = Shape(channels * self.multiple, sides)
        count = inputs - 1 if isinstance(made, Operator) else 0
        return trace(_Placed(made, (others,) * count, around), Shape(channels, sides))


# -- formulas ------------------------------------------------------------------------------------
def _formulas(example: _Example) -> tuple[str, str]:
    """Parameters and MACs as text, with as many unknowns as counting can leave open."""
    names = SIDES[example.dimensions]
    symbols = _symbols(example.kind)
    for open_size in (True, False):
        size = [Poly.variable(n) for n in names] if open_size else None
        for count in range(len(symbols), -1, -1):
            for chosen in combinations(symbols, count):
                unknown = {f: symbols[f] for f in chosen}
                found = _counted_with(example, size, unknown)
                if found is None:
                    continue
                if open_size:
                    return _text(found[0]), _per_position(found[1], names)
                at = _at(example)
                return _text(found[0]) + at[0], _text(found[1]) + at[1]
    params, macs = (f"{n:,} at C={CHANNELS}" for n in _counts(example.scope()))
    at = _at(example)
    return params + at[0], macs + at[1]


def _at(example: _Example) -> tuple[str, str]:
    """On which map parameters and MACs are counted, where that makes a difference."""
    here = _counts(example.scope())
    there = _counts(example.scope(size=[SIDE * 2] * example.dimensions))
    sides = "x".join([str(SIDE)] * example.dimensions)
    params, macs = (
        "" if a == b else f" on a map of {sides}" for a, b in zip(here, there, strict=True)
    )
    return params, macs


def _symbols(kind: Kind) -> dict[str, str]:
    """Fields that a formula may leave open, and what they are called in it."""
    symbols = {}
    for f in fields(kind):
        if f.name in ("out_channels", "out_features"):
            symbols[f.name] = "N"
        elif f.name == "taps":
            symbols[f.name] = "taps"
        elif f.name.endswith("kernel_size"):
            prefix = f.name.removesuffix("kernel_size").rstrip("_")
            symbols[f.name] = f"k_{prefix}" if prefix else "k"
    return symbols


def _counted_with(
    example: _Example, size: Sequence[Poly] | None, unknown: Mapping[str, str]
) -> tuple[Poly, Poly] | None:
    """Parameters and MACs with these fields unknown, where they are right for integers as well."""
    names = SIDES[example.dimensions]
    try:
        settings = {field: Poly.variable(symbol) for field, symbol in unknown.items()}
        found = _counts(example.scope(Poly.variable("C"), size, settings=settings))
    except (TypeError, AttributeError, IllegalArchitecture):  # it rounds, or needs an integer
        return None
    polys = Poly.of(found[0]), Poly.of(found[1])
    sides = (SIDE,) if size is None else (SIDE, SIDE + 3)

    def holds(channels: int, side: int, values: Mapping[str, int]) -> bool | None:
        try:
            counts = _counts(example.scope(channels, [side] * len(names), settings=values))
        except IllegalArchitecture:
            return None
        numbers = {symbol: values[field] for field, symbol in unknown.items()}
        numbers |= {"C": channels} | dict.fromkeys(names, side)
        return tuple(poly.at(**numbers) for poly in polys) == counts

    first = {field: _integer(example, field) for field in unknown}
    defaults = [holds(c, n, first) for c in (CHANNELS, 2 * CHANNELS) for n in sides]
    each = [
        [holds(CHANNELS, SIDE, first | {field: value}) for value in _others(field, first[field])]
        for field in unknown
    ]
    tried = [defaults, *each]
    return polys if all(True in some and False not in some for some in tried) else None


def _others(field: str, value: int) -> list[int]:
    """Other numbers that a field may have, of which at least one should be legal."""
    if field.endswith("kernel_size"):
        return [value + step for step in STEPS]
    return [2 * value]


def _integer(example: _Example, field: str) -> int:
    default = example.kind.__dataclass_fields__[field].default
    if field in example.settings:
        return int(example.settings[field])
    return default if isinstance(default, int) else CHANNELS


def _counts(scope: Scope) -> tuple[Number, Number]:
    nodes = list(scope.nodes())
    return (
        sum([node.op.params(*node.x) for node in nodes]),
        sum([node.op.macs(*node.x) for node in nodes]),
    )


def _per_position(macs: Poly, names: Sequence[str]) -> str:
    """MACs as text: those of every position of the map, then those done once."""
    if not names:
        return _text(macs)
    everywhere: dict[Monomial, Number] = {}
    once: dict[Monomial, Number] = {}
    for monomial, coefficient in macs.terms.items():
        powers = dict(monomial)
        if any(powers.get(name) for name in names):
            for name in names:
                powers[name] = powers.get(name, 0) - 1
            everywhere[tuple(sorted((n, p) for n, p in powers.items() if p))] = coefficient
        else:
            once[monomial] = coefficient
    parts = [(everywhere, "per position"), (once, "once")]
    texts = [f"{_text(Poly(terms))} {where}" for terms, where in parts if _text(Poly(terms)) != "0"]
    return " + ".join(texts) or "0"


def _text(poly: Poly) -> str:
    """``C^2 + 77*C``: terms of the highest degree first."""

    def order(term: tuple[Monomial, Number]) -> tuple[int, Monomial]:
        return -sum(power for _, power in term[0]), term[0]

    text = ""
    for monomial, coefficient in sorted(poly.terms.items(), key=order):
        if coefficient == 0:
            continue
        factors = [name if power == 1 else f"{name}^{power}" for name, power in monomial]
        number = [] if abs(coefficient) == 1 and factors else [str(abs(coefficient))]
        sign = ("-" if coefficient < 0 else "") if not text else " - " if coefficient < 0 else " + "
        text += sign + "*".join([*number, *factors])
    return text or "0"


# -- properties and transformations --------------------------------------------------------------
def _properties(example: _Example, scope: Scope) -> Iterator[str]:
    operators = [node.op for node in scope.nodes()]
    if any(op.input_conditioned for op in operators):
        yield "input-conditioned"
    if _merges(example, scope):
        yield "mergeable"
    if any(op.fixed_resolution for op in operators):
        yield "fixed resolution"
    if all(op.shift_equivariant for op in operators):
        yield "shift-equivariant"


def _merges(example: _Example, scope: Scope) -> bool:
    """Whether less is left of it once deployed, alone or between two convolutions."""
    scopes = [scope]
    if issubclass(example.kind, Operator) and example.kind.inputs == 1 and example.dimensions:
        with suppress(IllegalArchitecture):
            scopes.append(example.scope(around=True))
    return any(_layers(deployed(s).scope) != _layers(s) for s in scopes)


def _layers(scope: Scope) -> list[Operator]:
    return [node.op for node in scope.nodes()]


def _refusal(transformation: str, example: _Example, scope: Scope) -> str:
    """Why a transformation changes what it computes; empty where, in some setting, it does not."""
    composite = issubclass(example.kind, CompositeConvolution)
    grouped = not composite and "groups" in example.kind.__dataclass_fields__
    found: list[str] = []
    for before in ({}, {"groups": 4}) if grouped else ({},):
        changes = list(_larger(transformation, example))
        if before and transformation == "fewer groups":
            changes.append((CHANNELS, {"groups": 2}))
        for channels, settings in changes:
            try:
                old = example.scope(settings=before)
                new = example.scope(channels, settings={**before, **settings})
                lay(old, new, {node.name: node.name for node in new.nodes()})
            except IllegalArchitecture:
                continue
            except CannotGrow as error:
                found.append(str(error).removeprefix("op: ").removeprefix("op."))
            else:
                return ""
    return found[0] if found else "none of its fields is for that"


def _larger(transformation: str, example: _Example) -> Iterator[tuple[int, dict[str, Any]]]:
    """Channels and settings of what could be the larger form."""
    if transformation == "wider":
        yield 2 * CHANNELS, {}
        return
    for f in fields(example.kind):
        for steps, name in ((STEPS, "kernel_size"), ((0,), "groups"), ((0,), "group_size")):
            if (name == "kernel_size") != (transformation == "larger kernel"):
                continue
            for step in steps:
                if f.name.endswith(name) and type(f.default) is int:
                    yield CHANNELS, {f.name: _stepped(name, f.default, step)}
                elif is_dataclass(f.default) and type(vars(f.default).get(name)) is int:
                    inner: Any = f.default
                    value = _stepped(name, getattr(inner, name), step)
                    yield CHANNELS, {f.name: inner.with_(**{name: value})}


def _stepped(name: str, value: int, step: int) -> int:
    return {"kernel_size": value + step, "groups": value // 2, "group_size": value * 2}[name]


# -- as text -------------------------------------------------------------------------------------
def _default(f: Field[Any]) -> str:
    return "" if f.default is MISSING else _shown(f.default)


def _shown(value: object) -> str:
    """A setting as one writes it: of an operator what differs from its defaults."""
    if is_dataclass(value) and not isinstance(value, type):
        changed = [f for f in fields(value) if getattr(value, f.name) != f.default]
        words = [f"{f.name}={_shown(getattr(value, f.name))}" for f in changed]
        return f"{type(value).__name__}({', '.join(words)})"
    return str(value) if isinstance(value, Fraction) else repr(value)


def operator_listing(rows: Sequence[OperatorRow]) -> str:
    """All that is known of every operator, then a table of them."""
    return "\n\n".join([*map(operator_details, rows), operator_table(rows)])


def operator_table(rows: Sequence[OperatorRow]) -> str:
    """A line per operator, under a heading for the composites and one for the operators."""
    header = ["name", "parameters", "MACs", "properties", "preserved by"]
    parts = []
    for title, composite in (("Convolutions made of operators", True), ("Operators", False)):
        lines = [
            [r.name, r.parameters, r.macs, ", ".join(r.properties), ", ".join(r.preserved_by)]
            for r in rows
            if r.composite is composite
        ]
        if lines:
            parts += [title, "", table(header, lines, LEFT * len(header)), ""]
    return "\n".join([*parts, LEGEND])


def operator_details(row: OperatorRow) -> str:
    """All that is known of one operator."""
    settings = [f"{name}={default}" if default else name for name, default in row.fields.items()]
    lines = [
        f"{row.name}: {row.summary}",
        *_facts(row, settings),
    ]
    return "\n".join(lines)


def _facts(row: OperatorRow, settings: Sequence[str]) -> list[str]:
    facts = {
        "paper": row.paper or "none",
        "fields": ", ".join(settings) or "none",
        "parameters": row.parameters,
        "MACs": row.macs,
        "properties": ", ".join(row.properties) or "none of those that are listed",
        "preserved by": ", ".join(row.preserved_by) or "no transformation",
    }
    facts |= {f"not {name}": reason for name, reason in row.refusals.items() if reason}
    width = max(map(len, facts))
    return [f"  {name:<{width}}  {text}" for name, text in facts.items()]


LEGEND = (
    "C input channels, N output channels (C where not said), k taps per dimension; D, H, W the map."
)

PAGE = """\
# Operators

Every operator, and every convolution made of several operators, that fits the `conv` field of a
block. This page is written by `archsearch list operators --markdown`: formulas are what counting
gives for unknown numbers, properties are read off the traced and the deployed form, at default
settings.

C are input channels, N output channels (C where the formula has no N), k taps per dimension, D, H
and W the sizes of the map. *Mergeable* means that less of it is left once deployed, alone or
between two convolutions. *Preserved by* are the transformations after which it computes the same:
*wider* doubles the channels, *larger kernel* puts zeros around the kernel, *fewer groups* puts
zeros between channels that did not meet; `archsearch list operators NAME` says why one does not.
"""


def operator_page(rows: Sequence[OperatorRow]) -> str:
    """``docs/operators.md``."""
    parts = [PAGE]
    for title, composite in (("Convolutions made of operators", True), ("Operators", False)):
        parts.append(f"## {title}\n")
        parts += [_section(row) for row in rows if row.composite is composite]
    return "\n".join(parts).rstrip()


def _section(row: OperatorRow) -> str:
    settings = [f"`{name}={value}`" if value else f"`{name}`" for name, value in row.fields.items()]
    lines = [
        f"### {row.name}\n",
        (row.summary if row.summary.endswith(".") else f"{row.summary}.") + "\n",
        *([f"- From: {row.paper}"] if row.paper else []),
        f"- Fields: {', '.join(settings) or 'none'}",
        f"- Parameters: `{row.parameters}`",
        f"- MACs: `{row.macs}`",
        f"- Properties: {', '.join(row.properties) or 'none of those above'}",
        f"- Preserved by: {', '.join(row.preserved_by) or 'no transformation'}",
    ]
    return "\n".join(lines) + "\n"
