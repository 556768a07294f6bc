"""Larger networks from one that is there: wider, deeper, with larger kernels, and so on.

An edit changes the fields of one part's blocks; whether the result can compute what the network
does, ``plan`` finds out. One table of edits serves the command line, searches and the docs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..architecture import Architecture
from ..errors import UserError, suggestion
from ..legality import IllegalArchitecture
from ..operators.convolution import Convolution
from .amounts import amounts
from .changes import deepened, expanded, squeezed, widened
from .channels import CannotGrow
from .convolutions import conv_branched, conv_changed, conv_replaced
from .parts import Parts
from .plan import Growth, plan
from .variants import Variant


@dataclass(frozen=True)
class Edit:
    """One kind of change: what it does in words, amounts worth trying, and the change itself.

    ``read`` gives the amount that is written, or None for what is none; ``form`` is how it is
    called.
    """

    name: str
    summary: str
    tried: tuple[str, ...]
    read: Callable[[str], Any]
    change: Callable[[Parts, str, Any], Architecture]
    form: str = "AMOUNT"

    def parse(self, text: str) -> Any:
        """The amount that is written; raises ``UserError``."""
        try:
            amount = self.read(text)
        except UserError as error:
            raise UserError(f"--{self.name} {text[:40]!r}: {error}") from None
        if amount is None:
            raise UserError(f"--{self.name} {text[:40]!r}: write {self.example}")
        return amount

    @property
    def example(self) -> str:
        """How to write it, in words."""
        return " or ".join(f"stage1:{text}" for text in self.tried[:2])

    def apply(self, architecture: Architecture, part: str, amount: Any) -> Architecture:
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

    def worth_trying(self, architecture: Architecture, part: str, amount: Any) -> Architecture:
        """The larger network; also raises ``CannotGrow`` for a kernel with more taps that only ever
        see padding."""
        larger = self.apply(architecture, part, amount)
        if self.name == "kernel" and blind_taps(larger) > blind_taps(architecture):
            raise CannotGrow(f"{self.name} {part}:{amount}: what is new would only see padding")
        return larger


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
            ("1.5x", "2x", "1.25x"), amounts("=x+"),
            lambda parts, part, a: widened(parts, part, a.whole),
        ),
        Edit(
            "deepen", "more blocks, copies of the last that keep its shape",
            ("+1",), amounts("=x+"), lambda parts, part, a: deepened(parts, part, a.whole),
        ),
        Edit(
            "kernel", "larger kernels of the spatial convolutions",
            ("+2",), amounts("=+"),
            lambda parts, part, a: conv_changed(parts, part, "kernel_size", a.whole),
        ),
        Edit(
            "dilation", "a smaller dilation, with a kernel of the same extent",
            ("1",), amounts("="),
            lambda parts, part, a: conv_changed(parts, part, "dilation", a.whole),
        ),
        Edit(
            "expansion", "wider inner layers of the blocks: the ratio to their width",
            ("1.5x", "2x"), amounts("=x+/"), lambda parts, part, a: expanded(parts, part, a.of),
        ),
        Edit(
            "group-size", "more channels per group of the spatial convolutions, up to dense",
            ("2x", "dense"), amounts("=x dense"),
            lambda parts, part, a: conv_changed(
                parts, part, "group_size", None if a.how == "dense" else a.whole
            ),
        ),
        Edit(
            "conv",
            "a more general convolution, by its name, in the place of the spatial ones, with their"
            " settings but for those given",
            ("WeightedConvolution", "DCLS(taps=9, interpolation=bilinear)"), Variant.parse,
            conv_replaced, "NAME",
        ),
        Edit(
            "branch",
            "a branch of this kernel size and its batch norm beside the spatial convolutions, which"
            " are re-parameterised ones then",
            ("1",), amounts("="), lambda parts, part, a: conv_branched(parts, part, a.whole(0)),
            "SIZE",
        ),
        Edit(
            "squeeze-excitation", "squeeze-and-excitation: the ratio of its width to the block's",
            ("1/4",), amounts("=x/"), lambda parts, part, a: squeezed(parts, part, a.of),
        ),
    )
}  # fmt: skip
"""Every edit by its name, as the command line calls it."""


@dataclass(frozen=True)
class Step:
    """One edit of one part: ``widen stage2:1.5x``."""

    edit: Edit
    part: str
    amount: Any

    def apply(self, architecture: Architecture) -> Architecture:
        return self.edit.apply(architecture, self.part, self.amount)

    def worth_trying(self, architecture: Architecture) -> Architecture:
        return self.edit.worth_trying(architecture, self.part, self.amount)

    def __str__(self) -> str:
        return f"{self.edit.name} {self.part}:{self.amount}"


def parse_step(name: str, text: str) -> Step:
    """``parse_step("widen", "stage2:1.5x")``; raises ``UserError``."""
    if name not in EDITS:
        raise UserError(f"no edit is named {name[:40]!r}; {suggestion(name, EDITS)}")
    edit = EDITS[name]
    part, colon, amount = text.rpartition(":")
    if not colon or not part:
        raise UserError(f"--{name} {text[:40]!r}: write PART:{edit.form}, such as {edit.example}")
    return Step(edit, part, edit.parse(amount))


def steps(architecture: Architecture) -> Iterator[Step]:
    """Every step worth trying: all edits of all parts that give a network."""
    for step in _tried(architecture):
        with suppress(CannotGrow):
            step.worth_trying(architecture)
            yield step


def _tried(architecture: Architecture) -> Iterator[Step]:
    for part in Parts(architecture).names:
        for edit, tried in _amounts().items():
            for amount in tried:
                yield Step(EDITS[edit], part, amount)


@cache
def _amounts() -> dict[str, list[Any]]:
    """What is tried, by edit."""
    return {edit.name: [edit.parse(text) for text in edit.tried] for edit in EDITS.values()}


def random_step(architecture: Architecture, rng: random.Random) -> tuple[Step, Growth] | None:
    """A step drawn from those that ``plan`` allows, and its growth; None where there is none."""
    drawn = list(_tried(architecture))
    rng.shuffle(drawn)
    for step in drawn:
        with suppress(CannotGrow):
            return step, plan(architecture, step.worth_trying(architecture))
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
