"""What a generated class takes: the numbers in which its instances differ, named as a person would.

Every number a constructor inside the class needs becomes an expression: a literal where all
instances agree, a parameter, or arithmetic on parameters (``kernel_size // 2``). An expression is
only used where it gives the right number for every instance, so the choice affects looks alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, takewhile
from itertools import count as count_from
from typing import Any

from .channels import Count, Counts, Vector, read_counts
from .checks import LayerName, literal, show
from .layers import IN_NAMES, OUT_NAMES
from .structure import Argument, Child, Part

START = {"stride": 1, "dilation": 1}
"""Parameters that have a default, where any instance uses it."""
SIMPLE = 16
"""The largest number in a ratio of channels that people would write."""


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

    @property
    def interface(self) -> tuple[Any, ...]:
        """What a call needs to know of it."""
        return self.name, self.is_channels, self.is_named, self.default


@dataclass(eq=False)
class Plan:
    """How a class is written: parameters, local values, and the text of every inner argument.

    It gets its ``name`` once all classes of a network are known; ``classes`` are the arguments that
    are classes of parts, whose names are not known before either.
    """

    name: str = ""
    parameters: list[Parameter] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)
    texts: dict[Argument, str] = field(default_factory=dict)
    classes: dict[Argument, Plan] = field(default_factory=dict)

    @property
    def interface(self) -> tuple[Any, ...]:
        """What a call needs to know: classes with equal ones can stand for each other."""
        return tuple(parameter.interface for parameter in self.parameters)

    def texts_of(self, child: str) -> dict[str, str]:
        """The arguments of one of its layers, by role."""
        classes = {a.role: plan.name for a, plan in self.classes.items() if a.child == child}
        return {a.role: text for a, text in self.texts.items() if a.child == child} | classes

    def values(self, part: Part) -> dict[str, Any]:
        """The arguments of one instance."""
        return {p.name: p.source(part) for p in self.parameters}

    def arguments(self, part: Part, given: Mapping[str, str] | None = None) -> list[str]:
        """The arguments of one instance as text, defaults left out; ``given`` replaces some."""
        texts = {name: _text(value) for name, value in self.values(part).items()}
        return self.words(texts | dict(given or {}))

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
    parts: Sequence[Part],
    plans: Plans,
    output_name: str = "out_channels",
    is_head: bool = False,
    is_first: bool = False,
) -> Plan:
    """Choose the parameters of the class of which all ``parts`` are instances.

    ``output_name`` is what it calls its output channels. ``is_head`` says that they may be changed
    afterwards, ``is_first`` that its input channels may.
    """
    distinct = _distinct(parts, plans)
    counts = read_counts(distinct, output_name, is_head, is_first)
    return _Planner(Plan(), distinct, plans, counts, is_head or len(distinct) > 1).run()


def _text(value: Any) -> str:
    return value.name if isinstance(value, Plan) else show(value)


def _arguments_of(child: Child, plans: Plans) -> dict[str, Any]:
    if child.part is not None:
        plan = plans[child.part.signature]
        return {"class": plan} | plan.values(child.part)
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
                place, value = Argument(child.name, role), vectors[role][0]
                if isinstance(value, Plan) and len(set(vectors[role])) == 1:
                    self.plan.classes[place] = value
                else:
                    self.plan.texts[place] = self._text(i, child, role, vectors)
        self._name_counts()
        return self.plan

    # -- texts of single arguments -------------------------------------------------------------
    def _text(self, i: int, child: Child, role: str, vectors: dict[str, Vector]) -> str:
        vector = vectors[role]
        if child.part is not None and self._is_channels(child.part, role):
            return self._mark(self._inner_count(i, child, role, vector))
        count = self._count_by_role(child, role, vector)
        if count is not None:
            return self._mark(count)
        if role == "groups":
            return self._groups(i, child, vector)
        if role == "padding":
            return self._padding(i, child, vectors)
        if role == "num_groups" and len(set(vector)) > 1:
            text = self._multiple(Count(role, vector, self._source(i, role)))
            return text or self._plain(i, child, role, vector)
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

    def _is_channels(self, part: Part, role: str) -> bool:
        parameters = self.plans[part.signature].parameters
        return any(p.is_channels for p in parameters if p.name == role)

    def _inner_count(self, i: int, child: Child, role: str, vector: Vector) -> Count:
        before, after = self.counts.of[child.reads[0]], self.counts.of[child.name]
        if role == "out_channels" and after.vector == vector:
            return after
        if role in ("in_channels", "channels") and before.vector == vector:
            return before
        found = self.counts.find(vector)
        if found is None:
            source = self._source(i, role)
            found = Count(child.name, vector, source, role=role)
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
        for half, padding in _halves(kernel, dilation).items():
            if padding == vector:
                size = self._plain(i, child, "kernel_size", kernel)
                step = self._plain(i, child, "dilation", dilation)
                if size.isdigit():
                    times = vector[0] // dilation[0]
                    return step if times == 1 else f"{times} * {step}"
                return half.format(size) if step == "1" else f"{step} * ({half.format(size)})"
        return self._plain(i, child, "padding", vector)

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
            name = self._free_name(role, child)
            default = START.get(role)
            known = Parameter(
                name,
                _hint(vector),
                source or self._source(i, role),
                default=default if default in vector else None,
            )
            self.plain[role, vector] = known
        return known.name

    def _free_name(self, role: str, child: Child) -> str:
        taken = {parameter.name for parameter in self.plain.values()} | IN_NAMES | OUT_NAMES
        word = "activation" if role == "class" else role
        if role == "class" and child.part is not None:
            word = child.name.rstrip("0123456789")
        elif self.names[role] > 1:
            word = child.name if role in ("class", "norm") else f"{child.name}_{role}"
        names = (word, *(f"{child.name}_{word}{i}" for i in range(1, len(taken) + 2)))
        return next(name for name in names if name not in taken)

    def _source(self, i: int, role: str) -> Callable[[Part], Any]:
        return lambda part: _arguments_of(part.children[i], self.plans)[role]

    # -- names of channel counts ---------------------------------------------------------------
    def _mark(self, count: Count) -> str:
        if count not in self.used:
            self.used.append(count)
        return f"{{{self.used.index(count)}}}"

    def _name_counts(self) -> None:
        """Every count that is used becomes a literal, an expression or a parameter."""
        inner = [count for count in self.used if not count.is_end]
        literals = [c for c in inner if self.literal_inner and not c.varies]
        self.written = {count: literal(count.vector[0]) for count in literals}
        self.local: dict[Count, str] = {}
        for count in inner:
            if count not in self.written:
                self.local[count] = self._inner_name(count, inner, set(self.local.values()))
        for count in self.local:
            self._write(count, self._multiple(count))
        parameters: list[Parameter] = []
        for count in self.local:
            if count not in self.written:
                self._write(count, self._sum(count) or self._fraction(count))
            if count not in self.written:
                self.written[count] = self.local[count]
                parameters.append(Parameter(self.local[count], "int", count.source, True))
        ends = [count for count in self.counts.ends if count in self.used]
        self.written |= {count: count.name for count in ends}
        texts = [self.written[count] for count in self.used]
        self.plan.texts = {a: t.format(*texts) for a, t in self.plan.texts.items()}
        outer = [Parameter(c.name, "int", c.source, True, False) for c in ends]
        if len(outer) + len(parameters) < 3:  # two numbers in a row can be told apart
            parameters = [replace(p, is_named=False) for p in parameters]
        plain = sorted(self.plain.values(), key=lambda p: p.default is not None)
        self.plan.parameters = [*outer, *parameters, *plain]

    def _write(self, count: Count, text: str | None) -> None:
        """Let an expression stand for a count where it is used, by a local name if more than once
        or amid others."""
        if text is None:
            return
        if self._uses(count) == 1 and self._stands_alone(count):
            self.written[count] = text
        else:
            self.written[count] = self.local[count]
            self.plan.assignments.append(f"{self.local[count]} = {text}")

    def _inner_name(self, count: Count, inner: list[Count], taken: set[str]) -> str:
        own = [other for other in inner if not self._is_inside(other)]
        alike = [n for p in self.parts[0].partings for n in p.names if self.counts.of[n] is count]
        common = _common_end(alike) if len(alike) > 1 else ""
        stem = f"{common or count.name}_channels"
        if own == [count] and not common:
            stem = "hidden_channels"
        if self._is_inside(count) and sum(other.name == count.name for other in inner) > 1:
            stem = f"{count.name}_{count.role}" if count.role else stem
        numbered = (f"{stem}{i}" for i in count_from(2))
        return next(name for name in chain([stem], numbered) if name not in taken)

    def _is_inside(self, count: Count) -> bool:
        """Whether it is a number of an inner part, so that it is called after that part."""
        return any(c.part is not None and c.name == count.name for c in self.parts[0].children)

    def _multiple(self, count: Count) -> str | None:
        """The count as a whole multiple or part of one of the ends, for every instance."""
        counts = self.counts
        parts_of = (*counts.near(self.parts[0], count), *counts.divided)
        tries = [(end, False) for end in parts_of] + [(end, True) for end in counts.whole]
        for end, multiplies in tries:
            ratio = count.over(end)
            if ratio is None or (ratio.denominator if multiplies else ratio.numerator) != 1:
                continue
            self._mark(end)
            if ratio == 1:
                return end.name
            return f"{ratio} * {end.name}" if multiplies else f"{end.name} // {ratio.denominator}"
        return None

    def _fraction(self, count: Count) -> str | None:
        """The count as another simple ratio of an end, if instances agree on it."""
        for end in self.counts.whole:
            ratio = count.over(end)
            if end.varies and ratio is not None and max(ratio.as_integer_ratio()) <= SIMPLE:
                self._mark(end)
                return f"{ratio.numerator} * {end.name} // {ratio.denominator}"
        return None

    def _sum(self, count: Count) -> str | None:
        """The count as what others add up to, or as what they leave of one."""
        for total, parts in self.counts.sums:
            others = [part for part in parts if part is not count]
            operands = others if total is count else [total, *others]
            if (total is not count and len(others) != len(parts) - 1) or not all(
                other.is_end or other in self.written for other in operands
            ):
                continue
            terms = [self._term(other, n) for other, n in Counter(others).items()]
            if total is count:
                return " + ".join(terms)
            return " - ".join([self._term(total, 1), *terms])
        return None

    def _term(self, count: Count, times: int) -> str:
        self._mark(count)
        text = count.name if count.is_end else self.written[count]
        is_sum = " + " in text or " - " in text
        if is_sum or (times > 1 and not text.isidentifier()):
            text = f"({text})"
        return text if times == 1 else f"{times} * {text}"

    def _uses(self, count: Count) -> int:
        mark = self._mark(count)
        return sum(text.count(mark) for text in self.plan.texts.values())

    def _stands_alone(self, count: Count) -> bool:
        return self._mark(count) in self.plan.texts.values()


def _common_end(names: Sequence[str]) -> str:
    """The words in which all names end: ``part`` of ``square_part`` and ``vertical_part``."""
    words = zip(*(reversed(name.split("_")) for name in names), strict=False)
    return "_".join(reversed([w[0] for w in takewhile(lambda w: len(set(w)) == 1, words)]))


def _halves(kernel: Vector, dilation: Vector) -> dict[str, Vector]:
    """How people write the padding around a kernel, by the padding that it gives."""
    numbers = list(zip(kernel, dilation, strict=False))
    if all(type(k) is type(d) is int for k, d in numbers):
        return {
            "{} // 2": tuple(d * (k // 2) for k, d in numbers),
            "({} - 1) // 2": tuple(d * ((k - 1) // 2) for k, d in numbers),
        }
    if all(type(k) is tuple and d == 1 for k, d in numbers):
        halves = tuple(tuple(n // 2 for n in k) for k in kernel)
        return {"tuple(k // 2 for k in {})": halves}
    return {}


def _hint(vector: Vector) -> str:
    """The type of a parameter with these values."""
    if isinstance(vector[0], LayerName | Plan):
        return "type[nn.Module]"
    return " | ".join(dict.fromkeys(map(_type, vector)))


def _type(value: Any) -> str:
    if not isinstance(value, tuple):
        return type(value).__name__
    return f"tuple[{', '.join(map(_type, value)) or '()'}]"
