"""Rows of ConvNeXt and its second version."""

from __future__ import annotations

from fractions import Fraction

from drawn import norms, spatial
from hypothesis import strategies as st

from rows import CHANNELS, built, widths

fields = {"expansion": st.sampled_from([2, 4, Fraction(3, 2)]), "conv": spatial, "norm": norms}

BLOCKS = {
    "ConvNeXtBlock": built(
        "ConvNeXtBlock",
        st.just(CHANNELS),
        **fields,
        response_norm=st.booleans(),
        layer_scale=st.sampled_from([None, 1e-6]),
    ),
    "ConvNeXtV2Block": built("ConvNeXtV2Block", st.just(CHANNELS), **fields),
    "PatchStem": built("PatchStem", widths, st.sampled_from([2, 4]), norms),
    "NormDownsample": built("NormDownsample", widths, norms),
}
WHOLE_MAP = {"ConvNeXtV2Block"}

PUBLISHED = {
    "convnext_tiny": (28_589_128, 4_455_531_264),
    "convnext_small": (50_223_688, 8_683_712_256),
    "convnext_base": (88_591_464, 15_354_729_472),
    "convnextv2_atto": (3_708_400, 547_332_480),
    "convnextv2_tiny": (28_635_496, 4_455_531_264),
}
GROUND_TRUTH_MODELS = {"ConvNeXt-T": "convnext_tiny", "ConvNeXt-S": "convnext_small"}
