"""Re-parameterised convolutions and UniRepLKNet: their deployed kernel against one summed by hand.

The deployed form comes from ``archsearch.merge``, which knows none of these classes; here its
kernels are put together from the published equations alone.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import randomise
from rows import Alone
from test_published import shared
from torch.nn.functional import conv_transpose2d, pad

from archsearch import models
from archsearch.architecture import Architecture, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.unireplknet import UniRepLKNetBlock
from archsearch.convolutions.reparameterised import BRANCHES, DilatedReparam, Reparameterised
from archsearch.cost import cost, scope_cost
from archsearch.entropy import chain
from archsearch.graph import Scope, trace
from archsearch.loading import find_objective, find_space
from archsearch.merge import deployed
from archsearch.nets.build import build, build_recipe
from archsearch.nets.deploy import deploy
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import GRN, BatchNorm
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import Pick
from archsearch.spatial import CompositeConvolution

CHANNELS = 6
sizes = st.sampled_from(sorted(BRANCHES))


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def folded(state: dict[str, torch.Tensor], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a convolution without bias and the batch norm behind it, as one."""
    norm = {key: state[f"{name}_norm.{key}"] for key in ("weight", "bias")}
    mean, variance = (state[f"{name}_norm.running_{key}"] for key in ("mean", "var"))
    factor = norm["weight"] / (variance + 1e-5).sqrt()
    return state[f"{name}.weight"] * factor[:, None, None, None], norm["bias"] - mean * factor


def spread(kernel: torch.Tensor, dilation: int) -> torch.Tensor:
    """A dilated kernel as the dense one with zeros between its taps."""
    unit = torch.ones(1, 1, 1, 1, dtype=kernel.dtype)
    return conv_transpose2d(kernel.flatten(0, 1)[:, None], unit, stride=dilation).view(
        *kernel.shape[:2], *(dilation * (n - 1) + 1 for n in kernel.shape[2:])
    )


def trained_and_merged(
    conv: CompositeConvolution, channels: int = CHANNELS
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The state of a convolution with weights that hide nothing, and that of its deployed form."""
    prefix = "stages.0.0.conv."
    block = UniRepLKNetBlock(channels, 1, conv, None, layer_scale=None)
    architecture = Architecture(None, (Stage.of(block),), Classifier(2), (channels, 5, 7))
    net = randomise(build(architecture)).double()
    state = net.state_dict()
    # the outer norm of the block would be folded as well
    for name, value in {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1 - 1e-5}.items():
        state[f"stages.0.0.conv_norm.{name}"].fill_(value)
    merged = deploy(net, architecture).state_dict()
    return (
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)},
        {k.removeprefix(prefix): v for k, v in merged.items() if k.startswith(prefix)},
    )


# -- dilated branches ----------------------------------------------------------------------------
@pytest.mark.parametrize("size", BRANCHES)
def test_branches_fit_into_their_kernel(size: int) -> None:
    for kernel, dilation in BRANCHES[size]:
        assert kernel % 2 == 1
        assert dilation * (kernel - 1) + 1 <= size


@pytest.mark.parametrize("size", BRANCHES)
def test_dilated_branches_merge_into_the_large_kernel(size: int) -> None:
    state, merged = trained_and_merged(DilatedReparam(kernel_size=size))
    kernel, bias = folded(state, "main")
    for i, (_, dilation) in enumerate(BRANCHES[size], 1):
        weight, shift = folded(state, f"branch{i}")
        weight = spread(weight, dilation)
        kernel = kernel + pad(weight, [(size - weight.shape[-1]) // 2] * 4)
        bias = bias + shift
    assert set(merged) == {"weight", "bias"}
    torch.testing.assert_close(merged["weight"], kernel, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged["bias"], bias, rtol=1e-12, atol=1e-12)


def test_a_dilated_kernel_is_a_large_one_with_zeros() -> None:
    """The reference's example: 3 x 3 of dilation 2 as 5 x 5."""
    expected = torch.zeros(5, 5, dtype=torch.double)
    expected[::2, ::2] = torch.arange(1, 10).view(3, 3)
    x = Shape(1, (7, 7))
    net = build_recipe(Alone(DilatedReparam(kernel_size=5)), x).double().eval()
    state = net.state_dict()
    for name in ("main", "branch1"):
        state[f"op.{name}.weight"].zero_()
    state["op.branch2.weight"].copy_(torch.arange(1, 10).view(1, 1, 3, 3))
    impulse = torch.zeros(1, 1, 7, 7, dtype=torch.double)
    impulse[0, 0, 3, 3] = (1 + 1e-5) ** 0.5  # undoes what fresh statistics divide by
    with torch.no_grad():
        response = net(impulse)[0, 0, 1:6, 1:6].flip(0, 1)
    torch.testing.assert_close(response, expected)


@settings(max_examples=12)
@given(sizes, st.sampled_from([8, 32]), st.integers(1, 9))
def test_dilated_costs_are_the_closed_formulas(size: int, channels: int, side: int) -> None:
    conv, x = DilatedReparam(kernel_size=size), Shape(channels, (side, side))
    counted = scope_cost(trace(conv, x))
    taps = size**2 + sum(kernel**2 for kernel, _ in BRANCHES[size])
    assert counted.params == channels * taps + 2 * channels * (1 + len(BRANCHES[size]))
    assert counted.macs == side**2 * channels * taps
    merged = scope_cost(deployed(trace(conv, x)).scope)
    assert (merged.params, merged.macs) == (channels * (size**2 + 1), side**2 * channels * size**2)


def test_the_largest_kernel_counts_in_the_entropy() -> None:
    own = chain(trace(DilatedReparam(kernel_size=9), Shape(8, (9, 9))))
    plain = chain(trace(Alone(depthwise(9)), Shape(8, (9, 9))))
    assert (own.layers, own.entropy) == (plain.layers, plain.entropy)


@pytest.mark.parametrize(
    ("size", "near"), [(3, "5"), (6, "5 or 7"), (12, "11 or 13"), (19, "17"), (-1, "")]
)
def test_dilated_refuses_sizes_without_branches(size: int, near: str) -> None:
    message = f"kernel_size {size}; give {near}$" if near else "kernel_size of DilatedReparam is -1"
    with pytest.raises(IllegalArchitecture, match=message):
        DilatedReparam(kernel_size=size)


# -- other branches --------------------------------------------------------------------------------
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("group_size", [None, 1, 2])
def test_branches_and_identity_merge(norm: bool, group_size: int | None) -> None:
    """RepVGG's three branches and their relatives, against the same sum by hand."""
    conv = Reparameterised(
        kernel_size=3, branches=(1,), identity=True, identity_norm=norm, group_size=group_size
    )
    state, merged = trained_and_merged(conv)
    kernel, bias = folded(state, "main")
    weight, shift = folded(state, "branch1")
    kernel, bias = kernel + pad(weight, [1] * 4), bias + shift
    factor = torch.ones(CHANNELS, dtype=torch.double)
    if norm:
        factor = state["identity_norm.weight"] / (state["identity_norm.running_var"] + 1e-5).sqrt()
        bias = bias + state["identity_norm.bias"] - state["identity_norm.running_mean"] * factor
    for channel in range(CHANNELS):
        kernel[channel, channel % kernel.shape[1], 1, 1] += factor[channel]
    assert set(merged) == {"weight", "bias"}
    torch.testing.assert_close(merged["weight"], kernel, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged["bias"], bias, rtol=1e-12, atol=1e-12)


def operators(scope: Scope) -> list[object]:
    return [node.op for node in scope.nodes()]


def test_strides_and_more_channels_merge() -> None:
    """FFNet's downsampling: two filters of stride 2 for every channel."""
    conv, x = Reparameterised(16, 2), Shape(8, (9, 9))
    (op,) = operators(deployed(trace(Alone(conv), x)).scope)
    assert op == Convolution(16, 7, 2, group_size=1, bias=True)


def test_without_branches_it_is_a_convolution_with_norm() -> None:
    conv = Reparameterised(kernel_size=3, branches=())
    assert operators(trace(conv, Shape(8, (5,)))) == [depthwise(3), BatchNorm()]


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        (lambda: Reparameterised(kernel_size=4), "kernel_size 4 is even; 3 or 5 keep the size"),
        (lambda: Reparameterised(branches=(3, 2)), "branches 2 is even; 1 or 3 keep the size"),
        (lambda: Reparameterised(branches=(0,)), r"branches of Reparameterised is \(0,\)"),
        (lambda: Reparameterised(branches=(9,)), "kernel_size 9 does not fit into 7; .* most 7"),
        (lambda: Reparameterised(group_size=3), "8 channels .* group_size 3; 2 or 4 would"),
        (lambda: Reparameterised(12), "12 output channels do not split into 8 groups"),
        (lambda: Reparameterised(identity=True, stride=2), "Reparameterised has no stride 2"),
        (lambda: Reparameterised(identity_norm=True), "identity_norm without identity"),
        (lambda: Reparameterised(16, identity=True), "Reparameterised keeps its 8 channels"),
    ],
)
def test_refuses(conv: type[Reparameterised], message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        trace(conv(), Shape(8, (9, 9)))


# -- UniRepLKNet -----------------------------------------------------------------------------------
DEPLOYED = {  # published as deployed: parameters, MACs
    "unireplknet_a": (4_437_300, 639_843_520),
    "unireplknet_f": (6_235_216, 905_138_688),
    "unireplknet_p": (10_741_704, 1_573_055_488),
    "unireplknet_n": (18_318_560, 2_766_502_400),
    "unireplknet_t": (31_037_980, 4_898_993_920),
    "unireplknet_s": (55_645_984, 9_093_985_536),
    "unireplknet_b": (98_008_456, 16_057_209_856),
    "unireplknet_l": (218_454_616, 35_881_502_208),
    "unireplknet_xl": (386_529_064, 63_569_586_176),
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_deployed_networks_are_the_published_ones(name: str) -> None:
    counted = scope_cost(deployed(models.get(name).trace()).scope)
    assert (counted.params, counted.macs) == DEPLOYED[name]
    assert counted.buffers == 0


def test_a_deployed_block_has_no_batch_norm() -> None:
    """Every norm, the layer scale and the bias of the response norm are in the convolutions."""
    block = UniRepLKNetBlock(8)
    ops = {n.name: n.op for n in deployed(trace(block, Shape(8, (9, 9)))).scope.nodes()}
    assert not any(isinstance(op, BatchNorm) for op in ops.values())
    assert "layer_scale" not in ops
    assert ops["conv"] == Convolution(8, 13, group_size=1, bias=True)
    assert ops["response_norm"] == GRN(bias=False)


@pytest.mark.parametrize("size", [3, 13])
@pytest.mark.parametrize("is_deployed", [False, True])
def test_blocks_cost_what_the_formulas_say(size: int, is_deployed: bool) -> None:
    """Against formulas written down apart from the package."""
    formulas: dict[str, object] = {}
    exec(shared("reference/operator_formulas.py").read_text(), formulas)
    conv = DilatedReparam(kernel_size=size) if size >= 7 else depthwise(size)
    block = UniRepLKNetBlock(80, conv=conv, squeeze_excitation=SqueezeExcitation())
    scope = trace(block, Shape(80, (14, 9)))
    counted = scope_cost(deployed(scope).scope if is_deployed else scope)
    expected = formulas["unireplk_block"](80, size, 14, 9, deploy=is_deployed)
    assert (counted.params, counted.macs) == expected


@pytest.mark.parametrize(
    ("name", "width", "depths"),
    [
        ("unireplknet_a", 40, (2, 2, 6, 2)),
        ("unireplknet_p", 64, (2, 2, 6, 2)),
        ("unireplknet_n", 80, (2, 2, 8, 2)),
    ],
)
def test_published_members_are_in_the_space(name: str, width: int, depths: tuple[int, ...]) -> None:
    space = find_space("unireplknet")
    stages = [Pick((("width", width * 2**i),), depth) for i, depth in enumerate(depths)]
    point = (Pick((("width", width),)), *stages, Pick())
    assert space.contains(point)
    assert space.build(point) == models.get(name)
    assert find_objective("deepmad").effectiveness(models.get(name)) <= space.effectiveness


def test_training_costs_more_than_deployment() -> None:
    trained, merged = cost(models.get("unireplknet_t")), DEPLOYED["unireplknet_t"]
    assert 1 < trained.params / merged[0] < 1.05
    assert 1 < trained.macs / merged[1] < 1.05
