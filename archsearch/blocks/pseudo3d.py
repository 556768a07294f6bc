"""P3D's bottleneck: 1x1x1, pseudo-3-D convolution, 1x1x1 around a shortcut (Qiu et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..block import StagedBlock, add_shortcut, conv_norm_act, residual_norm
from ..convolutions.pseudo3d import Pseudo3d
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class Pseudo3dBottleneck(StagedBlock):
    """ResNet's first bottleneck, with the stride on the entering 1x1x1; the inner width is
    ``expansion`` times the output width.

    A ``conv`` that is one operator is followed by norm and activation (the 2-D convolutions of
    P3D's last stage); one of several, as ``Pseudo3d``, has its own. ``pool`` follows the sum: P3D
    halves the time there at the end of a stage.
    """

    expansion: Ratio = Fraction(1, 4)
    conv: Spatial = Pseudo3d()
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()
    pool: Operator | None = None

    def expand(self, g: Tracer, x: Value) -> Value:
        entry = Convolution(scale(self.width, self.expansion), stride=self.stride, padding=0)
        y = conv_norm_act(g, "conv1", entry, x, self.norm, self.activation)
        conv = self.conv.with_(out_channels=entry.out_channels)
        own = (self.norm, self.activation) if isinstance(conv, Operator) else (None, None)
        y = conv_norm_act(g, "conv2", conv, y, *own)
        y = conv_norm_act(g, "conv3", Convolution(self.width), y, residual_norm(self.norm, True))
        y = g("act", self.activation, add_shortcut(g, self, x, y, self.norm))
        return y if self.pool is None else g("pool", self.pool, y)
