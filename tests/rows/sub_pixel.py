"""Rows of resampling layers, sub-pixel convolution and super-resolution."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from archsearch.convolutions.sub_pixel import SubPixel
from archsearch.graph import Tracer, Value
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import AvgPool, GlobalPool
from archsearch.operators.resampling import PixelShuffle, Resize, ResizeLike, Upsample
from rows import Alone, alone, built


@dataclass(frozen=True)
class Spread(Alone):
    """An operator where a smaller map, made of the input, meets the input."""

    whole: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        pool = GlobalPool() if self.whole else AvgPool()
        return g("op", self.op, g("branch", pool, x), x)


OPERATORS = {
    "PixelShuffle": alone(PixelShuffle, scale=st.sampled_from([2, 4])),
    "Upsample": alone(Upsample, scale=st.sampled_from([2, 4])),
    "Resize": alone(Resize, size=st.sampled_from([24, 40])),
    "ResizeLike": st.sampled_from([Spread(ResizeLike()), Spread(ResizeLike(), whole=True)]),
}
CONVOLUTIONS = {
    "SubPixel": alone(
        SubPixel,
        out_channels=st.sampled_from([None, 1, 3]),
        scale=st.sampled_from([2, 3]),
        kernel_size=st.sampled_from([1, 3, 5]),
        bias=st.booleans(),
    )
}
BLOCKS = {
    "SuperResolutionHead": built(
        "SuperResolutionHead",
        st.sampled_from([1, 3]),
        st.builds(SubPixel, scale=st.sampled_from([2, 3])) | st.just(Convolution(kernel_size=5)),
    )
}
DIMENSIONS = dict.fromkeys(("PixelShuffle", "SubPixel", "SuperResolutionHead"), (2,))
PUBLISHED = {
    "espcn_x2": (21_284, 211_840_000),
    "espcn_x3": (22_729, 226_240_000),
    "espcn_x4": (24_752, 246_400_000),
}
GROUND_TRUTH_MODELS = {"ESPCN-x2": "espcn_x2", "ESPCN-x3": "espcn_x3"}
GROUND_TRUTH_CHECKS = {
    "SubPixel": lambda config, x: SubPixel(config["co"], scale=config["r"], bias=True)
}
