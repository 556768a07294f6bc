"""Growth that is planned beforehand: networks up to a budget, in equal shares of the compute."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cost import cost
from ..errors import UserError
from ..serialization import key
from .growing import Here, Next
from .record import RECORD
from .successors import Successor, space_of

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..training.loop import Training


@dataclass(frozen=True)
class Planned:
    """These networks in so many epochs; the first is the one that there was, which is not trained
    on (``growing.Way``).

    Epochs are shared so that each network costs about as much (multiply-accumulates times epochs),
    but for one that each has: at equal compute that came out ahead of equal numbers of epochs
    (benchmarks/README.md).
    """

    networks: Sequence[Architecture]
    epochs: int

    def until(self, here: Here, done: int) -> int:
        return self.ends[here.number]

    def next(self, here: Here, done: int, training: Training) -> Next | None:
        from ..growth.plan import plan

        if done < self.ends[here.number] or here.number == len(self.networks) - 1:
            return None
        return Next(plan(here.network, self.networks[here.number + 1]))

    @property
    def ends(self) -> list[int]:
        """After how many epochs each network's share ends."""
        shares = [1 / cost(network).macs for network in self.networks[1:]]
        spare = self.epochs - len(shares)
        return [i + round(spare * sum(shares[:i]) / sum(shares)) for i in range(len(self.networks))]

    def generations(self, found: Sequence[Successor]) -> list[dict[str, Any]]:
        """What growth.json says of the growths before any is made."""
        return [
            {
                "key": key(own.growth.new),
                "parent": key(own.growth.old),
                "changes": own.transformations,
                "budgets": [str(budget) for budget in own.budgets],
                "found_by": own.found_by,
                "epochs": [first, last],
            }
            for own, first, last in zip(found, self.ends, self.ends[1:], strict=False)
        ]


def designed_in(path: Path, architecture: Architecture) -> str | None:
    """The space that the network of a weights file was designed in, where the design's folder still
    tells."""
    for folder in _designs(path):
        try:
            name = json.loads((folder / "design.json").read_text(encoding="utf-8"))["space"]
            space_of(architecture, str(name))
        except (UserError, OSError, ValueError, KeyError, TypeError):
            continue
        return str(name)
    return None


def _designs(path: Path) -> Iterator[Path]:
    """Where the design of a weights file's network may lie: beside it, or where its training took
    the network from."""
    yield path.parent
    try:
        words = json.loads((path.parent / RECORD).read_text(encoding="utf-8"))["command"]
        asked = str(words[2])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return
    yield from (Path(asked), Path(asked).parent, path.parent.parent / asked)
