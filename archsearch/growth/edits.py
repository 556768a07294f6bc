"""Larger networks from one that is there: wider, deeper, with larger kernels, and so on.

An edit changes the fields of one part's blocks; whether the result can compute what the network
does, ``plan`` finds out. One table of edits serves the command line, searches and the docs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Literal

from ..architecture import Architecture
from ..errors import UserError, suggestion
from ..legality import IllegalArchitecture
from ..operators.convolution import Convolution
from ..poly import Ratio
from .changes import conv_changed, deepened, expanded, squeezed, widened
from .channels import CannotGrow
from .parts import Parts
from .plan import Growth, plan

LARGEST = 10**6
"""No width, depth or kernel is larger; a larger number is a slip."""


@dataclass(frozen=True)
class Amount:
    """A new size: ``96``, ``1.5x`` the present one, ``+1``, a ratio ``1/4``; ``dense`` for groups.

    ``of`` gives the size from the present one.
    """

    number: Fraction
    how: Literal["", "x", "+", "dense"] = ""

    def of(self, present: Ratio) -> Fraction:
        if self.how == "x":
            return self.number * present
        return self.number + present if self.how == "+" else self.number

    def whole(self, present: int) -> int:
        """Rounded up, as half a channel is none."""
        return ceil(self.of(present))

    def __str__(self) -> str:
        if self.how == "dense":
            return self.how
        if self.how == "x":
            return f"{float(self.number):g}x"
        return f"{'+' if self.how == '+' else ''}{self.number}"


@dataclass(frozen=True)
class Edit:
    """One kind of change: what it does in words, amounts worth trying, and the change itself.

    ``forms`` are the ways of writing an amount that mean something to it.
    """

    name: str
    summary: str
    tried: tuple[str, ...]
    forms: str
    change: Callable[[Parts, str, Amount], Architecture]

    def parse(self, text: str) -> Amount:
        """The amount that is written; raises ``UserError``."""
        match = re.fullmatch(r"(\+?)([0-9]{1,9}(?:/[0-9]{1,9}|\.[0-9]{1,9})?)(x?)", text)
        if text == "dense" and "dense" in self.forms:
            return Amount(Fraction(0), "dense")
        if match and not (match[1] and match[3]):
            how: Any = match[1] or match[3]
            try:
                number = Fraction(match[2])
            except ZeroDivisionError:
                number = Fraction(0)
            known = how in self.forms or (not how and "=" in self.forms)
            ratio = number.denominator == 1 or how == "x" or "/" in self.forms
            if known and ratio and 0 < number <= LARGEST:
                return Amount(number, how)
        raise UserError(f"--{self.name} {text[:40]!r}: write {self.example}")

    @property
    def example(self) -> str:
        """How to write it, in words."""
        return " or ".join(f"stage1:{text}" for text in self.tried[:2])

    def apply(self, architecture: Architecture, part: str, amount: Amount) -> Architecture:
        """The larger network. ``part`` is ``stage1``, ... (``stages.0``, ...), ``stem``, ``head``,
        or one block as modules are named (``stages.0.1``).

        Raises ``CannotGrow`` where there is no such part, where its blocks have nothing of the
        kind, and where the result is no network, is smaller or is the same.
        """
        try:
            found = self.change(Parts(architecture), part, amount)
            found.trace()
        except IllegalArchitecture as error:
            raise CannotGrow(f"{self.name} {part}:{amount}: {error}") from None
        if found == architecture:
            raise CannotGrow(f"{self.name} {part}:{amount}: nothing would change")
        return found

    def suggested(self, architecture: Architecture, part: str, amount: Amount) -> bool:
        """Whether an amount is worth trying on a part: it gives a network, and no kernel with more
        taps that only ever see padding."""
        try:
            larger = self.apply(architecture, part, amount)
        except CannotGrow:
            return False
        return self.name != "kernel" or blind_taps(larger) <= blind_taps(architecture)


def blind_taps(architecture: Architecture) -> int:
    """How many rings of taps of the network's convolutions never see their map."""
    rings = 0
    for node in architecture.trace().nodes():
        if isinstance(node.op, Convolution):
            x = node.x[0]
            settings = zip(node.op.kernel(x), node.op.dilations(x), x.size, strict=True)
            rings += sum(max(0, int(k // 2) - (n - 1) // d) for k, d, n in settings)
    return rings


EDITS: Mapping[str, Edit] = {
    edit.name: edit
    for edit in (
        Edit(
            "widen",
            "more channels: of the part and of all that a shortcut ties to it, or of hidden layers",
            ("1.5x", "2x", "1.25x"), "=x+", lambda parts, part, a: widened(parts, part, a.whole),
        ),
        Edit(
            "deepen", "more blocks, copies of the last that keep its shape",
            ("+1",), "=x+", lambda parts, part, a: deepened(parts, part, a.whole),
        ),
        Edit(
            "kernel", "larger kernels of the spatial convolutions",
            ("+2",), "=+", lambda parts, part, a: conv_changed(parts, part, "kernel_size", a.whole),
        ),
        Edit(
            "dilation", "a smaller dilation, with a kernel of the same extent",
            ("1",), "=", lambda parts, part, a: conv_changed(parts, part, "dilation", a.whole),
        ),
        Edit(
            "expansion", "wider inner layers of the blocks: the ratio to their width",
            ("1.5x", "2x"), "=x+/", lambda parts, part, a: expanded(parts, part, a.of),
        ),
        Edit(
            "group-size", "more channels per group of the spatial convolutions, up to dense",
            ("2x", "dense"), "=x dense",
            lambda parts, part, a: conv_changed(
                parts, part, "group_size", None if a.how == "dense" else a.whole
            ),
        ),
        Edit(
            "squeeze-excitation", "squeeze-and-excitation: the ratio of its width to the block's",
            ("1/4",), "=x/", lambda parts, part, a: squeezed(parts, part, a.of),
        ),
    )
}  # fmt: skip
"""Every edit by its name, as the command line calls it."""


@dataclass(frozen=True)
class Step:
    """One edit of one part: ``widen stage2:1.5x``."""

    edit: Edit
    part: str
    amount: Amount

    def apply(self, architecture: Architecture) -> Architecture:
        return self.edit.apply(architecture, self.part, self.amount)

    def suggested(self, architecture: Architecture) -> bool:
        return self.edit.suggested(architecture, self.part, self.amount)

    def __str__(self) -> str:
        return f"{self.edit.name} {self.part}:{self.amount}"


def parse_step(name: str, text: str) -> Step:
    """``parse_step("widen", "stage2:1.5x")``; raises ``UserError``."""
    if name not in EDITS:
        raise UserError(f"no edit is named {name[:40]!r}; {suggestion(name, EDITS)}")
    edit = EDITS[name]
    part, colon, amount = text.rpartition(":")
    if not colon or not part:
        raise UserError(f"--{name} {text[:40]!r}: write PART:AMOUNT, such as {edit.example}")
    return Step(edit, part, edit.parse(amount))


def steps(architecture: Architecture) -> Iterator[Step]:
    """Every step worth trying: all edits of all parts that give a network."""
    return (step for step in _tried(architecture) if step.suggested(architecture))


def _tried(architecture: Architecture) -> Iterator[Step]:
    for part in Parts(architecture).names:
        for edit in EDITS.values():
            for amount in map(edit.parse, edit.tried):
                yield Step(edit, part, amount)


def random_step(architecture: Architecture, rng: random.Random) -> tuple[Step, Growth] | None:
    """A step drawn from those that ``plan`` allows, and its growth; None where there is none."""
    drawn = list(_tried(architecture))
    rng.shuffle(drawn)
    for step in drawn:
        try:
            if step.suggested(architecture):
                return step, plan(architecture, step.apply(architecture))
        except CannotGrow:
            continue
    return None


def planned(architecture: Architecture, wanted: Sequence[Step]) -> list[Growth]:
    """The growths from a network to what the steps make of it: one where that can be, else one
    for every step. Raises ``CannotGrow`` naming the step that changes what the network computes."""
    stations = [architecture]
    for step in wanted:
        stations.append(step.apply(stations[-1]))
    try:
        return [plan(stations[0], stations[-1])]
    except CannotGrow as error:
        if len(wanted) == 1:
            raise CannotGrow(f"{wanted[0]}: {error}") from None
    found = []
    for step, old, new in zip(wanted, stations, stations[1:], strict=False):
        try:
            found.append(plan(old, new))
        except CannotGrow as error:
            raise CannotGrow(f"{step}: {error}") from None
    return found
