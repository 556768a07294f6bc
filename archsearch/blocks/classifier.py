"""The classification heads: pooled features to class scores."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import GELU, ReLU
from ..operators.linear import Flatten, Linear
from ..operators.normalization import BatchNorm, LayerNorm
from ..operators.pooling import GlobalPool
from ..poly import Ratio, scale


@dataclass(frozen=True)
class Classifier(Block):
    """Global pooling, a norm where given, hidden linear layers, the layer of ``classes`` scores.

    With ``norm_first`` the norm stands before the pooling (VAN, FFNet). ``pre_norm`` is batch norm
    and activation before the pooling (DenseNet); without ``pool`` the whole map is flattened (VGG).
    """

    classes: int = 1000
    hidden: tuple[int, ...] = ()
    activation: Operator = ReLU()
    norm: Operator | None = None
    pre_norm: bool = False
    pool: bool = True
    norm_first: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        if self.pre_norm:
            x = g("pre_norm_act", self.activation, g("pre_norm", BatchNorm(), x))
        if self.norm is not None and self.norm_first:
            x = g("norm", self.norm, x)
        if self.pool:
            x = g("pool", GlobalPool(), x)
        if self.norm is not None and not self.norm_first:
            x = g("norm", self.norm, x)
        x = g("flatten", Flatten(), x)
        for i, width in enumerate(self.hidden, 1):
            x = g(f"hidden{i}_act", self.activation, g(f"hidden{i}", Linear(width), x))
        return g("classifier", Linear(self.classes), x)


@dataclass(frozen=True)
class MLPClassifier(Block):
    """Global pooling, a hidden linear layer of ``expansion`` times the width, activation, norm, the
    layer of ``classes`` scores (MetaFormer baselines, InceptionNeXt)."""

    classes: int = 1000
    expansion: Ratio = 3
    activation: Operator = GELU()
    norm: Operator = LayerNorm()

    def expand(self, g: Tracer, x: Value) -> Value:
        hidden = scale(x.shape.channels, self.expansion)
        x = g("flatten", Flatten(), g("pool", GlobalPool(), x))
        x = g("hidden_act", self.activation, g("hidden", Linear(hidden), x))
        return g("classifier", Linear(self.classes), g("norm", self.norm, x))
