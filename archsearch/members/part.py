"""One part of a space as members are made of it: its table's rows, and depths, as numbers.

An entry is a row of the part's table with a depth; entries are numbered row by row.
"""

from __future__ import annotations

import json
from functools import cached_property
from math import inf

import numpy as np

from ..architecture import Architecture
from ..block import Block
from ..points import texts_of
from ..serialization import to_json
from ..space import Pick, StageSpace, fill
from ..tables import BoolArray, IntArray, PartTable


class Part:
    """The entries of one part, in a fixed order; ``state`` (rows,) is the place of a row's width
    among the widths the next part can stand behind, ``takes`` tells which depths a row can have,
    shape (rows, depths), ``legal`` what it may stand behind, (widths before, rows)."""

    def __init__(self, name: str, table: PartTable, kind: str, peak: float = inf) -> None:
        self.name, self.table, self.kind = name, table, kind
        self.depths = np.array(sorted(table.part.depth), dtype=np.int64)
        self.state: IntArray = np.searchsorted(np.unique(table.width), table.width).astype(np.int64)
        deepens = table.deepens
        if table.repeated_peak is not None:
            deepens = deepens & (table.repeated_peak <= peak)
        self.takes: BoolArray = (self.depths <= 1)[None, :] | deepens[:, None]
        self.legal: BoolArray = table.legal & self.takes.any(axis=1)
        self.states = int(self.state.max()) + 1
        self._picks: dict[int, Pick] = {}
        self._entries: dict[int, int] = {}
        self._texts: dict[int, str] = {}
        self._classes: dict[str, int] = {}

    def keep(self, which: BoolArray) -> None:
        """Leave out all entries but these, by row and place of the depth."""
        self.takes &= which
        self.legal &= self.takes.any(axis=1)

    @property
    def rows(self) -> int:
        return len(self.state)

    def entry(self, row: int, depth: int) -> int:
        """The entry of a row and a place among the depths."""
        return row * len(self.depths) + depth

    def pick(self, entry: int) -> Pick:
        """An entry as a pick: always the same object, so that it is found again by its identity."""
        pick = self._picks.get(entry)
        if pick is None:
            row, depth = divmod(entry, len(self.depths))
            pick = Pick(tuple(self.table.picks[row].items()), int(self.depths[depth]))
            self._picks[entry] = pick
            self._entries[id(pick)] = entry
        return pick

    def find(self, pick: Pick) -> int | None:
        """The entry of a pick; None where no network has it."""
        entry = self._entries.get(id(pick))
        if entry is not None:
            return entry
        row = self._rows.get(frozenset(pick.values))
        depth = self._depths.get(pick.depth)
        if row is None or depth is None or not self.takes[row, depth]:
            return None
        return self.entry(row, depth)

    def texts(self, entry: int) -> dict[str, str]:
        """The choices by their full names; those with one value only, as they say nothing, too."""
        return {f"{self.name}.{path}": text for path, text in texts_of(self.pick(entry)).items()}

    def text(self, entry: int) -> str:
        """What the canonical JSON of a network has for this part."""
        text = self._texts.get(entry)
        if text is None:
            text = self._texts[entry] = _json_of(self.kind, self.table.part, self.pick(entry))
        return text

    def network(self, entry: int) -> int:
        """A number that is equal for entries that build the same."""
        return self._classes.setdefault(self.text(entry), len(self._classes))

    @cached_property
    def _rows(self) -> dict[frozenset[tuple[str, object]], int]:
        return {frozenset(values.items()): row for row, values in enumerate(self.table.picks)}

    @cached_property
    def _depths(self) -> dict[int, int]:
        return {depth: place for place, depth in enumerate(self.depths.tolist())}


def _json_of(kind: str, part: StageSpace, pick: Pick) -> str:
    """Cut out of the JSON of a network of this part alone: ``serialization`` decides the format."""
    stage = part.build(pick.mapping, pick.depth)
    block: Block = fill(part.block, pick.mapping)
    whole = json.loads(to_json(Architecture(None, (stage,), block)))
    own = whole["stages"][0] if kind == "stages" else whole["head"]
    return json.dumps(own, separators=(",", ":"))  # its keys stay sorted
