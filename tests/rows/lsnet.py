"""Rows of LSNet's blocks and its attention, and what LSNet must cost."""

from __future__ import annotations

from dataclasses import dataclass

from drawn import spatial, squeezes
from hypothesis import strategies as st

from archsearch.blocks.lsnet import LSNetBlock
from archsearch.convolutions.large_small import LSConvolution
from archsearch.convolutions.offset_attention import OffsetAttention
from archsearch.graph import Tracer, Value
from archsearch.operators.attention import BiasedAttention
from archsearch.operators.convolution import Convolution
from rows import CHANNELS, Alone, alone, built, widths


@dataclass(frozen=True)
class Attending(Alone):
    """Attention to the input, with queries and keys computed from it."""

    def expand(self, g: Tracer, x: Value) -> Value:
        query = g("query", Convolution(8), x)
        return g("op", self.op, query, g("key", Convolution(8), x), x)


OPERATORS = {
    "BiasedAttention": st.builds(
        Attending, st.builds(BiasedAttention, heads=st.sampled_from([1, 2, 4]))
    ),
}
CONVOLUTIONS = {
    "OffsetAttention": alone(
        OffsetAttention,
        heads=st.sampled_from([1, 4]),
        key_width=st.sampled_from([4, 16]),
        query_kernel_size=st.sampled_from([1, 3]),
    ),
}
expansions = st.sampled_from([1, 2])
BLOCKS = {
    "LSNetBlock": built(
        "LSNetBlock",
        st.just(CHANNELS),
        conv=spatial | st.just(LSNetBlock.conv),
        squeeze_excitation=squeezes,
        expansion=expansions,
    ),
    "LSNetPair": built(
        "LSNetPair",
        st.just(CHANNELS),
        conv=st.sampled_from([LSConvolution(), OffsetAttention()]),
        expansion=expansions,
    ),
    "LSNetStem": built("LSNetStem", widths),
    "LSNetDownsample": built("LSNetDownsample", widths),
}
WHOLE_MAP = {"OffsetAttention", "LSNetPair"}

PUBLISHED = {
    "lsnet_t": (11_409_832, 315_147_392),
    "lsnet_s": (16_146_304, 537_069_632),
    "lsnet_b": (23_313_608, 1_240_906_752),
}
GROUND_TRUTH_MODELS = {
    "LSNet-T-train": "lsnet_t",
    "LSNet-T-fused": ("lsnet_t", "deploy"),
}
