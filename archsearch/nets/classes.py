"""The generated classes: one per distinct structure of a block, inner ones first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .checks import show
from .forward import forward_lines
from .layers import own_layer, signature
from .layout import INDENT, bracketed, conditional
from .naming import class_names
from .parameters import Plan, plan_class
from .structure import INPUT, RESERVED, Child, Part, Parting

CLASSES = "num_classes"


class Classes:
    """The classes that a network's parts need: their plans, by signature, and their text.

    ``head`` is the part that ends in class scores, where there is one: its class can leave out its
    last layer. ``first`` is the part that reads the network's input, whose channels can change.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        taken: set[str],
        head: Part | None = None,
        first: Part | None = None,
    ) -> None:
        inside = [inner for part in parts for inner in part.parts()]
        self.head = head
        self.plans: dict[tuple[Any, ...], Plan] = {}
        groups: dict[Plan, list[Part]] = {}
        for group in self._groups(inside):
            is_head = self._is_head(group[0])
            output = CLASSES if is_head else "out_channels"
            plan = plan_class(group, self.plans, output, is_head, _reads_input(group, first))
            self.plans |= {part.signature: plan for part in group}
            groups[plan] = group
        order = dict.fromkeys(self.plans[part.signature] for part in inside)
        self.first = {plan: groups[plan][0] for plan in order}
        names = class_names([groups[plan] for plan in order], taken)
        for plan, name in zip(order, names, strict=True):
            plan.name = name

    def _groups(self, inside: Sequence[Part]) -> Iterator[list[Part]]:
        """The instances of every class, each after those of the parts inside it.

        Parts of the same layers are one class, also where parts inside them differ: the class then
        takes theirs. So a kind of block is looked at when all that its blocks need is known.
        """
        same: dict[tuple[Any, ...], list[Part]] = {}
        for part in inside:
            same.setdefault(part.signature, []).append(part)
        waiting = list(same.values())
        while waiting:
            blocked = {group[0].kind for group in waiting if not self._is_ready(group[0])}
            now = [group for group in waiting if group[0].kind not in blocked]
            now = now or [group for group in waiting if self._is_ready(group[0])]
            alike: dict[tuple[Any, ...], list[Part]] = {}
            for group in now:
                alike.setdefault(self._likeness(group[0]), []).extend(group)
            yield from alike.values()
            waiting = [group for group in waiting if group[0].signature not in self.plans]

    def _is_ready(self, part: Part) -> bool:
        return all(c.part is None or c.part.signature in self.plans for c in part.children)

    def _likeness(self, part: Part) -> tuple[Any, ...]:
        """What two parts have in common that can be one class."""
        kind, same, *rest = part.signature
        alike = tuple(
            (child.name, self.plans[child.part.signature].interface, child.reads)
            if child.part is not None
            else signature
            for child, signature in zip(part.children, same, strict=True)
        )
        return kind, alike, *rest, self._is_head(part)

    def _is_head(self, part: Part) -> bool:
        return self.head is not None and part.signature == self.head.signature

    @property
    def names(self) -> set[str]:
        return {plan.name for plan in self.first}

    def call(self, part: Part, **given: str) -> tuple[str, list[str]]:
        """The class of a part and its arguments as text; ``given`` replaces some of them."""
        plan = self.plans[part.signature]
        return plan.name, plan.arguments(part, given)

    def texts(self) -> list[list[str]]:
        """The lines of every class."""
        return [self._class(part, plan) for plan, part in self.first.items()]

    def initial(self) -> list[tuple[list[str], list[str]]]:
        """Names of classes, and the lines that start some of their weights."""
        found: dict[tuple[str, ...], list[str]] = {}
        for plan, part in self.first.items():
            lines = [
                f"nn.init.{function}(module.{child.name}.{weight})"
                for child in part.children
                for weight, function in child.initial
            ]
            if lines:
                found.setdefault(tuple(lines), []).append(plan.name)
        return [(names, list(lines)) for lines, names in found.items()]

    def _class(self, part: Part, plan: Plan) -> list[str]:
        is_head = self._is_head(part)
        words = ["self", *map(str, plan.parameters)]
        lines = [f"class {plan.name}(nn.Module):"]
        lines += bracketed(1, "def __init__(", words, ") -> None:")
        lines.append(f"{INDENT * 2}super().__init__()")
        lines += [f"{INDENT * 2}{assignment}" for assignment in plan.assignments]
        for child in part.children:
            if not child.is_function:
                last = is_head and child.name == part.output
                lines += self._layer(child, plan, last)
        numbers = Numbers(part, plan)
        extra = ", pre_logits: bool = False" if is_head else ""
        lines += [
            *numbers.assignments,
            "",
            f"{INDENT}def forward(self, x: Tensor{extra}) -> Tensor:",
        ]
        return lines + forward_lines(
            numbers.part, numbers.partings, part.output if is_head else None
        )

    def _layer(self, child: Child, plan: Plan, is_last: bool) -> list[str]:
        texts = plan.texts_of(child.name)
        if child.part is not None:
            words = self.plans[child.part.signature].words(texts)
            return bracketed(2, f"self.{child.name} = {texts['class']}(", words, ")")
        assert child.call is not None
        assert child.op is not None
        if "class" in texts and not child.positional:
            return [f"{INDENT * 2}self.{child.name} = {texts['class']}()"]
        roles = [role for role, _ in child.arguments]
        positional, named = roles[: child.positional], roles[child.positional :]
        defaults = signature(child.call, type(child.op)).defaults
        kind = texts.pop("norm", child.call.name)
        words = [texts[role] for role in positional]
        words += [
            f"{role}={texts[role]}"
            for role in named
            if role in texts and (role not in defaults or texts[role] != show(defaults[role]))
        ]
        if is_last:
            call = f"{kind}({', '.join(words)})"
            return conditional(2, f"self.{child.name}", call, CLASSES, "nn.Identity()")
        return bracketed(2, f"self.{child.name} = {kind}(", words, ")")


class Numbers:
    """What forward() reads of the numbers of functions: literals, and attributes of the module.

    ``part`` has them in its templates; ``partings`` are the calls that split a value up, by the
    names they give; ``assignments`` make the attributes.
    """

    def __init__(self, part: Part, plan: Plan) -> None:
        self.assignments: list[str] = []
        self._known: dict[str, str] = {}
        self._taken = {child.name for child in part.children} | RESERVED
        texts = {(a.child, a.role): text for a, text in plan.texts.items()}
        self.partings = {p.names: self._parting(p, texts) for p in part.partings}
        together = {name for parting in part.partings for name in parting.names}
        alone = [c for c in part.children if c.is_function and c.name not in together]
        templates = {child.name: self._template(child, texts) for child in alone}
        children = (replace(c, template=templates.get(c.name, c.template)) for c in part.children)
        self.part = replace(part, children=tuple(children))

    def _parting(self, parting: Parting, texts: Mapping[tuple[str, str], str]) -> str:
        names = parting.names
        if parting.is_even:
            return f"{{0}}.chunk({len(names)}, dim=1)"
        stem = names[0].rstrip("0123456789")
        own = "split_sizes" if "split_sizes" not in self._taken else f"{stem}_split_sizes"
        self._taken.add(own)
        sizes = [texts[name, "length"] for name in names]
        self.assignments += bracketed(2, f"self.{own} = [", sizes, "]")
        return f"{{0}}.split(self.{own}, dim=1)"

    def _template(self, child: Child, texts: Mapping[tuple[str, str], str]) -> str:
        template = child.template
        for role, _ in child.arguments:
            text = self._attribute(f"{child.name}_{role}", texts[child.name, role])
            template = template.replace(f"{{{role}}}", text)
        return template

    def _attribute(self, name: str, text: str) -> str:
        """A literal as it is; the attribute that holds any other text, the same for equal ones."""
        if text.isdigit():
            return text
        if text not in self._known:
            own = text if text.isidentifier() and text not in self._taken else name
            self._taken.add(own)
            self._known[text] = f"self.{own}"
            self.assignments.append(f"{INDENT * 2}self.{own} = {text}")
        return self._known[text]


def _reads_input(group: Sequence[Part], first: Part | None) -> bool:
    """Whether the part, or one inside it, that reads the network's input is in the group."""
    if first is None:
        return False
    if any(part.signature == first.signature for part in group):
        return True
    inner = [c.part for c in first.children if c.part is not None and INPUT in c.reads]
    return any(_reads_input(group, part) for part in inner)


def own_layers(parts: Sequence[Part]) -> tuple[list[list[str]], set[str]]:
    """The source of the operators' own layers that the parts use, and their classes' names."""
    sources: dict[str, list[str]] = {}
    names: set[str] = set()
    for part in parts:
        for inner in part.parts():
            for child in inner.children:
                own = own_layer(type(child.op)) if child.op is not None else None
                if own is not None and own.source not in sources:
                    sources[own.source] = own.source.splitlines()
                    names |= set(own.names)
    return list(sources.values()), names
