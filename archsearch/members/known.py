"""What a sum has scores for, as a sum itself: nothing for every pick it knows, NaN for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..objectives import Terms
from ..space import Pick
from ..tables import FloatArray

ANY = 0.5
"""A limit that every such sum, which is 0, keeps."""


@dataclass(frozen=True, eq=False)
class Known:
    """Keeps picks out of a space that ``total`` has no score for."""

    total: Terms
    intercept: float = 0.0
    has_pairs: bool = False

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        return np.where(np.isfinite(self.total.stage_scores(part, picks)), 0.0, np.nan)

    def pair_scores(self, part: int, before: Sequence[Pick], picks: Sequence[Pick]) -> FloatArray:
        return np.zeros((len(picks), len(before)))
