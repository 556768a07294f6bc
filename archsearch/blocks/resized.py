"""A stem that looks at pictures at a resolution of its own (once-for-all, Cai et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block
from ..graph import Tracer, Value
from ..legality import check, per_dimension
from ..operators.resampling import Resize
from ..poly import equal


@dataclass(frozen=True)
class Resized(Block):
    """The input brought to ``size`` (all its dimensions, or each) by linear interpolation, then
    ``stem``, whose width this one tells. An input of that size is taken as it is."""

    width: int
    size: int | tuple[int, ...]
    stem: Block

    def expand(self, g: Tracer, x: Value) -> Value:
        size = per_dimension(self.size, x.shape.dimensions, "Resized: size")
        if size != x.shape.size:
            x = g("resize", Resize(self.size), x)
        y = g("stem", self.stem, x)
        said = "Resized: its width of {} is not that of its stem, which gives {}"
        check(equal(self.width, y.shape.channels), said, self.width, y.shape.channels)
        return y
