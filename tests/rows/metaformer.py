"""Row of MetaFormer's block."""

from __future__ import annotations

from fractions import Fraction

from drawn import activations, norms, spatial
from hypothesis import strategies as st

from archsearch.operators.convolution import depthwise
from rows import CHANNELS, built

BLOCKS = {
    "MetaFormerBlock": built(
        "MetaFormerBlock",
        st.just(CHANNELS),
        expansion=st.sampled_from([2, 4, Fraction(3, 2)]),
        conv=spatial,
        mlp_conv=st.sampled_from([None, depthwise(3), depthwise(5)]),
        norm=norms,
        activation=activations,
        layer_scale=st.sampled_from([None, 1e-6]),
    ),
}
