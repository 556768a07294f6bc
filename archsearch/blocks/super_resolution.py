"""The super-resolution head: from features to a larger image (Shi et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block
from ..convolutions.sub_pixel import SubPixel
from ..graph import Tracer, Value
from ..spatial import Spatial


@dataclass(frozen=True)
class SuperResolutionHead(Block):
    """``conv`` to an image of ``channels``; ``SubPixel`` makes it larger by its ``scale``."""

    channels: int = 1
    conv: Spatial = SubPixel()

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("conv", self.conv.with_(out_channels=self.channels, bias=True), x)
