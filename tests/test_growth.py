"""Growth computes the same or is refused: every operator, convolution and block, and families.

Weights are drawn so that nothing hides (no zero scales), in double precision; what is compared are
the outputs of the network as it was and as it has grown, in evaluation and, where the plan claims
it, with batch statistics.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import rows
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import randomise
from rows import CHANNELS, Holding, drawn_recipe, drawn_shape, widened
from torch import nn

from archsearch.architecture import Architecture, Run, Stage
from archsearch.block import Block
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock
from archsearch.blocks.dense import DenseLayer, DenseTransition
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.reparameterised import Reparameterised
from archsearch.convolutions.weighted import WeightedConvolution
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.graph import trace
from archsearch.growth.carry import grown_moments, grown_state
from archsearch.growth.channels import CannotGrow
from archsearch.growth.plan import Growth, plan
from archsearch.growth.settle import settle, settling
from archsearch.growth.shrink import shrunk_state, unused_channels
from archsearch.nets.build import build
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.activation import GELU, ReLU6, SiLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import GroupNorm, LayerNorm
from archsearch.recipes.squeeze_excitation import SqueezeExcitation

ALL = rows.collect()
FEW = settings(
    max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
EXACT = 1e-12
MOST_MACS = 20_000_000


# -- measuring ---------------------------------------------------------------------------------
def trained(architecture: Architecture, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = randomise(build(architecture).double(), seed)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    return net


def difference(growth: Growth, training: bool = False, seed: int = 0) -> float:
    """How far the grown network is from the old one, relative to the largest output."""
    old, new = trained(growth.old), build(growth.new).double()
    new.load_state_dict(grown_state(growth, old.state_dict(), seed))
    x = torch.randn(3, *growth.old.input, dtype=torch.double)
    with torch.no_grad():
        expected, found = old.train(training)(x), new.train(training)(x)
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3))


def assert_same(old: Architecture, new: Architecture) -> Growth:
    growth = plan(old, new)
    assert difference(growth) < EXACT
    if growth.in_training:
        assert difference(growth, training=True) < EXACT
    return growth


# -- every operator, convolution and block -------------------------------------------------------
def around(recipe: Any, x: Shape, width: int = CHANNELS) -> Architecture:
    """A network of a stem that gives ``width`` channels, the recipe, and a classifier."""
    block = recipe if isinstance(recipe, Block) else Holding(recipe)
    stem = ConvNormAct(width, conv=Convolution())
    if trace(recipe, Shape(width, x.size)).output.shape.dimensions == 0:
        return Architecture(None, (Stage.of(stem),), block, (3, *x.size))
    return Architecture(stem, (Stage.of(block),), Classifier(4), (3, *x.size))


STEPS: dict[str, Callable[[int], int]] = {
    "kernel_size": lambda size: size + 2,
    "groups": lambda groups: max(1, groups // 2),
    "group_size": lambda size: 2 * size,
    "dilation": lambda dilation: max(1, dilation - 1),
    "expansion": lambda ratio: 2 * ratio,
}


def rearranged(recipe: Any, data: st.DataObject) -> Any:
    """A recipe, or the convolution in it, with one of its numbers changed."""
    inner = next((n for n in ("op", "conv", "recipe") if hasattr(recipe, n)), None)
    own = recipe if inner is None or hasattr(recipe, "expansion") else getattr(recipe, inner)
    names = [n for n in STEPS if type(getattr(own, n, None)) is int]
    if not names:
        return recipe
    name = data.draw(st.sampled_from(names))
    changed = replace(own, **{name: STEPS[name](getattr(own, name))})
    return changed if own is recipe else replace(recipe, **{str(inner): changed})


@pytest.mark.parametrize("name", ALL.all)
@FEW
@given(data=st.data())
def test_what_is_not_refused_computes_the_same(name: str, data: st.DataObject) -> None:
    """A wider stem, a wider recipe, other kernels and groups, one more of the recipe behind it."""
    x = drawn_shape(data, name)
    recipe, _ = drawn_recipe(data, name, x)
    width = data.draw(st.sampled_from([CHANNELS, 3 * CHANNELS // 2, 2 * CHANNELS]))
    larger = widened(recipe, data.draw(st.sampled_from([1, 2])))
    try:
        if data.draw(st.booleans()):
            larger = rearranged(larger, data)
        old, new = around(recipe, x), around(larger, x, width)
        new.trace()
        if data.draw(st.booleans()):
            block = next(new.stages[0].blocks())
            settings = {"stride": 1, "projects": False}
            again = {n: v for n, v in settings.items() if hasattr(block, n)}
            deeper = replace(new, stages=(Stage((Run(block), Run(replace(block, **again)))),))
            deeper.trace()
            new = deeper
    except IllegalArchitecture:
        return
    try:
        growth = plan(old, new)
    except CannotGrow as error:
        assert str(error)
        return
    if cost(new).macs > MOST_MACS:
        return  # slow in double precision, and no different
    assert difference(growth) < EXACT
    if growth.in_training:
        assert difference(growth, training=True) < EXACT


# -- what every transformation of a family does --------------------------------------------------
STEM = ConvNormAct(16, 2)


def net(*stages: Stage, stem: Block | None = STEM, classes: int = 5) -> Architecture:
    return Architecture(stem, stages, Classifier(classes), (3, 16, 16))


def stage(block: Any, depth: int = 2) -> Stage:
    return Stage.of(block, depth, stride=2, projects=True)


def blocks(old: Any, new: Any, depth: int = 2, more: int = 0) -> tuple[Architecture, Architecture]:
    """A network of blocks, and one of others in their place."""
    return net(stage(old, depth)), net(stage(new, depth + more))


SQUEEZE = SqueezeExcitation(Fraction(1, 4))
DENSE = Convolution(kernel_size=3)
BRANCHED = Reparameterised(kernel_size=3, branches=(1,), group_size=None)
THREE = replace(BRANCHED, branches=(1, 3))
BOTTLENECK = Bottleneck(32, conv=Convolution(kernel_size=3, group_size=4))
INVERTED = InvertedResidual(24, expansion=2)

EXACT_ALWAYS: dict[str, tuple[Architecture, Architecture]] = {
    "wider": blocks(BasicBlock(32), BasicBlock(40)),
    "wider, grouped": blocks(BOTTLENECK, replace(BOTTLENECK, width=64)),
    "wider, depthwise": blocks(INVERTED, replace(INVERTED, width=32)),
    "more expansion": blocks(INVERTED, replace(INVERTED, expansion=5)),
    "deeper": blocks(BasicBlock(32), BasicBlock(32), more=2),
    "deeper, without activation behind": blocks(INVERTED, INVERTED, more=1),
    "larger kernel": blocks(INVERTED, replace(INVERTED, conv=depthwise(7))),
    "dilated to dense": blocks(
        replace(INVERTED, conv=depthwise(3, dilation=2)), replace(INVERTED, conv=depthwise(5))
    ),
    "larger groups": blocks(
        BOTTLENECK, replace(BOTTLENECK, conv=Convolution(kernel_size=3, group_size=8))
    ),
    "depthwise to grouped": blocks(
        INVERTED, replace(INVERTED, conv=Convolution(kernel_size=3, group_size=4))
    ),
    "depthwise to dense": blocks(INVERTED, replace(INVERTED, conv=DENSE)),
    "grouped to dense, wider": blocks(BOTTLENECK, replace(BOTTLENECK, conv=DENSE, width=64)),
    "squeeze-and-excitation": blocks(BOTTLENECK, replace(BOTTLENECK, squeeze_excitation=SQUEEZE)),
    "squeeze-and-excitation, wider": blocks(
        replace(BOTTLENECK, squeeze_excitation=SQUEEZE),
        replace(BOTTLENECK, squeeze_excitation=SQUEEZE, width=48),
    ),
    "DenseNet's growth rate": (
        net(Stage.of(DenseLayer(8, 2), 3)),
        net(Stage.of(DenseLayer(12, 2), 3)),
    ),
    "DenseNet's depth": (
        net(Stage((Run(DenseLayer(8, 2), 2), Run(DenseTransition(12)))), Stage.of(DenseLayer(8))),
        net(
            Stage((Run(DenseLayer(8, 2), 4), Run(DenseTransition(12)))), Stage.of(DenseLayer(8), 2)
        ),
    ),
    "one branch more": blocks(BasicBlock(32, conv=BRANCHED), BasicBlock(32, conv=THREE)),
    "whole multiples under layer norm": (
        net(Stage.of(ConvNeXtBlock(16), 2)),
        net(Stage.of(ConvNeXtBlock(32), 2), stem=ConvNormAct(32, 2)),
    ),
    "inner width under layer norm": (
        net(Stage.of(ConvNeXtBlock(16), 2)),
        net(Stage.of(ConvNeXtBlock(16, expansion=5), 3)),
    ),
    "weighted convolution": blocks(
        BasicBlock(32),
        BasicBlock(32, conv=WeightedConvolution(kernel_size=3, density=(0.9,))),
    ),
    "DCLS at the same taps": blocks(
        BasicBlock(32),
        BasicBlock(32, conv=DCLS(kernel_size=5, taps=9, interpolation="bilinear")),
    ),
}


@pytest.mark.parametrize("name", EXACT_ALWAYS)
def test_exact_in_both_modes(name: str) -> None:
    assert assert_same(*EXACT_ALWAYS[name]).in_training


PLAIN = ConvNormAct(16)
EVALUATION = {
    "deeper, without a shortcut": (
        net(Stage.of(PLAIN, 2)),
        net(Stage.of(PLAIN, 4)),
        "running statistics",
    ),
    "deeper, ReLU6": (
        net(Stage.of(replace(PLAIN, activation=ReLU6()), 2)),
        net(Stage.of(replace(PLAIN, activation=ReLU6()), 3)),
        "running statistics",
    ),
    "re-parameterised": (
        *blocks(BasicBlock(32), BasicBlock(32, conv=BRANCHED)),
        "running statistics",
    ),
    "re-parameterised, with a bias before": (
        net(Stage.of(replace(PLAIN, bias=True), 2)),
        net(Stage.of(replace(PLAIN, bias=True, conv=BRANCHED), 2)),
        "running statistics",
    ),
    "re-parameterised, with a normed identity": (
        net(Stage.of(PLAIN, 2)),
        net(Stage.of(replace(PLAIN, conv=replace(BRANCHED, identity=True, identity_norm=True)), 2)),
        "running statistics",
    ),
    "batch norm where there was none": (
        net(Stage.of(replace(PLAIN, norm=None), 2)),
        net(Stage.of(PLAIN, 2)),
        "running statistics",
    ),
}


@pytest.mark.parametrize("name", EVALUATION)
def test_exact_in_evaluation_mode(name: str) -> None:
    old, new, why = EVALUATION[name]
    growth = assert_same(old, new)
    assert not growth.in_training and why in growth.roles.why
    # with batch statistics it is not: that it does not claim so is no modesty
    assert difference(growth, training=True) > 1e-7


GELU_PLAIN = replace(PLAIN, activation=GELU())
IMPOSSIBLE: dict[str, tuple[Architecture, Architecture, str]] = {
    "narrower": (*blocks(BasicBlock(32), BasicBlock(24)), "only adds"),
    "fewer blocks": (*blocks(BasicBlock(32), BasicBlock(32), 3, -1), "give at least 3"),
    "fewer stages": (
        net(stage(BasicBlock(16)), stage(BasicBlock(32))),
        net(stage(BasicBlock(16))),
        "2 stages would become 1",
    ),
    "another stride": (
        net(Stage.of(BasicBlock(32), 2, stride=2, projects=True)),
        net(Stage.of(BasicBlock(32), 2, stride=1, projects=True)),
        "map would change",
    ),
    "another resolution": (
        net(stage(BasicBlock(32))),
        replace(net(stage(BasicBlock(32))), input=(3, 32, 32)),
        "3x16x16 to 3x32x32",
    ),
    "other classes": (
        net(stage(BasicBlock(32))),
        net(stage(BasicBlock(32)), classes=6),
        "the output would change",
    ),
    "another activation": (
        *blocks(BasicBlock(32), BasicBlock(32, activation=GELU())),
        "GELU in the place of ReLU",
    ),
    "deeper behind a GELU": (
        net(Stage.of(GELU_PLAIN, 2)),
        net(Stage.of(GELU_PLAIN, 3)),
        "would not pass GELU unchanged",
    ),
    "deeper, SiLU behind the shortcut": (
        *blocks(BasicBlock(32, activation=SiLU()), BasicBlock(32, activation=SiLU()), more=1),
        "would not pass SiLU unchanged",
    ),
    "smaller kernel": (
        *blocks(replace(INVERTED, conv=depthwise(5)), replace(INVERTED, conv=depthwise(3))),
        "has no tap where",
    ),
    "more dilation": (
        *blocks(INVERTED, replace(INVERTED, conv=depthwise(3, dilation=2))),
        "dilation 2 and padding 2 has no tap",
    ),
    "smaller groups": (
        *blocks(
            replace(BOTTLENECK, conv=Convolution(kernel_size=3, group_size=8)),
            replace(BOTTLENECK, conv=Convolution(kernel_size=3, group_size=4)),
        ),
        "groups can become larger",
    ),
    "dense to depthwise": (
        *blocks(replace(INVERTED, conv=DENSE), INVERTED),
        "groups can become larger",
    ),
    "uneven copies under layer norm": (
        net(Stage.of(ConvNeXtBlock(16), 2)),
        net(Stage.of(ConvNeXtBlock(24), 2), stem=ConvNormAct(24, 2)),
        "give 16 or 32",
    ),
    "uneven copies in a group": (
        net(Stage.of(replace(PLAIN, norm=GroupNorm(4)), 2)),
        net(Stage.of(replace(PLAIN, norm=GroupNorm(4), width=24), 2)),
        "whole multiples",
    ),
    "fewer groups of a group norm": (
        net(Stage.of(replace(PLAIN, norm=GroupNorm(4)), 2)),
        net(Stage.of(replace(PLAIN, norm=GroupNorm(2)), 2)),
        "GroupNorm with groups 2",
    ),
    "another norm": (
        net(Stage.of(PLAIN, 2)),
        net(Stage.of(replace(PLAIN, norm=LayerNorm()), 2)),
        "LayerNorm in the place of BatchNorm",
    ),
    "no squeeze-and-excitation any more": (
        *blocks(replace(BOTTLENECK, squeeze_excitation=SQUEEZE), BOTTLENECK),
        "se.scale",
    ),
    "an identity without a norm": (
        net(Stage.of(PLAIN, 2)),
        net(Stage.of(replace(PLAIN, conv=replace(BRANCHED, identity=True)), 2)),
        "is not zero",
    ),
    "DenseNet's depth under layer norm": (
        replace(net(Stage.of(DenseLayer(8))), head=Classifier(5, norm=LayerNorm())),
        replace(net(Stage.of(DenseLayer(8), 2)), head=Classifier(5, norm=LayerNorm())),
        "new channels would be normalised together",
    ),
    "a re-parameterised convolution made plain": (
        *blocks(BasicBlock(32, conv=BRANCHED), BasicBlock(32)),
        "conv",
    ),
    "DCLS between the grid": (
        *blocks(BasicBlock(32), BasicBlock(32, conv=DCLS(kernel_size=5, taps=9))),
        "bilinear",
    ),
    "DCLS with too few taps": (
        *blocks(
            BasicBlock(32),
            BasicBlock(32, conv=DCLS(kernel_size=5, taps=5, interpolation="bilinear")),
        ),
        "give at least 9",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_the_impossible_is_refused_before_a_weight_is_touched(name: str) -> None:
    old, new, reason = IMPOSSIBLE[name]
    with pytest.raises(CannotGrow, match=re.escape(reason)) as refused:
        plan(old, new)
    assert "\n" not in str(refused.value)


# -- chains ------------------------------------------------------------------------------------
CHANGES: list[Callable[[Any], Any]] = [
    lambda block: replace(block, width=block.width + 8),
    lambda block: replace(block, expansion=block.expansion + 1),
    lambda block: replace(block, conv=block.conv.with_(kernel_size=block.conv.kernel_size + 2)),
    lambda block: replace(block, conv=block.conv.with_(group_size=2 * block.conv.group_size)),
    lambda block: replace(block, squeeze_excitation=SQUEEZE),
]


@FEW
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=8))
def test_chains_do_not_drift(steps: list[tuple[int, int]]) -> None:
    start = InvertedResidual(16, expansion=1, conv=depthwise(3))
    now = first = net(stage(start, 1), stage(start, 1))
    net0 = trained(first)
    state = net0.state_dict()
    for number, (change, place) in enumerate(steps):
        stages = list(now.stages)
        runs = stages[place].runs
        if change == len(CHANGES):
            last = replace(runs[-1].block, stride=1, projects=False)  # type: ignore[call-arg]
            stages[place] = Stage((*runs, Run(last)))
        else:
            stages[place] = Stage(tuple(Run(CHANGES[change](r.block), r.repeats) for r in runs))
        larger = replace(now, stages=tuple(stages))
        try:
            larger.trace()
            growth = plan(now, larger)
        except (IllegalArchitecture, CannotGrow):
            continue
        state = grown_state(growth, state, seed=number)
        now = larger
    net1 = build(now).double()
    net1.load_state_dict(state)
    x = torch.randn(3, *first.input, dtype=torch.double)
    for mode in (False, True):
        with torch.no_grad():
            expected, found = net0.train(mode)(x), net1.train(mode)(x)
        assert (found - expected).abs().max() < EXACT * expected.abs().max()


# -- what an optimiser remembers, and what can be learnt -------------------------------------------
def gradients(network: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    network.train()(x).square().sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ["wider", "larger kernel", "more expansion", "depthwise to dense"])
def test_moments_are_those_the_grown_network_would_have(name: str) -> None:
    """The gradient of the grown network is the old one's wherever an old weight stands."""
    old, new = EXACT_ALWAYS[name]
    growth = plan(old, new)
    before, after = trained(old), build(new).double()
    after.load_state_dict(grown_state(growth, before.state_dict()))
    x = torch.randn(8, *old.input, dtype=torch.double)
    mine, theirs = gradients(before, x), gradients(after, x)
    moments = grown_moments(growth, {f"{n}.momentum": g for n, g in mine.items()}, {"momentum": 1})
    assert {f"{n}.momentum" for n in theirs} == set(moments)
    for key, moment in moments.items():
        gradient = theirs[key.removesuffix(".momentum")]
        held = moment != 0
        assert held.sum() <= mine[key.removesuffix(".momentum")].numel()
        assert torch.allclose(gradient[held], moment[held], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["wider", "whole multiples under layer norm"])
def test_new_channels_learn_something_of_their_own(name: str) -> None:
    """After a few steps the filters of a layer span more than the old ones did."""
    old, new = EXACT_ALWAYS[name]
    growth = plan(old, new)
    network = build(new).double()
    network.load_state_dict(grown_state(growth, trained(old).state_dict()))
    optimiser = torch.optim.SGD(network.parameters(), 0.05)
    x = torch.randn(8, *old.input, dtype=torch.double)
    for _ in range(5):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), torch.arange(8) % 5).backward()
        optimiser.step()
    for layer, grown in growth.layers.items():
        if grown.output.is_same or type(grown.new.op) is not Convolution:
            continue
        weight = network.get_parameter(f"{layer}.weight").detach().flatten(1)
        few = min(grown.output.old, weight.shape[1])
        assert torch.linalg.matrix_rank(weight) > few or few == weight.shape[1]


def test_weights_of_another_network_are_refused() -> None:
    old, new = EXACT_ALWAYS["wider"]
    state = dict(build(old).state_dict())
    name = next(iter(state))
    with pytest.raises(UserError, match=f"^{re.escape(name)} has the shape None in the weights"):
        grown_state(plan(old, new), {n: t for n, t in state.items() if n != name})


def test_what_stays_is_not_copied() -> None:
    old, new = EXACT_ALWAYS["deeper"]
    state = build(old).state_dict()
    grown = grown_state(plan(old, new), state)
    assert all(grown[name] is tensor for name, tensor in state.items())


def test_a_seed_reproduces_the_fresh_weights() -> None:
    old, new = EXACT_ALWAYS["wider"]
    growth, state = plan(old, new), build(old).state_dict()
    one, two, other = (grown_state(growth, state, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_settled_norms_nearly_keep_the_function_with_batch_statistics() -> None:
    old, new, _ = EVALUATION["deeper, without a shortcut"]
    growth, before, after = plan(old, new), trained(old), build(new).double()
    assert len(settling(growth)) == 2
    x = torch.randn(256, *old.input, dtype=torch.double)
    for module in before.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the last batch, as after a training
    before.train()(x)
    after.load_state_dict(grown_state(growth, before.state_dict()))

    def error(training: bool) -> float:
        with torch.no_grad():
            expected, found = (deepcopy(n).train(training)(x) for n in (before, after))
        return float((found - expected).abs().max() / expected.abs().max())

    unsettled = error(training=True)
    after.train()
    settle(growth, after, x.split(64))
    assert after.training and all(module.training for module in after.modules())
    assert error(training=False) < EXACT
    assert error(training=True) < unsettled / 4


def test_settling_touches_nothing_else() -> None:
    old, new = EXACT_ALWAYS["deeper"]
    growth, net = plan(old, new), build(new)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    settle(growth, net, iter([torch.randn(2, *new.input)]))
    assert not settling(growth)
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


# -- growth undone -----------------------------------------------------------------------------
PLAIN_ONES = [
    name for name in EXACT_ALWAYS if name not in ("weighted convolution", "DCLS at the same taps")
]


@pytest.mark.parametrize("name", PLAIN_ONES)
def test_growth_is_undone(name: str) -> None:
    """What has just grown is in use no more than before: the old weights come back."""
    old, new = EXACT_ALWAYS[name]
    state = dict(trained(old).state_dict())
    _, found = shrunk_state(old, new, grown_state(plan(old, new), state))
    assert found.keys() == state.keys()
    assert all(torch.allclose(found[n], state[n], rtol=1e-12, atol=0) for n in state)


def test_unused_channels_go_wherever_they_are() -> None:
    small, large = EXACT_ALWAYS["wider"]
    network = trained(large)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    dead = [1, 2, 3, 5, 8, 13, 21, 34]
    for layer in ("stages.0.1.conv1", "head.classifier"):
        state[f"{layer}.weight"][:, dead] = 0
    inner = [0, 7, 9, 11, 15, 33, 38, 39]
    for block in ("stages.0.0", "stages.0.1"):
        state[f"{block}.conv2.weight"][:, inner] = 0
    network.load_state_dict(state)
    unused = unused_channels(large, state)
    assert np.flatnonzero(unused["stages.0.1.act"]).tolist() == dead
    assert np.flatnonzero(unused["stages.0.0.conv1"]).tolist() == inner
    growth, kept = shrunk_state(small, large, state)
    assert growth.layers["stages.0.0.act"].output.source[dead].tolist() == [-1] * len(dead)
    cut = build(small).double()
    cut.load_state_dict(kept)
    x = torch.randn(3, *small.input, dtype=torch.double)
    for mode in (False, True):
        with torch.no_grad():
            expected, found = network.train(mode)(x), cut.train(mode)(x)
        assert (found - expected).abs().max() < EXACT * expected.abs().max()


@pytest.mark.parametrize("name", ["wider", "larger kernel", "deeper", "larger groups"])
def test_what_is_in_use_is_not_cut_away(name: str) -> None:
    small, large = EXACT_ALWAYS[name]
    with pytest.raises(CannotGrow, match=r"in use|zero"):
        shrunk_state(small, large, trained(large).state_dict())
