"""The classification head: pooled features to class scores."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.linear import Flatten, Linear
from ..operators.normalization import BatchNorm
from ..operators.pooling import GlobalPool


@dataclass(frozen=True)
class Classifier(Block):
    """Global pooling, a norm where given, hidden linear layers, the layer of ``classes`` scores.

    ``pre_norm`` is batch norm and activation before the pooling (DenseNet); without ``pool`` the
    whole map is flattened (VGG).
    """

    classes: int = 1000
    hidden: tuple[int, ...] = ()
    activation: Operator = ReLU()
    norm: Operator | None = None
    pre_norm: bool = False
    pool: bool = True

    def expand(self, g: Tracer, x: Value) -> Value:
        if self.pre_norm:
            x = g("pre_norm_act", self.activation, g("pre_norm", BatchNorm(), x))
        if self.pool:
            x = g("pool", GlobalPool(), x)
        if self.norm is not None:
            x = g("norm", self.norm, x)
        x = g("flatten", Flatten(), x)
        for i, width in enumerate(self.hidden, 1):
            x = g(f"hidden{i}_act", self.activation, g(f"hidden{i}", Linear(width), x))
        return g("classifier", Linear(self.classes), x)
