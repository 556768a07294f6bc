"""The stages of a network that a search found, where there is one: rows of benchmark tables are
names of networks that nobody can build."""

from __future__ import annotations

from functools import lru_cache

from ..errors import ArchsearchError
from ..space import Point, SearchSpace
from .stages import StageRow, stage_rows


@lru_cache(maxsize=512)
def built_stages(space: SearchSpace, point: Point) -> tuple[StageRow, ...] | None:
    """The rows of its stage table; None where it cannot be built. Kept, as a report is written
    again and again while a search runs."""
    try:
        return tuple(stage_rows(space.build(point)))
    except (ArchsearchError, NotImplementedError):
        return None
