"""Rows of re-parameterised convolutions and UniRepLKNet."""

from __future__ import annotations

from typing import Any

from drawn import activations, norms, spatial
from hypothesis import strategies as st

from archsearch.blocks.unireplknet import UniRepLKNetBlock
from archsearch.convolutions.reparameterised import DilatedReparam, Reparameterised
from archsearch.operators.convolution import depthwise
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.spatial import Spatial
from rows import CHANNELS, alone, built, strides, widths

dilated = st.builds(DilatedReparam, kernel_size=st.sampled_from([5, 7, 9, 11, 13, 15, 17]))

CONVOLUTIONS = {
    "Reparameterised": alone(
        Reparameterised,
        out_channels=st.sampled_from([None, 32]),
        stride=strides,
        kernel_size=st.sampled_from([5, 7]),
        branches=st.sampled_from([(), (3,), (1, 5)]),
        group_size=st.sampled_from([None, 1, 4]),
    )
    | alone(
        Reparameterised,
        kernel_size=st.just(3),
        branches=st.just((1,)),
        identity=st.just(True),
        identity_norm=st.booleans(),
        group_size=st.sampled_from([None, 1]),
    ),
    "DilatedReparam": alone(
        DilatedReparam,
        out_channels=st.sampled_from([None, 32]),
        stride=strides,
        kernel_size=st.sampled_from([5, 7, 9, 11, 13, 15, 17]),
    ),
}
BLOCKS = {
    "UniRepLKNetBlock": built(
        "UniRepLKNetBlock",
        st.just(CHANNELS),
        expansion=st.sampled_from([2, 4]),
        conv=spatial | dilated,
        squeeze_excitation=st.sampled_from([None, SqueezeExcitation()]),
        norm=norms,
        activation=activations,
        layer_scale=st.sampled_from([None, 1e-6]),
    ),
    "ConvStem": built(
        "ConvStem", widths, st.sampled_from([None, 12]), norms, activations, st.booleans()
    ),
}
WHOLE_MAP = {"UniRepLKNetBlock"}

PUBLISHED = {
    "unireplknet_a": (4_649_060, 674_684_480),
    "unireplknet_f": (6_489_328, 946_947_840),
    "unireplknet_p": (11_080_520, 1_628_801_024),
    "unireplknet_n": (18_818_880, 2_848_853_760),
    "unireplknet_t": (31_693_420, 5_003_516_800),
    "unireplknet_s": (56_456_704, 9_219_412_992),
    "unireplknet_b": (99_089_416, 16_224_446_464),
    "unireplknet_l": (220_076_056, 36_132_357_120),
    "unireplknet_xl": (388_690_984, 63_904_059_392),
}
GROUND_TRUTH_MODELS: dict[str, Any] = {
    **{f"UniRepLKNet-{name}-train": f"unireplknet_{name.lower()}" for name in "APNT"},
    **{f"UniRepLKNet-{name}-deploy": (f"unireplknet_{name.lower()}", "deploy") for name in "APNT"},
}


def in_form(recipe: Any, deployed: int) -> Any:
    return (recipe, "deploy") if deployed else recipe


def dilated_reparam(config: dict[str, Any], x: tuple[int, ...]) -> Any:
    return in_form(DilatedReparam(kernel_size=config["K"]), config["deploy"])


def block(config: dict[str, Any], x: tuple[int, ...]) -> Any:
    size = config["K"]
    conv: Spatial = DilatedReparam(kernel_size=size) if size >= 7 else depthwise(size)
    return in_form(UniRepLKNetBlock(config["c"], conv=conv), config["deploy"])


GROUND_TRUTH_CHECKS = {"DilatedReparamBlock": dilated_reparam, "UniRepLKNetBlock": block}
