"""Learnable spacings: the kernel by its definition, sharing positions, keeping it, refusals."""

from __future__ import annotations

import json
import math
import pickle
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import assert_alike
from torch import Tensor, nn

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.separable import Separable
from archsearch.cost import cost
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.nets.build import build
from archsearch.nets.deploy import deploy
from archsearch.nets.export import export
from archsearch.nets.source import source
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import depthwise

SHARED = Path(__file__).parents[2] / "shared"
INTERPOLATIONS = ("bilinear", "triangle", "max", "gauss")
VERSIONS = {"v0": "bilinear", "v1": "triangle", "max": "max", "gauss": "gauss"}


def layer(
    kernel_size: tuple[int, ...],
    taps: int,
    interpolation: str,
    channels: tuple[int, int] = (4, 6),
    groups: int = 2,
    **options: Any,
) -> Any:
    """A layer in double precision whose scales are not what they start at."""
    made = DCLS.layer()(*channels, kernel_size, taps, interpolation, groups=groups, **options)
    if made.scales is not None:
        nn.init.uniform_(made.scales, -0.5, 0.7)
    return made.double()


# -- the kernel ----------------------------------------------------------------------------------
@torch.no_grad()
def by_definition(made: Any) -> Tensor:
    """The dense kernel, weight by weight and grid point by grid point, as the papers have it."""
    outputs, inputs, taps = made.weight.shape
    kernel = torch.zeros(outputs, inputs, *made.kernel_size, dtype=torch.double)
    grid = list(product(*map(range, made.kernel_size)))

    def share(at: tuple[int, ...], where: tuple[int, int, int]) -> float:
        total = 1.0
        for axis, size in enumerate(made.kernel_size):
            distance = abs(at[axis] - (float(made.positions[(axis, *where)]) + size // 2))
            scale = 0.0 if made.scales is None else abs(float(made.scales[(axis, *where)]))
            if made.interpolation == "gauss":
                total *= math.exp(-0.5 * (distance / (scale + 0.27)) ** 2)
            else:
                total *= max(0.0, 1 + scale - distance)
        return total

    for where in product(range(outputs), range(inputs), range(taps)):
        shares = [share(at, where) for at in grid]
        mass = 1.0 if made.interpolation == "bilinear" else sum(shares) + 1e-7
        for at, part in zip(grid, shares, strict=True):
            kernel[(*where[:2], *at)] += float(made.weight[where]) * part / mass
    return kernel


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@settings(max_examples=6)
@given(
    st.sampled_from([(5,), (1,), (3, 5), (7, 3), (1, 5), (3, 1, 5)]),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_kernel_is_the_definition(
    interpolation: str, kernel_size: tuple[int, ...], taps: int, seed: int
) -> None:
    torch.manual_seed(seed)
    padding = tuple(size // 2 for size in kernel_size)
    made = layer(kernel_size, taps, interpolation, padding=padding)
    expected = by_definition(made)
    assert (made.build_kernel() - expected).abs().max() < 1e-12
    x = torch.randn(2, 4, *[6] * len(kernel_size), dtype=torch.double)
    convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[len(kernel_size) - 1]
    assert_alike(made(x), convolve(x, expected, made.bias, padding=padding, groups=2))


def vectors(prefix: str) -> dict[str, Any]:
    path = SHARED / "reference/operators_ground_truth.json"
    if not path.is_file():
        pytest.skip("the reference file of test vectors is not beside the repository")
    found = json.loads(path.read_text())["test_vectors"]
    return {name: value for name, value in found.items() if name.startswith(prefix)}


def of_authors(version: str, kernel_size: tuple[int, int], positions: tuple[float, float]) -> Any:
    """One weight of 1 with the authors' positions, whose first axis is the rows in v0 alone, and
    their starting scales."""
    made = layer(kernel_size, 1, VERSIONS[version], (1, 1), groups=1)
    rows_first = positions if version == "v0" else positions[::-1]
    with torch.no_grad():
        made.weight.fill_(1)
        made.positions[:, 0, 0, 0] = torch.tensor(rows_first)
        if made.scales is not None:
            made.scales.fill_(0.23 if version == "gauss" else 0.0)
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_vectors_of_the_authors_code(version: str) -> None:
    expected = vectors("dcls2d_")[f"dcls2d_{version}_K5_P(0.3,-1.2)_W1_defaultSIG"]
    kernel = of_authors(version, (5, 5), (0.3, -1.2)).build_kernel()[0, 0]
    assert (kernel - torch.tensor(expected)).abs().max() <= 1e-6


def test_every_axis_has_its_own_extent() -> None:
    """The authors' bilinear kernel agrees; their triangle (an empty kernel) and gauss take the
    extent of the rows for the columns too, and are not followed."""
    known = vectors("dcls2d_")
    kernel = of_authors("v0", (3, 7), (1, 2)).build_kernel()[0, 0]
    assert kernel.tolist() == known["dcls2d_v0_K(3,7)_P(1,2)"]
    for version in ("v1", "gauss"):
        kernel = of_authors(version, (3, 7), (2, 1)).build_kernel()[0, 0]
        assert divmod(int(kernel.argmax()), 7) == (2, 5)
        assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
        assert sum(map(sum, known[f"dcls2d_{version}_K(3,7)_P(1,2)"])) < 0.2


def test_mass_beyond_the_border() -> None:
    """Bilinear loses what falls outside; the others put all of a weight on the grid."""
    masses = {}
    for version in VERSIONS:
        made = of_authors(version, (5, 5), (0.0, 0.0))
        with torch.no_grad():
            made.positions[0] = 2.4
        masses[version] = made.build_kernel().sum().item()
    assert masses.pop("v0") == pytest.approx(0.6)
    assert list(masses.values()) == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("interpolation", ["bilinear", "triangle"])
def test_positions_on_a_grid_are_a_dilated_convolution(interpolation: str, dimensions: int) -> None:
    """A weight at every second position: PyTorch's convolution with dilation 2."""
    made = layer((5,) * dimensions, 3**dimensions, interpolation, padding=2, stride=2)
    at = torch.tensor(list(product((-2, 0, 2), repeat=dimensions)), dtype=torch.double)
    with torch.no_grad():
        made.positions.copy_(at.T[:, None, None].expand_as(made.positions))
    x = torch.randn(2, 4, *[9] * dimensions, dtype=torch.double)
    convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[dimensions - 1]
    weight = made.weight.unflatten(2, (3,) * dimensions)
    expected = convolve(x, weight, made.bias, stride=2, padding=2, dilation=2, groups=2)
    error = (made(x) - expected).abs().max()
    assert error < (1e-12 if interpolation == "bilinear" else 1e-6)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_gradients_are_those_of_differences(interpolation: str) -> None:
    torch.manual_seed(0)
    made = layer((3, 5), 2, interpolation, (2, 2))

    def kernel(*tensors: Tensor) -> Tensor:
        names = [name for name, _ in made.named_parameters() if name != "bias"]
        state = dict(zip(names, tensors, strict=True))
        return torch.func.functional_call(made, state, (torch.ones(1, 2, 9, 9).double(),))

    held = [p for name, p in made.named_parameters() if name != "bias"]
    assert len(held) == (3 if interpolation in ("max", "gauss") else 2)
    assert torch.autograd.gradcheck(kernel, held)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_position_on_the_border_can_move_back(interpolation: str) -> None:
    torch.manual_seed(0)
    made = layer((5, 3), 2, interpolation)
    with torch.no_grad():
        made.positions.fill_(9)
    made.clamp_positions()
    assert made.positions[0].eq(2).all()
    assert made.positions[1].eq(1).all()
    kernel = made.build_kernel()
    (kernel * torch.randn_like(kernel)).sum().backward()
    assert made.positions.grad.ne(0).all()


def test_start() -> None:
    torch.manual_seed(0)
    made = DCLS.layer()(16, 32, (3, 17), 8, "gauss", groups=2)
    bound = (8 * 8) ** -0.5
    for weight in (made.weight, made.bias):
        assert 0.8 * bound < weight.abs().max() <= bound
    assert made.positions[0].abs().max() == 1
    assert made.positions[1].std().item() == pytest.approx(0.5, rel=0.1)
    assert made.scales.eq(0.23).all()


# -- what it counts and becomes ------------------------------------------------------------------
def test_counts() -> None:
    x = Shape(96, (14, 14))
    for interpolation, per_weight in (("bilinear", 3), ("triangle", 3), ("max", 5), ("gauss", 5)):
        op = DCLS(kernel_size=17, taps=34, interpolation=interpolation, group_size=1, bias=True)
        assert op.params(x) == 96 * 34 * per_weight + 96
        assert op.macs(x) == 96 * 17 * 17 * 14 * 14
        assert op.fan_in(x) == 34
        assert op.with_(shares_positions=True).params(x) == 96 * 34 + 96
        assert op.deployed(x).params(x) == 96 * 17 * 17 + 96
    line = DCLS(8, 9, taps=4, groups=2, interpolation="bilinear")
    assert line.params(Shape(6, (20,))) == 8 * 3 * 4 * (1 + 1)
    assert line.fan_in(Shape(6, (20,))) == 3 * 4
    volume = DCLS(8, 3, taps=4, interpolation="gauss")
    assert volume.params(Shape(6, (9, 9, 9))) == 8 * 6 * 4 * (1 + 3 + 3)


# -- sharing within a stage ----------------------------------------------------------------------
def block(
    interpolation: str = "gauss", shares: bool = False, kernel_size: int = 5
) -> ConvNeXtBlock:
    conv = DCLS(
        kernel_size=kernel_size,
        taps=4,
        interpolation=interpolation,
        group_size=1,
        shares_positions=shares,
    )
    return ConvNeXtBlock(8, conv=conv, layer_scale=1.0)


def network(*stages: Stage) -> Architecture:
    return Architecture(PatchStem(8, 2), stages, Classifier(5), (3, 16, 16))


def sharing(interpolation: str = "gauss") -> Architecture:
    """Two stages, each of which learns its positions once."""
    own, shares = block(interpolation), block(interpolation, shares=True)
    first = Stage((Run(own), Run(shares, 2)))
    return network(first, Stage((Run(NormDownsample(8)), Run(own), Run(shares))))


X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_shared_positions_are_one_weight(interpolation: str) -> None:
    """The same outputs and summed gradients as blocks of equal positions of their own."""
    net = build(sharing(interpolation)).double()
    own, between = block(interpolation), Run(NormDownsample(8))
    apart = build(network(Stage((Run(own, 3),)), Stage((between, Run(own, 2))))).double()
    state = net.state_dict()
    owners = {}
    for name in apart.state_dict():
        if name.endswith((".positions", ".scales")):
            _, stage, _, *rest = name.split(".")
            owners[name] = ".".join(["stages", stage, stage, *rest])  # the first, the second block
    apart.load_state_dict(state | {name: state[owner] for name, owner in owners.items()})
    assert cost(sharing(interpolation)).params == sum(p.numel() for p in net.parameters())
    assert set(state) == set(apart.state_dict()) - {n for n, owner in owners.items() if n != owner}

    x = X.double()
    assert torch.equal(net(x), apart(x))
    net(x).pow(2).sum().backward()
    apart(x).pow(2).sum().backward()
    single = dict(apart.named_parameters())
    for name, parameter in net.named_parameters():
        alike = [n for n, owner in owners.items() if owner == name] or [name]
        expected = sum(single[n].grad for n in alike)
        assert expected.abs().max() > 0
        assert_alike(parameter.grad, expected)


def test_copies_and_files_of_a_network_share_among_themselves() -> None:
    net = build(sharing()).eval()
    again = [deepcopy(net), pickle.loads(pickle.dumps(net))]
    with torch.no_grad():
        expected = net(X)
        for copy in again:
            assert torch.equal(copy(X), expected)
            copy.stages[0][0].conv.positions.neg_()
            assert not torch.allclose(copy(X), expected)
    assert torch.equal(net(X), expected)


def test_deployed_network_has_plain_kernels() -> None:
    architecture = sharing()
    net = build(architecture).double().eval()
    merged = deploy(net, architecture)
    with torch.no_grad():
        assert_alike(merged(X.double()), net(X.double()))
    kernels = [m for m in merged.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (5, 5)]
    assert len(kernels) == 5
    assert "LearnableSpacings" not in source(architecture, deployed=True)


def test_positions_are_those_of_the_nearest_layer_like_it() -> None:
    runs = [block(), block(kernel_size=7), block(), block(kernel_size=9), block(shares=True)]
    convs = [b.conv for b in build(network(Stage(tuple(map(Run, runs))))).stages[0]]
    assert convs[4].owner == (convs[2],)


def test_sharing_needs_an_owner() -> None:
    alone = network(Stage((Run(block(shares=True)),)))
    with pytest.raises(IllegalArchitecture, match=r"stages\.0\.0\.conv: DCLS uses the weights of"):
        source(alone)
    before = network(Stage((Run(block()),)), Stage((Run(block(shares=True)),)))
    with pytest.raises(IllegalArchitecture, match=r"stages\.1\.0\.conv"):
        source(before)
    unlike = network(Stage((Run(block(kernel_size=7)), Run(block(shares=True)))))
    with pytest.raises(ValueError, match="no layer before it in its stage"):
        build(unlike)


# -- the kept kernel -----------------------------------------------------------------------------
def test_kernel_is_kept_in_evaluation_until_a_weight_changes() -> None:
    net = build(sharing()).eval()
    owner, sharer = net.stages[0][0].conv, net.stages[0][2].conv
    with torch.no_grad():
        kept = sharer.kernel()
        assert sharer.kernel() is kept
        owner.scales.add_(0.1)
        assert not torch.allclose(sharer.kernel(), kept)

    def fresh() -> None:
        """Whether what is used is what the weights of now give."""
        with torch.no_grad():
            for made in (owner, sharer):
                assert torch.equal(made.kernel(), made.build_kernel())
                assert made.kernel() is made.kernel()

    fresh()
    optimiser = torch.optim.SGD(net.parameters(), 1.0)
    net.train()(X).sum().backward()
    optimiser.step()
    net.eval()
    fresh()
    net.load_state_dict(build(sharing()).state_dict())
    fresh()
    net.load_state_dict(build(sharing()).state_dict(), assign=True)
    fresh()
    net.double()
    fresh()
    assert sharer.kernel().dtype == torch.double
    with torch.no_grad():
        kept = sharer.kernel()
    assert sharer.kernel() is not kept
    assert sharer.kernel().requires_grad


def test_kernel_changed_unseen_is_built_anew_by_training() -> None:
    made = layer((5, 5), 4, "gauss")
    x = torch.randn(1, 4, 9, 9, dtype=torch.double)
    with torch.no_grad():
        made.eval()(x)
        made.weight.data.neg_()
        made.train()(x)
        assert torch.equal(made.eval().kernel(), made.build_kernel())


def test_exported_program_holds_the_positions_once(tmp_path: Path) -> None:
    net, path = build(sharing()).eval(), tmp_path / "net.pt2"
    with torch.no_grad():
        expected = net(X)
    export(sharing(), path, "torch-export", net)
    program = torch.export.load(path)
    assert sum(name.endswith("positions") for name in program.state_dict) == 2
    assert_alike(program.module()(X), expected)


# -- what it refuses -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({"kernel_size": 4}, (9, 9), "DCLS: kernel_size 4 is even; 3 or 5"),
        ({"kernel_size": 3, "taps": 10}, (9, 9), "DCLS: 10 taps .* kernel_size of 3 .* most 9 fit"),
        ({"kernel_size": (3, 1), "taps": 4}, (9, 9), "at most 3 fit"),
        (
            {"kernel_size": (3, 3), "taps": 2},
            (9, 9, 9),
            r"DCLS: kernel_size \(3, 3\) does not fit 3",
        ),
        ({"taps": 0}, (9, 9), "taps of DCLS is 0; it must be at least 1"),
        ({"dilation": -1}, (9, 9), "dilation of DCLS is -1"),
        (
            {"group_size": 5},
            (9, 9),
            "DCLS: 16 channels do not split evenly by group_size 5; 4 or 8",
        ),
        ({"interpolation": "bilinaer"}, (9, 9), "DCLS: .* 'bilinaer'; did you mean bilinear"),
        ({}, (), "DCLS needs a spatial input"),
    ],
)
def test_refusals(fields: dict[str, Any], size: tuple[int, ...], message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        DCLS(**fields).shape(Shape(16, size))


# -- Separable, the space ------------------------------------------------------------------------
def test_separable_changes_channels_of_what_cannot() -> None:
    """Depthwise learnable spacings and a 1x1 are their two layers one after the other."""
    recipe = Separable(24, 2, DCLS(kernel_size=5, taps=3, group_size=1), bias=True)
    first, second = trace(recipe, Shape(16, (9, 9))).nodes()
    assert first.op == DCLS(16, 5, 2, taps=3, group_size=1)
    assert (first.shape, second.shape) == (Shape(16, (5, 5)), Shape(24, (5, 5)))
    assert second.op.pointwise
    assert set(second.op.weights(*second.x)) == {"weight", "bias"}
    named = [node.name for node in trace(Separable(conv=depthwise(3)), Shape(16, (9,))).nodes()]
    assert named == ["spatial", "pointwise"]


def test_space_is_drawn_around_the_published_networks() -> None:
    """But for shared positions: every block of the space has its own."""
    space, objective = find_space("convnext-dcls"), find_objective("deepmad")
    published = ["tiny_dcls", "small_dcls", "base_dcls", "tiny_dcls_gauss"]
    for name in published:
        assert objective.effectiveness(models.get(f"convnext_{name}")) <= space.effectiveness
    for part, stage in zip(space.stages, models.get("convnext_tiny_dcls").stages, strict=True):
        *_, own, shares = stage.runs
        width = getattr(own.block, "width", 0)
        blocks = part.build({"width": width}, 1 + shares.repeats).runs
        assert blocks[-1] == Run(own.block, 1 + shares.repeats)
        assert [run.block for run in blocks[:-1]] == [run.block for run in stage.runs[:-2]]
