"""The body of forward(): layers nested where a person would nest them, short names for the rest.

One statement holds a convolution with its norm and activation; branches that meet start a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .layout import INDENT, WIDTH
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


def forward_lines(part: Part, last: str | None = None) -> list[str]:
    """The lines of forward(x), indented; ``last`` is the layer that ``pre_logits`` leaves out."""
    if not part.children:
        return [f"{BODY}return {INPUT}"]
    statements = _statements(part, last)
    reads = Counter(name for s in statements for name in s.reads) + Counter([part.output])
    variables = {INPUT: INPUT}
    lines: list[str] = []
    for i, statement in enumerate(statements):
        text = statement.text(variables)
        reads -= Counter(statement.reads)
        if i == len(statements) - 1 and statement.value == part.output:
            if statement.value == last:
                text = f"{variables[statement.reads[0]]} if pre_logits else {text}"
            return [*lines, f"{BODY}return {text}"]
        variables[statement.value] = _variable(statement, variables, reads)
        lines.append(f"{BODY}{variables[statement.value]} = {text}")
    return [*lines, f"{BODY}return {variables[part.output]}"]


def _statements(part: Part, last: str | None) -> list[Statement]:
    uses = Counter(name for child in part.children for name in child.reads)
    uses[part.output] += 1
    statements: list[Statement] = []
    for i, child in enumerate(part.children):
        current = statements[-1] if statements else None
        following = part.children[i + 1 :]
        if (
            current is not None
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
    """A name for the value: that of an input no longer needed, else ``y``, else the layer's own."""
    live = {variables[name] for name in variables if reads[name] > 0}
    names = [variables[name] for name in statement.reads]
    names += ["y", statement.layers[0].name, f"{statement.layers[0].name}_out"]
    return next(name for name in names if name not in live)
