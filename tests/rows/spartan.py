"""Rows of SpaRTAN: its layers, its two mixers, its block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drawn import norms
from hypothesis import strategies as st

from archsearch.blocks.spartan import CMixer, SMixer
from archsearch.graph import Tracer, Value
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.merge import Split
from archsearch.operators.spartan import ComplexScale, MeanContrast, StrongestChannel
from rows import CHANNELS, Alone, Meeting, alone, built


@dataclass(frozen=True)
class Guided(Alone):
    """An operator where the input meets half of its own channels."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x, g("guide", Split(0, CHANNELS // 2), x))


def smixer(config: Mapping[str, Any], x: tuple[int, ...]) -> SMixer:
    return SMixer(depthwise(3) if config["dw"] else Convolution(kernel_size=3))


def cmixer(config: Mapping[str, Any], x: tuple[int, ...]) -> CMixer:
    group_size = config["r"] if config["dw"] else 1
    return CMixer(config["r"], Convolution(kernel_size=3, group_size=group_size))


grouped = st.builds(
    Convolution,
    kernel_size=st.sampled_from([3, 5]),
    group_size=st.sampled_from([None, 1, 2]),
)

OPERATORS = {
    "MeanContrast": alone(MeanContrast, initial_value=st.sampled_from([1e-5, 1.0])),
    "StrongestChannel": st.sampled_from([Meeting(StrongestChannel()), Guided(StrongestChannel())]),
    "ComplexScale": alone(ComplexScale),
}
RECIPES = {
    "SMixer": st.builds(SMixer, grouped),
    "CMixer": st.builds(CMixer, st.sampled_from([1, 2, 4]), grouped),
}
BLOCKS = {
    "SpaRTANBlock": built(
        "SpaRTANBlock", st.just(CHANNELS), st.sampled_from([2, 4]), grouped, grouped, norms
    ),
}
WHOLE_MAP = {"MeanContrast", *RECIPES, *BLOCKS}
DEAD = "of 16 channels 2 are left in the squeeze, whose ReLU may let none through"
NO_GRADIENT = {"SMixer": DEAD, "SpaRTANBlock": DEAD}

PUBLISHED = {"spartan": (3_820_296, 799_589_888)}
GROUND_TRUTH_MODELS = {"SpaRTAN-repo-default": "spartan"}
GROUND_TRUTH_CHECKS = {"SpaRTAN.SMixer": smixer, "SpaRTAN.CMixer": cmixer}
