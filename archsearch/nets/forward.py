"""The body of forward(): layers nested where a person would nest them, short names for the rest.

One statement holds a convolution with its norm and activation; branches that meet start a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .layout import INDENT, WIDTH, line_of
from .structure import INPUT, Child, Part

BODY = INDENT * 2


@dataclass
class Statement:
    """Layers written as one expression; each reads what the one before gives."""

    layers: list[Child]

    @property
    def reads(self) -> tuple[str, ...]:
        return self.layers[0].reads

    @property
    def value(self) -> str:
        return self.layers[-1].name

    @property
    def contracts(self) -> bool:
        return any(layer.contracts for layer in self.layers)

    def text(self, variables: dict[str, str]) -> str:
        inner = [variables[name] for name in self.layers[0].reads]
        for layer in self.layers:
            inner = [layer.template.format(*inner, module=f"self.{layer.name}")]
        return inner[0]


@dataclass
class Parting(Statement):
    """Layers that take the parts of one value, written as one statement."""

    template: str

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    def text(self, variables: dict[str, str]) -> str:
        return self.template.format(variables[self.reads[0]])


def forward_lines(
    part: Part, partings: Mapping[tuple[str, ...], str], last: str | None = None
) -> list[str]:
    """The lines of forward(x), indented; ``partings`` are the calls that give several layers'
    outputs at once, ``last`` is the layer that ``pre_logits`` leaves out."""
    if not part.children:
        return [f"{BODY}return {INPUT}"]
    statements = _statements(part, partings, last)
    reads = Counter(name for s in statements for name in s.reads) + Counter([part.output])
    variables = {INPUT: INPUT}
    lines: list[str] = []
    for i, statement in enumerate(statements):
        text = statement.text(variables)
        reads -= Counter(statement.reads)
        is_last = i == len(statements) - 1 and not isinstance(statement, Parting)
        if is_last and statement.value == part.output:
            if statement.value == last:
                text = f"{variables[statement.reads[0]]} if pre_logits else {text}"
            return [*lines, *line_of(2, "return ", text)]
        if isinstance(statement, Parting):
            variables |= {name: _own_name(name, variables, reads) for name in statement.names}
            names = ", ".join(variables[name] for name in statement.names)
            lines += line_of(2, f"{names} = ", text)
            continue
        variables[statement.value] = _variable(statement, variables, reads)
        lines += line_of(2, f"{variables[statement.value]} = ", text)
    return [*lines, f"{BODY}return {variables[part.output]}"]


def _statements(
    part: Part, partings: Mapping[tuple[str, ...], str], last: str | None
) -> list[Statement]:
    together = {name: names for names in partings for name in names}
    children = {child.name: child for child in part.children}
    uses = Counter(name for child in part.children for name in child.reads)
    uses[part.output] += 1
    statements: list[Statement] = []
    for i, child in enumerate(part.children):
        if names := together.get(child.name):
            if not any(s.layers[0].name == names[0] for s in statements):
                statements.append(Parting([children[n] for n in names], partings[names]))
            continue
        current = statements[-1] if statements else None
        following = part.children[i + 1 :]
        if (
            current is not None
            and not isinstance(current, Parting)
            and child.reads == (current.value,)
            and uses[current.value] == 1
            and child.name != last
            and _nests(current, child)
            and _belongs(current, child, following)
        ):
            current.layers.append(child)
        else:
            statements.append(Statement([child]))
    return statements


def _nests(current: Statement, child: Child) -> bool:
    """Whether the expression can stand inside the child's: once, without brackets, on one line."""
    layers = [*current.layers, child]
    if len(f"{BODY}shortcut = ") + sum(map(_length, layers)) > WIDTH:
        return False
    return child.is_plain or (current.layers[-1].is_plain and child.template.count("{0}") == 1)


def _length(child: Child) -> int:
    return len(f"self.{child.name}()") if child.is_plain else len(child.template)


def _belongs(current: Statement, child: Child, following: Iterable[Child]) -> bool:
    """Whether a person would write the child in the same line."""
    if not current.contracts:
        return True
    if any(child.name.startswith(f"{layer.name}_") for layer in current.layers):
        return True
    if child.contracts:
        return False
    return not child.weighted or not _leads_to_contraction(child, following)


def _leads_to_contraction(child: Child, following: Iterable[Child]) -> bool:
    """Whether it prepares the input of another convolution, as the norms of DenseNet do."""
    value = child.name
    for other in following:
        if other.reads != (value,):
            return False
        if other.contracts:
            return True
        value = other.name
    return False


def _variable(statement: Statement, variables: dict[str, str], reads: Counter[str]) -> str:
    """A name for the value: that of an input no longer needed (the part's own before others), else
    ``y``, else the layer's own. What comes of several inputs is not called after one of them."""
    live = _live(variables, reads)
    names = sorted((variables[name] for name in statement.reads), key=lambda name: name != INPUT)
    if len(names) > 1:
        names = [*(name for name in names if name == INPUT), "y", *names]
    free = next((name for name in [*names, "y"] if name not in live), None)
    return free or _own_name(statement.layers[0].name, variables, reads)


def _own_name(layer: str, variables: dict[str, str], reads: Counter[str]) -> str:
    """The name of a layer for its value."""
    return layer if layer not in _live(variables, reads) else f"{layer}_out"


def _live(variables: dict[str, str], reads: Counter[str]) -> set[str]:
    return {variables[name] for name in variables if reads[name] > 0}
