"""Rows of FFNet."""

from __future__ import annotations

from typing import Any

from drawn import activations, norms
from hypothesis import strategies as st

from archsearch.blocks.ffnet import FFNetBlock
from archsearch.convolutions.ffnified_attention import FFNifiedAttention
from archsearch.convolutions.reparameterised import Reparameterised
from archsearch.graph import Tracer, Value
from archsearch.operators.convolution import depthwise
from archsearch.operators.normalization import BatchNorm
from archsearch.spatial import CompositeConvolution, Spatial
from rows import CHANNELS, alone, built

kernels = st.sampled_from([depthwise(3), depthwise(5), Reparameterised(kernel_size=7)])
attention = st.builds(FFNifiedAttention, conv=kernels, activation=activations)

CONVOLUTIONS = {"FFNifiedAttention": alone(FFNifiedAttention, conv=kernels, activation=activations)}
BLOCKS = {
    "FFNetBlock": built(
        "FFNetBlock",
        st.just(CHANNELS),
        expansion=st.sampled_from([2, 3]),
        conv=attention,
        mlp_conv=kernels,
        norm=st.none() | norms,
        activation=activations,
        layer_scale=st.sampled_from([None, 1e-6]),
    ),
    "FFNetDownsample": built(
        "FFNetDownsample", st.sampled_from([16, 32, 48]), kernels | st.just(Reparameterised())
    ),
}

PUBLISHED = {
    "ffnet_1": (13_775_656, 3_000_681_472),
    "ffnet_2": (27_208_408, 6_060_932_608),
    "ffnet_3": (48_817_896, 10_235_590_656),
    "ffnet_3_384": (48_817_896, 23_029_118_976),
    "ffnet_4_384": (79_868_968, 43_422_097_408),
}
GROUND_TRUTH_MODELS: dict[str, Any] = {
    "FFNet-1-256-train": "ffnet_1",
    "FFNet-1-256-fused": ("ffnet_1", "deploy"),
    "FFNet-2-256-train": "ffnet_2",
    "FFNet-2-256-fused": ("ffnet_2", "deploy"),
}


class Nothing(CompositeConvolution):
    """Leaves a map as it is: what is left of FFNet's block is its channel mixer."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return x


def in_form(recipe: Any, config: dict[str, Any]) -> Any:
    return (recipe, "deploy") if config["fused"] else recipe


def token_mixer(config: dict[str, Any], x: tuple[int, ...]) -> Any:
    large: Spatial = Reparameterised(kernel_size=7)
    return in_form(FFNifiedAttention(conv=large if config["k"] == 7 else depthwise(3)), config)


def channel_mixer(config: dict[str, Any], x: tuple[int, ...]) -> Any:
    size = config["k"]
    mixer = (Reparameterised(kernel_size=7), None) if size == 7 else (depthwise(size), BatchNorm())
    return in_form(FFNetBlock(config["c"], config["r"], Nothing(), *mixer), config)


GROUND_TRUTH_CHECKS = {"FFNifiedAttention": token_mixer, "FF.ChannelMixer": channel_mixer}
