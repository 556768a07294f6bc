"""Blocks whose layers are given one by one: chains with a shortcut, a gate or a concatenation."""

from __future__ import annotations

from drawn import activations, norms
from hypothesis import strategies as st

from archsearch.blocks.layers import Layer, Layers
from archsearch.operators.activation import Sigmoid
from archsearch.operators.convolution import Convolution
from archsearch.operators.merge import Add, Concat, Multiply, Split
from archsearch.operators.pooling import GlobalPool, MaxPool


@st.composite
def _layers(draw: st.DrawFn) -> Layers:
    """A chain of layers from the input, and how it ends."""
    found: list[Layer] = []
    last = "x"
    convolutions = st.builds(
        Convolution,
        st.sampled_from([None, 8, 24]),
        kernel_size=st.sampled_from([1, 3]),
        bias=st.booleans(),
    )
    for op in draw(st.lists(convolutions | norms | activations, min_size=1, max_size=4)):
        found.append(Layer(f"layer{len(found)}", op, (last,)))
        last = found[-1].name
    ending = draw(st.sampled_from(["", "shortcut", "gate", "concat", "split", "pool"]))
    if ending == "shortcut":
        found += [Layer("branch", Convolution(8)), Layer("main", Convolution(8), (last,))]
        found.append(Layer("add", Add(), ("main", "branch")))
    elif ending == "gate":
        found += [Layer("pool", GlobalPool(), (last,)), Layer("gate", Sigmoid(), ("pool",))]
        found.append(Layer("scale", Multiply(), (last, "gate")))
    elif ending == "concat":
        found.append(Layer("concat", Concat(), ("x", last)))
    elif ending == "split":
        found += [Layer("one", Split(0, 3), (last,)), Layer("two", Split(4, 7), (last,))]
        found.append(Layer("add", Add(), ("one", "two")))
    elif ending == "pool":
        found.append(Layer("pool", MaxPool(), (last,)))
    return Layers(tuple(found), draw(st.sampled_from(["Layers", "Mine"])))


BLOCKS = {"Layers": _layers()}
