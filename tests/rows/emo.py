"""Rows of EMO and EMOv2: attention in windows, and the block around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from drawn import spatial
from hypothesis import strategies as st

from archsearch.blocks.inverted_residual_mobile import InvertedResidualMobile
from archsearch.graph import Tracer, Value
from archsearch.operators.activation import GELU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import LayerNorm
from archsearch.operators.window_attention import CropTo, PadToWindows, WindowAttention
from rows import Alone, alone, built, staged, widths

attentions = st.builds(
    WindowAttention,
    head_width=st.sampled_from([4, 8]),
    window_size=st.sampled_from([2, 3, 4]),
    windows=st.sampled_from(["close", "remote", "both"]),
)


@dataclass(frozen=True)
class InWindows(Alone):
    """Attention over the input, padded to whole windows."""

    op: WindowAttention

    def expand(self, g: Tracer, x: Value) -> Value:
        x = g("pad", PadToWindows(self.op.window_size), x)
        return g("op", self.op, x, g("query_key", Convolution(16), x))


@dataclass(frozen=True)
class Cropping(Alone):
    """The input padded, and cropped again."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, g("pad", PadToWindows(4), x), x)


def i2rmb(config: Mapping[str, Any], x: tuple[int, ...]) -> InvertedResidualMobile:
    """The block of a check: kind 0 widens by convolution, kind 3 by both kinds of windows."""
    conv = depthwise(config["k"])
    if config["eop"] == 0:
        ratio = Fraction(config["ratio"], 2)  # a strided block widens twice as much as it says
        return InvertedResidualMobile(config["co"], config["stride"], True, ratio, conv)
    attention = WindowAttention(config["dim_head"], config["ws"])
    return InvertedResidualMobile(
        config["ci"],
        expansion=config["ratio"],
        conv=conv,
        attention=attention,
        norm=LayerNorm(),
        activation=GELU(),
    )


OPERATORS = {
    "WindowAttention": st.builds(InWindows, attentions),
    "PadToWindows": alone(PadToWindows, window_size=st.sampled_from([1, 3, 7])),
    "CropTo": st.just(Cropping(CropTo())),
}
BLOCKS = {
    "InvertedResidualMobile": staged(
        "InvertedResidualMobile",
        expansion=st.sampled_from([1, 2, Fraction(3, 2)]),
        conv=spatial,
        attention=st.none() | attentions,
        layer_scale=st.sampled_from([1e-6, 1.0]),
    ),
    "MobileStem": built("MobileStem", widths),
}
WHOLE_MAP = {"InvertedResidualMobile"}

PUBLISHED = {
    "emo_1m": (1_454_316, 244_599_056),
    "emo_5m": (5_110_312, 933_251_136),
    "emov2_1m": (1_460_844, 279_936_484),
    "emov2_2m": (2_384_312, 480_811_600),
    "emov2_5m": (5_126_440, 1_025_113_984),
    "emov2_5m_512": (5_126_440, 5_573_207_296),
    "emov2_20m": (20_195_208, 3_997_004_032),
    "emov2_50m": (49_815_560, 8_767_262_720),
}
GROUND_TRUTH_MODELS = {
    "EMO1-1M": "emo_1m",
    "EMO1-5M": "emo_5m",
    "EMOv2-1M": "emov2_1m",
    "EMOv2-5M": "emov2_5m",
}
GROUND_TRUTH_CHECKS = {"i2RMB(conv,stride2)": i2rmb, "i2RMB(hybrid)": i2rmb}
