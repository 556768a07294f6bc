"""More general convolutions, branches beside them, and dense layers: what the edits make of blocks,
what they refuse, and that what comes of them computes the same and learns."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_growth_edits import NETWORKS, RESNET, edited, refusal, trained
from torch import Tensor

from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.dense import DenseLayer, DenseTransition
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.layers import Layer, Layers
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.reparameterised import DilatedReparam, Reparameterised
from archsearch.convolutions.weighted import WeightedConvolution
from archsearch.growth.carry import grown_moments, grown_state
from archsearch.growth.channels import CannotGrow
from archsearch.growth.check import TOLERANCE, apart, outputs
from archsearch.growth.edits import parse_step, planned
from archsearch.growth.plan import Growth, plan
from archsearch.growth.settle import settle
from archsearch.growth.shrink import shrunk_state
from archsearch.growth.variants import Variant, kinds
from archsearch.growth.words import changes
from archsearch.nets.build import build
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.merge import Concat
from archsearch.operators.normalization import BatchNorm, LayerNorm
from archsearch.points import text_of
from archsearch.serialization import from_json, to_json

torch.set_num_threads(1)

DENSE = Convolution(kernel_size=3)
REPARAMETERISED = Reparameterised(kernel_size=3, branches=(1,), group_size=None)
DENSENET = NETWORKS["densenet"]


def added(width: int = 4) -> Layers:
    """A block that puts channels beside those that it reads, as an import writes it out."""
    return Layers(
        (
            Layer("norm", BatchNorm()),
            Layer("conv", Convolution(width, 3, padding=1), ("norm",)),
            Layer("both", Concat(), ("conv", "x")),
        )
    )


ADDED = replace(NETWORKS["resnet"], stages=(Stage.of(added(), 2), Stage.of(ConvNormAct(8))))
GROUPS = replace(
    NETWORKS["layers"],
    stages=(
        Stage((Run(Layers((Layer("conv", Convolution(8, 3, padding=1, groups=4)),))),)),
    ),
)  # fmt: skip


# -- what they change --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "before", "conv"),
    [
        ("WeightedConvolution", DENSE, WeightedConvolution(kernel_size=3)),
        (
            "DCLS(taps=9, interpolation=bilinear)",
            replace(DENSE, dilation=2),
            DCLS(kernel_size=3, dilation=2, taps=9, interpolation="bilinear"),
        ),
        (
            "DCLS(kernel_size=7, interpolation=bilinear)",
            replace(DENSE, group_size=4),
            DCLS(kernel_size=7, group_size=4, interpolation="bilinear"),
        ),
        ("Reparameterised(branches=(1, 3))", DENSE, replace(REPARAMETERISED, branches=(1, 3))),
        ("Reparameterised(branches=(1))", DENSE, REPARAMETERISED),
        (
            "Reparameterised(identity=true)",
            depthwise(5),
            Reparameterised(kernel_size=5, identity=True),
        ),
        ("DilatedReparam(kernel_size=7)", depthwise(5), DilatedReparam(kernel_size=7)),
    ],
)  # fmt: skip
def test_a_variant_takes_over_the_settings_that_are_not_given(
    words: str, before: Convolution, conv: Any
) -> None:
    network = replace(RESNET, stages=(Stage.of(BasicBlock(8, conv=before), 2),))
    (stage,) = edited(network, f"conv stage1:{words}").stages
    assert stage == Stage.of(BasicBlock(8, conv=conv), 2)


def test_what_is_written_is_what_is_shown() -> None:
    for conv in (DCLS(taps=12, shares_positions=True), REPARAMETERISED, WeightedConvolution()):
        found = Variant.parse(text_of(conv))
        assert found is not None and found.in_place_of("stage1", type(conv)(), None) == conv
        assert Variant.parse(str(found)) == found


def test_branches_are_added_to_what_is_there() -> None:
    once = edited(RESNET, "branch stage1:1")
    assert once.stages[0] == Stage.of(BasicBlock(8, conv=REPARAMETERISED), 2)
    twice = edited(once, "branch stage1:3")
    conv = replace(REPARAMETERISED, branches=(1, 3))
    assert twice.stages[0] == Stage.of(BasicBlock(8, conv=conv), 2)
    larger = edited(once, "kernel stage1:5", "widen stage1:12").stages[0]
    assert larger == Stage.of(BasicBlock(12, conv=replace(REPARAMETERISED, kernel_size=5)), 2)
    grouped = Stage.of(InvertedResidual(8, conv=Reparameterised(kernel_size=3, branches=(1,))), 2)
    dense = edited(replace(RESNET, stages=(grouped,)), "group-size stage1:dense").stages[0]
    assert dense == Stage.of(InvertedResidual(8, conv=REPARAMETERISED), 2)


def test_layers_written_out_get_variants_and_branches() -> None:
    def convolutions(architecture: Architecture, stage: int) -> list[Any]:
        block = next(architecture.stages[stage].blocks())
        assert isinstance(block, Layers)
        return [layer.op for layer in block.layers if hasattr(layer.op, "stride")]

    weighted = edited(NETWORKS["layers"], "conv stage2:WeightedConvolution")
    conv = WeightedConvolution(16, 3, padding=1)
    assert convolutions(weighted, 1)[:2] == [replace(conv, stride=2), conv]
    branched = edited(NETWORKS["layers"], "branch stage3:1")  # groups counted off, one per channel
    first, point = convolutions(branched, 2)
    assert first == Reparameterised(16, kernel_size=3, branches=(1,))
    assert point == Convolution(20)
    assert convolutions(edited(GROUPS, "branch stage1:1"), 0) == [
        Reparameterised(8, kernel_size=3, branches=(1,), group_size=2)
    ]
    wide = edited(branched, "widen stage3:1.5x", "widen stage2:24", "kernel stage3:5")
    first, point = convolutions(wide, 2)
    assert (first.out_channels, first.kernel_size, point.out_channels) == (24, 5, 30)
    assert from_json(to_json(wide)) == wide
    assert changes(NETWORKS["layers"], branched) == [
        "stage3: conv Convolution(out_channels=16, kernel_size=3, groups=16, paddi"
        " to Reparameterised(out_channels=16, kernel_size=3, branches=(1)"
    ]


def test_pointwise_convolutions_stay_what_they_are() -> None:
    block = BasicBlock(8, conv=Convolution())
    both = replace(RESNET, stages=(Stage((Run(BasicBlock(8)), Run(block))),))
    last = BasicBlock(8, conv=WeightedConvolution(kernel_size=3))
    assert edited(both, "conv stage1:WeightedConvolution").stages == (
        Stage((Run(last), Run(block))),
    )
    alone = replace(RESNET, stages=(Stage.of(block),))
    assert "BasicBlock has no spatial convolution" in refusal(alone, "branch stage1:1")


def test_blocks_that_add_channels_deepen() -> None:
    assert edited(DENSENET, "deepen stage1:+2").stages[0] == Stage(
        (Run(DenseLayer(4, 2), 4), Run(DenseTransition(8)))
    )
    assert edited(ADDED, "deepen stage1:+1").stages[0] == Stage.of(added(), 3)


# -- what they refuse --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("conv stage1:DCSL", "no convolution is named 'DCSL'; did you mean DCLS?"),
        ("conv stage1:ReLU", "no convolution is named 'ReLU'"),
        ("conv stage1:DCLS(tap=9)", "DCLS has no tap; did you mean taps?"),
        ("conv stage1:DCLS(taps=few)", "taps of DCLS cannot be few"),
        ("conv stage1:DCLS(taps=-1)", "taps of DCLS cannot be -1"),
        ("conv stage1:DCLS(taps=0)", "taps of DCLS is 0; it must be at least 1"),
        ("conv stage1:DCLS(taps=9999999)", "taps of DCLS cannot be 9999999"),
        ("conv stage1:DCLS(kernel_size=())", "kernel_size () does not fit 2 spatial dimensions"),
        ("conv stage1:DCLS(taps=True)", "taps of DCLS cannot be True"),
        ("conv stage1:DCLS(interpolation=cubic)", "interpolation of DCLS cannot be cubic"),
        ("conv stage1:DCLS", "34 taps are more than a kernel_size of 3 has positions; at most 9"),
        ("conv stage1:1 + 1", ": write stage1:WeightedConvolution or "),
        ("conv stage1:DCLS(9)", ": write "),
        ("conv stage1:DCLS(**9)", "DCLS has no None"),
        ("conv stage1:DCLS(taps=9", ": write "),
        (f"conv stage1:{'DCLS' * 60}", ": write "),
        ("conv stage1:Convolution", "nothing would change"),
        ("conv head:DCLS", "Classifier has no spatial convolution to change"),
        ("branch head:1", "Classifier has no spatial convolution to change"),
        ("branch stage1:5", "a branch of kernel_size 5 does not fit into 3; give at most 3"),
        ("branch stage1:2", "branches"),
        ("branch stage1:+1", ": write stage1:1"),
    ],
)
def test_refusals_name_what_is_wrong(words: str, told: str) -> None:
    assert told in refusal(RESNET, words)


def test_other_refusals_of_edits() -> None:
    weighted = edited(RESNET, "conv stage1:WeightedConvolution")
    assert "WeightedConvolution takes no branch" in refusal(weighted, "branch stage1:1")
    factorised = replace(
        RESNET, stages=(Stage.of(BasicBlock(8, conv=Convolution(kernel_size=(1, 3)))),)
    )
    told = refusal(factorised, "branch stage1:1")
    assert told == "stage1: Reparameterised has no kernel_size of (1, 3)"
    layers = NETWORKS["layers"]  # their padding is given, and follows the kernel
    assert "(3, 5, 7) does not fit 2" in refusal(layers, "conv stage1:DCLS(kernel_size=(3, 5, 7))")
    assert "() does not fit 2 spatial" in refusal(layers, "conv stage1:DCLS(kernel_size=())")
    counted = replace(
        RESNET, stages=(Stage.of(BasicBlock(8, conv=Convolution(kernel_size=3, groups=2))),)
    )
    assert "counts channels per group" in refusal(counted, "branch stage1:1")


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("resnet", "conv stage1:DCLS(taps=9)", "interpolation bilinear"),
        (
            "resnet",
            "conv stage1:DCLS(kernel_size=7, taps=5, interpolation=bilinear)",
            "give at least 9",
        ),
        ("resnet", "conv stage1:DilatedReparam(kernel_size=5)", "groups of 1 channels do not hold"),
        ("dilated", "branch stage1:1", "with dilation 1 and padding 1 has no tap where"),
        ("mobile", "conv stage1:Reparameterised(identity=true)", "is not zero"),
        ("resnet", "conv stage1:VisualAttention", "has no tap where"),
    ],
)
def test_what_would_compute_something_else_is_refused(name: str, words: str, told: str) -> None:
    kind, _, text = words.partition(" ")
    with pytest.raises(CannotGrow, match=told) as raised:
        planned(NETWORKS[name], [parse_step(kind, text)])
    assert "\n" not in str(raised.value)


def test_new_channels_are_not_normalised_with_old_ones() -> None:
    network = replace(DENSENET, head=Classifier(5, norm=LayerNorm()))
    with pytest.raises(CannotGrow, match="4 new channels would be normalised together"):
        planned(network, [parse_step("deepen", "stage2:+1")])


# -- what comes of them computes the same --------------------------------------------------------
def differences(growths: list[Growth], seed: int = 0) -> list[float]:
    """In evaluation and in training mode, as they are, whatever is claimed."""
    start = state = trained(growths[0].old, seed)
    for number, growth in enumerate(growths):
        state = grown_state(growth, state, number)
    modes = (False, True)
    both = outputs(growths[0].old, start, modes), outputs(growths[-1].new, state, modes)
    return list(map(apart, *both))


ALWAYS = {
    "weighted": (RESNET, "conv stage2:WeightedConvolution(trainable=true)"),
    "weighted layers": (NETWORKS["layers"], "conv stage2:WeightedConvolution"),
    "spacings": (RESNET, "conv stage2:DCLS(kernel_size=7, interpolation=bilinear)"),
    "spacings, grouped": (
        NETWORKS["bottleneck"],
        "conv stage1:DCLS(taps=9, interpolation=bilinear)",
    ),
    "spacings with a bias": (
        NETWORKS["convnext"],
        "conv stage2:DCLS(kernel_size=5, taps=25, interpolation=bilinear)",
    ),
    "depthwise to separable": (NETWORKS["mobile"], "conv stage1:Separable"),
    "a second branch": (edited(RESNET, "branch stage1:1"), "branch stage1:3"),
    "a branch before an identity": (
        replace(
            RESNET,
            stages=(Stage.of(ConvNormAct(8, conv=replace(REPARAMETERISED, identity=True)), 2),),
        ),
        "branch stage1:3",
    ),
    "dense layers in the middle": (DENSENET, "deepen stage1:+2"),
    "dense layers at the end": (DENSENET, "deepen stage2:+1"),
    "wider dense layers": (
        edited(DENSENET, "deepen stage1:+1"),
        "widen stem:12 & deepen stage1:+1 & widen stage1:1.5x",
    ),
    "dense layers, flattened": (
        replace(DENSENET, head=Classifier(5, hidden=(6,), pool=False)),
        "deepen stage2:+1",
    ),
    "dense layers written out": (ADDED, "deepen stage1:+2"),
}
EVALUATION = {
    "residual": (RESNET, "branch stage2:1"),
    "grouped": (NETWORKS["bottleneck"], "branch stage1:3"),
    "depthwise": (NETWORKS["mobile"], "branch stage1:1"),
    "with a bias": (NETWORKS["convnext"], "branch stage2:1"),
    "plain": (NETWORKS["vgg"], "branch stage1:1"),
    "dense layers": (DENSENET, "branch stage1:1"),
    "layers": (NETWORKS["layers"], "branch stage2:1"),
    "layers, depthwise": (NETWORKS["layers"], "conv stage3:DilatedReparam(kernel_size=9)"),
    "layers, grouped": (GROUPS, "branch stage1:1"),
    "normed identity": (
        NETWORKS["mobile"],
        "conv stages.0.1:Reparameterised(identity=true, identity_norm=true)",
    ),
}


@pytest.mark.parametrize("name", ALWAYS)
def test_exact_in_both_modes(name: str) -> None:
    network, words = ALWAYS[name]
    growth = plan(network, edited(network, *words.split(" & ")))
    assert growth.in_training
    assert max(differences([growth])) <= TOLERANCE


@pytest.mark.parametrize("name", EVALUATION)
def test_exact_in_evaluation_mode(name: str) -> None:
    network, words = EVALUATION[name]
    growth = plan(network, edited(network, *words.split(" & ")))
    assert not growth.in_training and "main_norm is the identity" in growth.roles.why
    evaluation, training = differences([growth])
    assert evaluation <= TOLERANCE
    assert training > 1e-7  # that it does not claim more is no modesty


MORE_GENERAL = {
    "WeightedConvolution": {"dense", "depthwise"},
    "DCLS": {"dense", "depthwise"},
    "Reparameterised": {"dense", "depthwise"},
    "DilatedReparam": {"depthwise"},
    "Separable": {"depthwise"},
}
"""What can start as which plain convolution; all others compute something else."""


@pytest.mark.parametrize(
    "name", sorted(n for n, kind in kinds().items() if kind.__module__.startswith("archsearch."))
)
def test_every_kind_is_exact_or_refused(name: str) -> None:
    """In the place of dense, depthwise and biased convolutions, with what makes some of them able
    to start as a plain one."""
    settings = {"DCLS": "(interpolation=bilinear, taps=9)", "DilatedReparam": "(kernel_size=5)"}
    exact = set()
    for what, conv in {"dense": DENSE, "depthwise": depthwise(3)}.items():
        for norm in (BatchNorm(), None):
            block = ConvNormAct(8, conv=conv, norm=norm)
            network = replace(RESNET, stages=(Stage.of(block),))
            try:
                step = parse_step("conv", f"stage1:{name}{settings.get(name, '')}")
                growth = plan(network, step.apply(network))
            except CannotGrow as error:
                assert str(error) and "\n" not in str(error)
                continue
            exact.add(what)
            evaluation, training = differences([growth])
            assert evaluation <= TOLERANCE
            assert training <= TOLERANCE or not growth.in_training
    assert exact == MORE_GENERAL.get(name, set())


CHAIN = (
    "conv:WeightedConvolution", "conv:DCLS(taps=9, interpolation=bilinear)", "branch:1",
    "branch:3", "kernel:+2", "widen:1.5x", "expansion:1.5x", "group-size:dense", "deepen:+1",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_chains_of_these_and_others_compute_the_same(name: str) -> None:
    """Every part gets them in a drawn order, as many as it takes."""
    rng, network = random.Random(name), NETWORKS[name]
    growths: list[Growth] = []
    stages = [f"stage{i + 1}" for i in range(len(network.stages))]
    wanted = [(part, each) for part in stages for each in CHAIN]
    for part, each in rng.sample(wanted, len(wanted)):
        kind, _, amount = each.partition(":")
        if kind in ("widen", "expansion") and rng.random() < 0.5:
            continue  # small, to be quick
        try:
            step = parse_step(kind, f"{part}:{amount}")
            growths += planned(growths[-1].new if growths else network, [step])
        except CannotGrow:
            continue
    assert len(growths) > 2
    evaluation, training = differences(growths)
    assert evaluation <= TOLERANCE
    if all(growth.in_training for growth in growths):
        assert training <= TOLERANCE


# -- and learns --------------------------------------------------------------------------------
def gradients(
    architecture: Architecture, state: Mapping[str, Tensor], training: bool
) -> dict[str, Tensor]:
    net = build(architecture).double().train(training)
    net.load_state_dict(dict(state))
    x = torch.randn(4, *architecture.input, generator=torch.Generator().manual_seed(1)).double()
    net(x).square().sum().backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", [*ALWAYS, *EVALUATION])
def test_moments_are_those_the_grown_network_would_have(name: str) -> None:
    """Of everything that stays; a kernel that another operator holds is rewritten and starts
    anew."""
    network, words = (ALWAYS | EVALUATION)[name]
    growth = plan(network, edited(network, *words.split(" & ")))
    state = trained(network)
    mine = gradients(network, state, growth.in_training)
    theirs = gradients(growth.new, grown_state(growth, state), growth.in_training)
    moments = grown_moments(growth, {f"{n}.momentum": g for n, g in mine.items()}, {"momentum": 1})
    known = {layer.old.name for layer in growth.layers.values() if layer.replaced_by is None}
    carried = {name for name in mine if name.rpartition(".")[0] in known}
    assert len(moments) >= len(carried) > 0
    for key, moment in moments.items():
        gradient = theirs[key.removesuffix(".momentum")]
        held = moment != 0
        assert torch.allclose(gradient[held], moment[held], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "name",
    [
        "spacings",
        "weighted",
        "a second branch",
        "dense layers in the middle",
        "depthwise",
        "grouped",
    ],
)
def test_what_is_new_has_a_gradient(name: str) -> None:
    """Of a new branch its last weights, and so after a step all of them: nothing is dead."""
    network, words = (ALWAYS | EVALUATION)[name]
    growth = plan(network, edited(network, *words.split(" & ")))
    state = grown_state(growth, trained(network))
    for name, gradient in gradients(growth.new, state, True).items():
        state[name] = state[name] - 0.1 * gradient
    for name, gradient in gradients(growth.new, state, True).items():
        if name.endswith("weight"):
            assert gradient.abs().max() > 1e-12, name


def test_the_bias_before_a_branch_is_settled_too() -> None:
    network, words = EVALUATION["with a bias"]
    growth, state = plan(network, edited(network, *words.split(" & "))), trained(network)
    net = build(growth.new).double()
    net.load_state_dict(grown_state(growth, state))
    norm = net.get_submodule("stages.1.1.conv.main_norm")
    assert torch.equal(norm.bias, state["stages.1.1.conv.bias"])
    x = torch.randn(64, *network.input, generator=torch.Generator().manual_seed(2)).double()
    settle(growth, net, [x])
    assert not torch.equal(norm.bias, state["stages.1.1.conv.bias"])
    (wanted,), (got,) = (
        outputs(network, state),
        outputs(growth.new, {name: tensor.detach() for name, tensor in net.state_dict().items()}),
    )
    assert apart(wanted, got) <= TOLERANCE


def test_growth_of_dense_layers_is_undone() -> None:
    network, words = ALWAYS["dense layers in the middle"]
    large, state = edited(network, *words.split(" & ")), trained(network)
    grown = grown_state(plan(network, large), state)
    _, found = shrunk_state(network, large, grown)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    place = "stages.0.4.conv.weight"  # the transition reads the new channels
    grown[place] = grown[place] + 1e-3
    with pytest.raises(CannotGrow, match="in use"):
        shrunk_state(network, large, grown)
