"""Edits: what they change, what they refuse, and that what comes of them computes the same."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier, MLPClassifier
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block, NormDownsample, PatchStem
from archsearch.blocks.dense import DenseLayer, DenseTransition
from archsearch.blocks.depthwise_separable import DepthwiseSeparable
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.layers import Layer, Layers
from archsearch.blocks.plain import ConvNormAct
from archsearch.errors import UserError
from archsearch.growth.carry import grown_state
from archsearch.growth.channels import CannotGrow
from archsearch.growth.check import TOLERANCE, apart, checked, outputs
from archsearch.growth.edits import EDITS, parse_step, planned, random_step, steps
from archsearch.growth.plan import Growth, plan
from archsearch.growth.words import changes
from archsearch.nets.build import build
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.merge import Add
from archsearch.operators.normalization import BatchNorm, LayerNorm
from archsearch.operators.pooling import MaxPool
from archsearch.recipes.squeeze_excitation import SqueezeExcitation

torch.set_num_threads(1)

SMALL = (3, 8, 8)


def layers(width: int, stride: int = 1) -> Layers:
    """A residual block as an import writes it out: paddings given, channels in every layer."""
    conv = Convolution(width, 3, stride=stride, padding=1)
    shortcut = [Layer("down", Convolution(width, stride=stride, padding=0))] if stride > 1 else []
    return Layers(
        (
            Layer("conv1", conv),
            Layer("norm1", BatchNorm(), ("conv1",)),
            Layer("relu1", ReLU(), ("norm1",)),
            Layer("conv2", replace(conv, stride=1), ("relu1",)),
            Layer("norm2", BatchNorm(), ("conv2",)),
            *shortcut,
            Layer("add", Add(), ("norm2", "down" if shortcut else "x")),
            Layer("relu2", ReLU(), ("add",)),
        )
    )


def separable(width: int, to: int) -> Layers:
    """A depthwise layer that counts its groups, and a 1x1 behind it."""
    return Layers(
        (
            Layer("conv", Convolution(width, 3, padding=1, groups=width)),
            Layer("norm", BatchNorm(), ("conv",)),
            Layer("relu", ReLU(), ("norm",)),
            Layer("point", Convolution(to), ("relu",)),
            Layer("norm2", BatchNorm(), ("point",)),
        )
    )


RESNET = Architecture(
    ConvNormAct(8),
    (Stage.of(BasicBlock(8), 2), Stage.of(BasicBlock(16), stride=2, projects=True)),
    Classifier(5),
    SMALL,
)
CONVNEXT = Architecture(
    PatchStem(8, 2),
    (
        Stage.of(ConvNeXtBlock(8, conv=depthwise(3))),
        Stage((Run(NormDownsample(16)), Run(ConvNeXtV2Block(16, conv=depthwise(3))))),
    ),
    Classifier(5, norm=LayerNorm()),
    SMALL,
)
GROUPED = Bottleneck(8, conv=Convolution(kernel_size=3, group_size=2), expansion=1)
NETWORKS = {
    "resnet": RESNET,
    "convnext": CONVNEXT,
    "bottleneck": Architecture(
        ConvNormAct(8),
        (Stage.of(GROUPED, 2, projects=True),),
        Classifier(5, hidden=(12,)),
        SMALL,
    ),
    "mobile": Architecture(
        ConvNormAct(8),
        (
            Stage.of(InvertedResidual(8, expansion=2), 2, projects=True),
            Stage.of(InvertedResidual(12, expansion=2), 2, stride=2, projects=True),
        ),
        Classifier(5),
        SMALL,
    ),
    "tiny": Architecture(
        ConvNormAct(8),
        (Stage.of(DepthwiseSeparable(8), stride=2), Stage.of(DepthwiseSeparable(12), stride=2)),
        Classifier(5),
        SMALL,
    ),
    "vgg": Architecture(
        None,
        (
            Stage.of(ConvNormAct(8), pool=MaxPool()),
            Stage((Run(ConvNormAct(12)), Run(ConvNormAct(12, pool=MaxPool())))),
        ),
        Classifier(5, hidden=(16, 16), pool=False),
        SMALL,
    ),
    "densenet": Architecture(
        ConvNormAct(8),
        (Stage((Run(DenseLayer(4, 2), 2), Run(DenseTransition(8)))), Stage.of(DenseLayer(4, 2), 2)),
        Classifier(5, pre_norm=True),
        SMALL,
    ),
    "layers": Architecture(
        ConvNormAct(8),
        (
            Stage.of(layers(8), 2),
            Stage((Run(layers(16, 2)), Run(layers(16)))),
            Stage((Run(separable(16, 20)),)),
        ),
        Classifier(5),
        SMALL,
    ),
    "dilated": Architecture(
        ConvNormAct(8, conv=Convolution(kernel_size=3, dilation=2)),
        (Stage.of(BasicBlock(8, conv=Convolution(kernel_size=3, dilation=2))),),
        MLPClassifier(5),
        SMALL,
    ),
}


def edited(architecture: Architecture, *words: str) -> Architecture:
    for each in words:
        name, _, text = each.partition(" ")
        architecture = parse_step(name, text).apply(architecture)
    return architecture


def refusal(architecture: Architecture, words: str) -> str:
    name, _, text = words.partition(" ")
    with pytest.raises(UserError) as raised:
        parse_step(name, text).apply(architecture)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def trained(architecture: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """The state of a network whose weights and statistics are all their own; float64."""
    torch.manual_seed(seed)
    net = build(architecture).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return net.state_dict()


# -- what edits change -------------------------------------------------------------------------
def test_a_stage_widens_with_all_that_its_shortcut_ties() -> None:
    assert edited(RESNET, "widen stage2:1.5x").stages == (
        RESNET.stages[0],
        Stage.of(BasicBlock(24), stride=2, projects=True),
    )
    wide = edited(RESNET, "widen stage1:12")  # its first block has an identity shortcut to the stem
    assert (wide.stem, wide.stages[0]) == (ConvNormAct(12), Stage.of(BasicBlock(12), 2))
    assert wide.stages[1] == RESNET.stages[1]
    assert edited(RESNET, "widen stem:12") == edited(RESNET, "widen stages.0:12") == wide
    assert edited(RESNET, "widen stages.0.1:+4") == wide


def test_a_downsampling_widens_with_its_stage() -> None:
    wide = edited(CONVNEXT, "widen stage2:2x")
    assert [getattr(block, "width", 0) for block in wide.stages[1].blocks()] == [32, 32]
    assert edited(CONVNEXT, "widen stage1:2x").stem == PatchStem(16, 2)


def test_factors_give_whole_channels() -> None:
    net = replace(RESNET, stages=(Stage.of(BasicBlock(9), projects=True),))
    assert edited(net, "widen stage1:1.5x").stages[0] == Stage.of(BasicBlock(14), projects=True)


def test_widths_of_other_names_widen() -> None:
    dense = edited(NETWORKS["densenet"], "widen stage2:1.5x")
    assert dense.stages[1] == Stage.of(DenseLayer(6, 2), 2)
    assert edited(NETWORKS["vgg"], "widen head:1.5x").head == Classifier(
        5, hidden=(24, 24), pool=False
    )


def test_layers_written_out_widen_with_what_is_tied_to_them() -> None:
    wide = edited(NETWORKS["layers"], "widen stage2:1.5x")
    assert wide.stages[0] == NETWORKS["layers"].stages[0]
    assert wide.stages[1] == Stage((Run(layers(24, 2)), Run(layers(24))))
    (block,) = wide.stages[2].blocks()
    assert isinstance(block, Layers)
    own: Any = block.layers[0].op  # depthwise: it follows its input, and says so
    assert (own.out_channels, own.groups, own.group_size) == (None, None, 1)


def test_inner_widths_grow_alone() -> None:
    wide = edited(NETWORKS["mobile"], "expansion stage2:1.5x")
    assert {getattr(block, "expansion", 0) for block in wide.stages[1].blocks()} == {3}
    assert edited(RESNET, "expansion stage2:3/2").stages[1] == Stage.of(
        BasicBlock(16, expansion=Fraction(3, 2)), stride=2, projects=True
    )
    wide = edited(NETWORKS["layers"], "expansion stage1:2x")
    block = next(wide.stages[0].blocks())
    assert isinstance(block, Layers)
    widths = {la.name: getattr(la.op, "out_channels", None) for la in block.layers}
    assert (widths["conv1"], widths["conv2"]) == (16, 8)


def test_stages_deepen_by_copies_that_keep_the_shape() -> None:
    assert edited(RESNET, "deepen stage2:+2").stages[1] == Stage(
        (Run(BasicBlock(16, stride=2, projects=True)), Run(BasicBlock(16), 2))
    )
    assert edited(NETWORKS["layers"], "deepen stage2:+1").stages[1] == Stage(
        (Run(layers(16, 2)), Run(layers(16), 2))
    )
    vgg = edited(NETWORKS["vgg"], "deepen stage2:+1").stages[1]  # before the pooling
    assert vgg == Stage((Run(ConvNormAct(12), 2), Run(ConvNormAct(12, pool=MaxPool()))))
    # the first block of the network reads the picture: behind its pooling, then
    vgg = edited(NETWORKS["vgg"], "deepen stage1:+1").stages[0]
    assert vgg == Stage((Run(ConvNormAct(8, pool=MaxPool())), Run(ConvNormAct(8))))


def test_kernels_grow_in_blocks_of_the_stages_kind() -> None:
    wide = edited(CONVNEXT, "kernel stage2:+2")
    first, second = wide.stages[1].blocks()
    assert first == NormDownsample(16)
    assert second == ConvNeXtV2Block(16, conv=depthwise(5))
    *dense, last = edited(NETWORKS["densenet"], "kernel stage1:5").stages[0].blocks()
    assert dense == [DenseLayer(4, 2, Convolution(kernel_size=5))] * 2
    assert last == DenseTransition(8)
    block = next(edited(NETWORKS["layers"], "kernel stage2:5").stages[1].blocks())
    assert isinstance(block, Layers)
    ops: list[Any] = [layer.op for layer in block.layers if isinstance(layer.op, Convolution)]
    assert [(op.kernel_size, op.padding) for op in ops] == [(5, 2), (5, 2), (1, 0)]


def test_a_smaller_dilation_keeps_the_extent_of_the_kernel() -> None:
    own = edited(NETWORKS["dilated"], "dilation stage1:1").stages[0]
    assert own == Stage.of(BasicBlock(8, conv=Convolution(kernel_size=5, dilation=1)))


def test_groups_become_larger_up_to_dense() -> None:
    for words, conv in {
        "group-size stage1:2x": Convolution(kernel_size=3, group_size=4),
        "group-size stage1:8": Convolution(kernel_size=3, group_size=8),
        "group-size stage1:dense": Convolution(kernel_size=3),
    }.items():
        block = edited(NETWORKS["bottleneck"], words).stages[0].runs[-1].block
        assert block == replace(GROUPED, conv=conv)


def test_squeeze_and_excitation_is_added() -> None:
    own = edited(NETWORKS["mobile"], "squeeze-excitation stage1:1/2").stages[0].runs[-1].block
    assert own == InvertedResidual(
        8, expansion=2, squeeze_excitation=SqueezeExcitation(Fraction(1, 2))
    )


# -- what they refuse --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("widen stage3:2x", "no part is named 'stage3': the network has stem, stage1, stage2 and"),
        ("widen stages:2x", "no part is named 'stages'"),
        ("widen stage1:4", "a width of 8 would become 4: growth only adds"),
        ("widen stage1:0.5x", "a width of 8 would become 4: growth only adds"),
        ("widen stage1:1x", "nothing would change"),
        ("kernel stage1:1", "its kernels are as large already"),
        ("kernel stage1:4", "kernel_size"),
        ("deepen head:+1", "head is one block"),
        ("expansion stage1:1/2", "an expansion of 1 would become 1/2: growth only adds"),
        ("dilation stage1:2", "a dilation of 1 can become a divisor, not 2"),
        ("squeeze-excitation stage1:1/4", "BasicBlock has no squeeze_excitation to change"),
        ("group-size stage1:dense", "nothing would change"),
        ("group-size stage1:2x", "its convolution is dense"),
        ("expansion stem:2x", "ConvNormAct has no expansion to change"),
        ("expansion stage1:4/3", "is not a whole number of channels"),
        ("widen head:2x", "Classifier has no width to change"),
    ],
)
def test_refusals_name_part_and_reason(words: str, told: str) -> None:
    assert told in refusal(RESNET, words)


@pytest.mark.parametrize(
    "words",
    ["widen stage1", "widen :2x", "widen stage1:", "widen stage1:x", "widen stage1:-3",
     "widen stage1:+2x", "widen stage1:1/2", "widen stage1:0", "kernel stage1:2x",
     "kernel stage1:9999999999", "squeeze-excitation stage1:1/0", "widen stage1:dense"],
)  # fmt: skip
def test_amounts_that_mean_nothing_are_told_how_to_be_written(words: str) -> None:
    assert ": write " in refusal(RESNET, words)


def test_an_unknown_edit_is_named() -> None:
    with pytest.raises(UserError, match="no edit is named 'shrink'"):
        parse_step("shrink", "stage1:2x")


def test_what_would_compute_something_else_is_refused_by_its_step() -> None:
    step = parse_step("widen", "stage1:12")  # 8 channels, normalised together
    with pytest.raises(CannotGrow, match="widen stage1:12: .*8 channels are normalised together"):
        planned(CONVNEXT, [step])
    with pytest.raises(CannotGrow, match="^widen stage1:12: "):
        planned(CONVNEXT, [parse_step("kernel", "stage1:5"), step])


# -- what comes of them ------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETWORKS)
def test_chains_of_drawn_steps_compute_the_same(name: str) -> None:
    rng = random.Random(name)
    network = NETWORKS[name]
    state = start = trained(network)
    modes = [False, True]
    for seed in range(4):
        step, growth = random_step(network, rng) or pytest.fail("nothing can grow")
        assert step.apply(network) == growth.new != network
        network, state = growth.new, grown_state(growth, state, seed)
        if not growth.in_training:
            modes = [False]
    both = outputs(NETWORKS[name], start, modes), outputs(network, state, modes)
    for wanted, got in zip(*both, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12 * float(wanted.abs().max()))


def test_every_edit_is_worth_trying_somewhere() -> None:
    tried = {step.edit.name for net in NETWORKS.values() for step in steps(net)}
    assert tried == EDITS.keys()


def test_every_edit_has_its_row_in_the_docs() -> None:
    table = (Path(__file__).parents[1] / "docs" / "growth.md").read_text(encoding="utf-8")
    for name in EDITS:
        assert re.search(rf'^\| `--{name} "?stage', table, re.MULTILINE), name


def test_a_difference_that_is_no_rounding_is_seen() -> None:
    state = trained(RESNET)
    other = state | {"head.classifier.bias": state["head.classifier.bias"] + 1e-9}
    (mine,), (theirs,) = outputs(RESNET, state), outputs(RESNET, other)
    assert apart(mine, mine) == 0
    assert 1e-11 < apart(mine, theirs) < 1e-8


def test_growth_is_checked_before_it_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    import archsearch.growth.check as check

    growth = plan(RESNET, edited(RESNET, "widen stage2:2x"))
    state = trained(RESNET)
    narrow = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    assert checked(growth, state).keys() == {"evaluation", "training", "as kept"}

    def shifted(growth: Growth, state: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Weights that are wrong in one bias, by as much as is asked for."""
        found = grown_state(growth, state, seed)
        name = "head.classifier.bias"
        return found | {name: found[name] + error * (found[name].dtype in wrong)}

    monkeypatch.setattr(check, "grown_state", shifted)
    error, wrong = 1e-10, {torch.float64}
    with pytest.raises(CannotGrow, match="differ by .* in evaluation mode"):
        checked(growth, narrow)
    error, wrong = 1e-3, {torch.float32}
    with pytest.raises(CannotGrow, match="differ by .* with weights as they are kept"):
        checked(growth, narrow)
    error = float("nan")
    with pytest.raises(CannotGrow, match="finite"):
        checked(growth, narrow)


def test_training_mode_is_held_to_statistics_of_the_batch() -> None:
    """A plain network deepened: the identity with running statistics, not with a batch's."""
    network = NETWORKS["tiny"]
    growth = plan(network, edited(network, "deepen stage2:+1"))
    assert not growth.in_training
    state = trained(network)
    modes = [False, True]
    both = outputs(network, state, modes), outputs(growth.new, grown_state(growth, state), modes)
    evaluation, training = map(apart, *both)
    assert evaluation <= TOLERANCE
    assert training > 1e-3
    assert checked(growth, state).keys() == {"evaluation", "as kept"}


def test_changes_are_told_part_by_part() -> None:
    new = edited(RESNET, "widen stage2:1.5x", "deepen stage2:+1", "kernel stem:5")
    assert changes(RESNET, new) == [
        "stem: conv.kernel_size 3 to 5",
        "stage2: depth 1 to 2, width 16 to 24",
    ]
    assert changes(RESNET, RESNET) == []


def test_no_kernel_is_suggested_that_only_sees_padding() -> None:
    """A map of 2 x 2 is seen by a kernel of 3; the ring of a kernel of 5 would learn nothing."""
    block = ConvNormAct(8, 2, conv=Convolution(kernel_size=3))
    small = Architecture(None, (Stage.of(block),), Classifier(4), (3, 2, 2))
    large = replace(small, input=(3, 8, 8))
    step = parse_step("kernel", "stage1:+2")
    with pytest.raises(CannotGrow, match="only see padding"):
        step.worth_trying(small)
    assert step.worth_trying(large) == step.apply(large)
