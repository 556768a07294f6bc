"""What a generated class takes: the numbers in which its instances differ, named as a person would.

Every number a constructor inside the class needs becomes an expression: a literal where all
instances agree, a parameter, or arithmetic on parameters (``kernel_size // 2``). An expression is
only used where it gives the right number for every instance, so the choice affects looks alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from itertools import count as count_from
from typing import Any

from .channels import Count, Counts, Vector, read_counts
from .checks import LayerName, literal, show
from .layers import IN_NAMES, OUT_NAMES
from .structure import Argument, Child, Part

START = {"stride": 1, "dilation": 1}
"""Parameters that have a default, where any instance uses it."""


@dataclass(frozen=True)
class Parameter:
    """An argument of a generated class; ``source`` gives its value for an instance."""

    name: str
    hint: str
    source: Callable[[Part], Any]
    is_channels: bool = False
    is_named: bool = True
    """Whether calls give it by its name."""
    default: Any = None

    def __str__(self) -> str:
        default = f" = {show(self.default)}" if self.default is not None else ""
        return f"{self.name}: {self.hint}{default}"


@dataclass
class Plan:
    """How a class is written: parameters, local values, and the text of every inner argument."""

    name: str
    parameters: list[Parameter] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)
    texts: dict[Argument, str] = field(default_factory=dict)

    def values(self, part: Part) -> dict[str, Any]:
        """The arguments of one instance."""
        return {p.name: p.source(part) for p in self.parameters}

    def arguments(self, part: Part, given: Mapping[str, str] | None = None) -> list[str]:
        """The arguments of one instance as text, defaults left out; ``given`` replaces some."""
        return self.words({n: show(v) for n, v in self.values(part).items()} | dict(given or {}))

    def words(self, texts: Mapping[str, str]) -> list[str]:
        """The arguments of a call from their texts by name."""
        return [
            f"{p.name}={texts[p.name]}" if p.is_named else texts[p.name]
            for p in self.parameters
            if p.default is None or texts[p.name] != show(p.default)
        ]


Plans = Mapping[tuple[Any, ...], Plan]
"""The plans made so far, by signature: those of inner parts come first."""


def plan_class(
    name: str,
    parts: Sequence[Part],
    plans: Plans,
    output_name: str = "out_channels",
    literal_inner: bool = False,
) -> Plan:
    """Choose the parameters of the class of which all ``parts`` are instances.

    ``output_name`` is what it calls its output channels; with ``literal_inner`` a class of one
    instance keeps its inner channel counts as literals.
    """
    distinct = _distinct(parts, plans)
    counts = read_counts(distinct, output_name)
    return _Planner(Plan(name), distinct, plans, counts, literal_inner or len(distinct) > 1).run()


def _arguments_of(child: Child, plans: Plans) -> dict[str, Any]:
    if child.part is not None:
        return plans[child.part.signature].values(child.part)
    return dict(child.arguments)


def _distinct(parts: Sequence[Part], plans: Plans) -> list[Part]:
    """Parts that differ in some number: equal blocks are looked at once."""
    seen: dict[object, Part] = {}
    for part in parts:
        inside = tuple(
            (child.shape.channels, *_arguments_of(child, plans).values()) for child in part.children
        )
        seen.setdefault((part.input.channels, inside), part)
    return list(seen.values())


@dataclass
class _Planner:
    """The choice for one class; texts hold ``{0}``, ``{1}``, ... for counts not named yet."""

    plan: Plan
    parts: list[Part]
    plans: Plans
    counts: Counts
    literal_inner: bool
    used: list[Count] = field(default_factory=list)
    plain: dict[tuple[str, Vector], Parameter] = field(default_factory=dict)

    def run(self) -> Plan:
        tables = [[_arguments_of(c, self.plans) for c in part.children] for part in self.parts]
        roles = Counter(
            (role, tuple(table[i][role] for table in tables))
            for i, arguments in enumerate(tables[0])
            for role in arguments
        )
        self.names = Counter(role for role, vector in roles if len(set(vector)) > 1)
        for i, child in enumerate(self.parts[0].children):
            vectors = {r: tuple(table[i][r] for table in tables) for r in tables[0][i]}
            for role in vectors:
                text = self._text(i, child, role, vectors)
                self.plan.texts[Argument(child.name, role)] = text
        self._name_counts()
        return self.plan

    # -- texts of single arguments -------------------------------------------------------------
    def _text(self, i: int, child: Child, role: str, vectors: dict[str, Vector]) -> str:
        vector = vectors[role]
        if child.part is not None:
            parameter = self._inner_parameter(child.part, role)
            if parameter.is_channels:
                return self._mark(self._inner_count(i, child, role, vector))
        count = self._count_by_role(child, role, vector)
        if count is not None:
            return self._mark(count)
        if role == "groups":
            return self._groups(i, child, vector)
        if role == "padding":
            return self._padding(i, child, vectors)
        return self._plain(i, child, role, vector)

    def _count_by_role(self, child: Child, role: str, vector: Vector) -> Count | None:
        before = self.counts.of[child.reads[0]] if child.reads else None
        after = self.counts.of[child.name]
        if role in OUT_NAMES and after.vector == vector:
            return after
        if role in IN_NAMES and before is not None and before.vector == vector:
            return before
        if role in IN_NAMES | OUT_NAMES or role.startswith("argument") or child.is_function:
            return self.counts.find(vector) if all(type(v) is int for v in vector) else None
        return None

    def _inner_parameter(self, part: Part, role: str) -> Parameter:
        plan = self.plans[part.signature]
        return next(p for p in plan.parameters if p.name == role)

    def _inner_count(self, i: int, child: Child, role: str, vector: Vector) -> Count:
        before, after = self.counts.of[child.reads[0]], self.counts.of[child.name]
        if role == "out_channels" and after.vector == vector:
            return after
        if role in ("in_channels", "channels") and before.vector == vector:
            return before
        found = self.counts.find(vector) if len(set(vector)) > 1 else None
        if found is None:
            source = self._source(i, role)
            found = Count(child.name, vector, source)
            self.counts.inner.append(found)
        return found

    def _groups(self, i: int, child: Child, vector: Vector) -> str:
        before = self.counts.of[child.reads[0]]
        if vector == before.vector and (set(vector) != {1} or before.varies):
            return self._mark(before)
        if len(set(vector)) == 1:
            return literal(vector[0])
        sizes = tuple(n // groups for n, groups in zip(before.vector, vector, strict=True))
        if any(n % groups for n, groups in zip(before.vector, vector, strict=True)):
            return self._plain(i, child, "groups", vector)
        source, groups_of = before.source, self._source(i, "groups")
        size = self._plain(
            i, child, "group_size", sizes, lambda part: source(part) // groups_of(part)
        )
        return f"{self._mark(before)} // {size}"

    def _padding(self, i: int, child: Child, vectors: dict[str, Vector]) -> str:
        vector, kernel = vectors["padding"], vectors.get("kernel_size", ())
        dilation = vectors.get("dilation", (1,) * len(vector))
        if len(set(vector)) == 1:
            return show(vector[0])
        halves = [k // 2 if type(k) is int else None for k in kernel]
        if None in halves or vector != tuple(
            d * half for d, half in zip(dilation, halves, strict=False)
        ):
            return self._plain(i, child, "padding", vector)
        size = self._plain(i, child, "kernel_size", kernel)
        step = self._plain(i, child, "dilation", dilation)
        if size.isdigit():
            return step if int(size) // 2 == 1 else f"{int(size) // 2} * {step}"
        return f"{size} // 2" if step == "1" else f"{step} * ({size} // 2)"

    def _plain(
        self,
        i: int,
        child: Child,
        role: str,
        vector: Vector,
        source: Callable[[Part], Any] | None = None,
    ) -> str:
        """A literal where all instances agree, else a parameter shared by equal values."""
        if len(set(vector)) == 1:
            return show(vector[0])
        known = self.plain.get((role, vector))
        if known is None:
            name = self._free_name(role, child.name)
            default = START.get(role)
            known = Parameter(
                name,
                _hint(vector),
                source or self._source(i, role),
                default=default if default in vector else None,
            )
            self.plain[role, vector] = known
        return known.name

    def _free_name(self, role: str, child: str) -> str:
        taken = {parameter.name for parameter in self.plain.values()} | IN_NAMES | OUT_NAMES
        word = "activation" if role == "class" else role
        if self.names[role] > 1:
            word = child if role == "class" else f"{child}_{role}"
        names = (word, *(f"{child}_{word}{i}" for i in range(1, len(taken) + 2)))
        return next(name for name in names if name not in taken)

    def _source(self, i: int, role: str) -> Callable[[Part], Any]:
        return lambda part: _arguments_of(part.children[i], self.plans)[role]

    # -- names of channel counts ---------------------------------------------------------------
    def _mark(self, count: Count) -> str:
        if count not in self.used:
            self.used.append(count)
        return f"{{{self.used.index(count)}}}"

    def _name_counts(self) -> None:
        """Every count that is used becomes a parameter, a literal, or a multiple of an end."""
        inner = [count for count in self.used if not count.is_end]
        names: dict[Count, str] = {}
        written: dict[Count, str] = {}
        parameters: list[Parameter] = []
        for count in inner:
            if not count.varies and self.literal_inner:
                written[count] = literal(count.vector[0])
                continue
            names[count] = self._inner_name(count, inner, set(names.values()))
            text = self._multiple(count)
            if text is None:
                written[count] = names[count]
                parameters.append(Parameter(names[count], "int", count.source, True))
            elif self._uses(count) == 1 and self._stands_alone(count):
                written[count] = text
            else:
                written[count] = names[count]
                self.plan.assignments.append(f"{names[count]} = {text}")
        ends = [count for count in dict.fromkeys(self.counts.ends) if count in self.used]
        written |= {count: count.name for count in ends}
        texts = [written[count] for count in self.used]
        self.plan.texts = {a: t.format(*texts) for a, t in self.plan.texts.items()}
        outer = [Parameter(c.name, "int", c.source, True, False) for c in ends]
        if len(outer) + len(parameters) < 3:  # two numbers in a row can be told apart
            parameters = [replace(p, is_named=False) for p in parameters]
        plain = sorted(self.plain.values(), key=lambda p: p.default is not None)
        self.plan.parameters = [*outer, *parameters, *plain]

    def _inner_name(self, count: Count, inner: list[Count], taken: set[str]) -> str:
        own = [other for other in inner if not self._is_inside(other)]
        stem = "hidden_channels" if own == [count] else f"{count.name}_channels"
        numbered = (f"{stem}{i}" for i in count_from(2))
        return next(name for name in chain([stem], numbered) if name not in taken)

    def _is_inside(self, count: Count) -> bool:
        """Whether it is a number of an inner part, so that it is called after that part."""
        return any(c.part is not None and c.name == count.name for c in self.parts[0].children)

    def _multiple(self, count: Count) -> str | None:
        """The count as a whole multiple or part of one of the ends, for every instance."""
        for end in dict.fromkeys(self.counts.ends):
            pairs = list(zip(count.vector, end.vector, strict=True))
            if not end.varies:
                continue
            value, base = pairs[0]
            if value % base == 0 and all(v == b * (value // base) for v, b in pairs):
                text = f"{value // base} * {end.name}"
            elif base % value == 0 and all(v * (base // value) == b for v, b in pairs):
                text = f"{end.name} // {base // value}"
            else:
                continue
            self._mark(end)
            return text
        return None

    def _uses(self, count: Count) -> int:
        mark = self._mark(count)
        return sum(text.count(mark) for text in self.plan.texts.values())

    def _stands_alone(self, count: Count) -> bool:
        return self._mark(count) in self.plan.texts.values()


def _hint(vector: Vector) -> str:
    """The type of a parameter with these values."""
    if isinstance(vector[0], LayerName):
        return "type[nn.Module]"
    words = [f"tuple[{', '.join(['int'] * len(v))}]" if isinstance(v, tuple) else type(v).__name__
             for v in vector]  # fmt: skip
    return " | ".join(dict.fromkeys(words))
