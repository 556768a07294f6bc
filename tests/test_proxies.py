"""Training-free proxies against computations of their own: a small residual network written out by
hand, explicit loops over pairs of inputs and over weights, closed forms, finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.dense_prediction import FCNHead
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.nets.build import build
from archsearch.operator import Operator
from archsearch.operators.activation import SiLU, Tanh
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import BatchNorm, GroupNorm, LayerNorm
from archsearch.operators.pooling import AvgPool
from archsearch.proxies.fresh import BATCH, fresh, gradients, normal_batch, seeded
from archsearch.proxies.grad_norm import grad_norm
from archsearch.proxies.naswot import naswot
from archsearch.proxies.snip import snip
from archsearch.proxies.synflow import synflow
from archsearch.proxies.zen import STEP, features, main_layers, zen
from archsearch.proxies.zico import zico
from archsearch.recipes.squeeze_excitation import SqueezeExcitation

torch.set_num_threads(1)

RESIDUAL = Architecture(
    ConvNormAct(4), (Stage.of(BasicBlock(6), 2, stride=2, projects=True),), Classifier(3), (3, 6, 6)
)
"""Two residual blocks, the first with a projection: what ``by_hand`` computes."""
PROXIES: tuple[Callable[..., float], ...] = (zen, naswot, synflow, grad_norm, snip, zico)
SEED = 5


def norm(x: Tensor) -> Tensor:
    """Batch norm in training, at its start."""
    dims = (0, 2, 3)
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dims, keepdim=True) + 1e-5).sqrt()


class ByHand:
    """RESIDUAL written out, with the weights of a network that archsearch built."""

    def __init__(self, weights: dict[str, Tensor], normalised: bool = True) -> None:
        self.w = weights
        self.norm = norm if normalised else lambda x: x
        self.before: list[Tensor] = []
        """What each activation gets."""

    def relu(self, x: Tensor) -> Tensor:
        self.before.append(x)
        return x.clamp(min=0)

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.w[f"{name}.weight"]
        y = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        return self.norm(y)

    def features(self, x: Tensor, links: bool = True) -> Tensor:
        x = self.relu(self.conv("stem.conv", x))
        for block, stride in (("stages.0.0", 2), ("stages.0.1", 1)):
            y = self.relu(self.conv(f"{block}.conv1", x, stride))
            y = self.conv(f"{block}.conv2", y)
            if links:
                y = y + (self.conv(f"{block}.shortcut", x, 2) if stride == 2 else x)
            x = self.relu(y)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        pooled = self.features(x).mean((2, 3))
        bias = self.w.get("head.classifier.bias", torch.zeros(()))
        return pooled @ self.w["head.classifier.weight"].T + bias


def loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, written out."""
    chosen = scores[torch.arange(len(labels)), labels]
    return (scores.exp().sum(1).log() - chosen).mean()


def drawn(start: Callable[[Tensor], object] | None = None) -> dict[str, Tensor]:
    """The weights a proxy starts RESIDUAL with."""
    with seeded(SEED):
        net, _ = fresh(RESIDUAL, start)
    return {name: tensor.detach().clone() for name, tensor in net.named_parameters()}


def contracting(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if tensor.dim() > 1}


def a_batch(count: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(count, 3, 6, 6, generator=generator)
    return x, torch.arange(count) % 3


# -- how networks start --------------------------------------------------------------------------
def test_the_network_by_hand_is_the_built_one() -> None:
    with seeded(SEED):
        net, weights = fresh(RESIDUAL)
    x, _ = a_batch()
    torch.testing.assert_close(ByHand(dict(net.named_parameters()))(x), net(x))
    assert set(weights) == {name for name, p in net.named_parameters() if p.dim() > 1}


def test_weights_start_as_pytorch_starts_them_and_no_branch_starts_at_zero() -> None:
    weights = drawn()
    for name, tensor in weights.items():
        if tensor.dim() > 1 or name == "head.classifier.bias":
            fan_in = weights[name.replace("bias", "weight")][0].numel()
            assert 0.5 / math.sqrt(fan_in) < tensor.abs().max() <= 1 / math.sqrt(fan_in)
        else:
            assert torch.equal(tensor, torch.full_like(tensor, float(name.endswith("weight"))))
    net, _ = fresh(models.get("convnext_atto"))
    scales = [m.weight for m in net.modules() if type(m).__name__ == "LayerScale"]
    assert scales
    assert all(torch.equal(scale, torch.ones_like(scale)) for scale in scales)


def test_dropout_is_off() -> None:
    net, _ = fresh(replace(RESIDUAL, head=FCNHead(ratio=Fraction(1, 2), upsample=None)))
    assert net.training
    dropouts = [m for m in net.modules() if isinstance(m, nn.Dropout)]
    assert all(m.p == 0 for m in dropouts)
    assert dropouts


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_seed_alone_decides_and_nothing_outside_changes(proxy: Callable[..., float]) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = proxy(RESIDUAL, 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    with torch.no_grad():
        assert proxy(RESIDUAL, 3) == first
    assert proxy(RESIDUAL, 4) != first


# -- each against a computation of its own -------------------------------------------------------
def test_zen_score() -> None:
    weights = drawn(nn.init.normal_)
    with seeded(SEED):
        fresh(RESIDUAL, nn.init.normal_)
        x = torch.randn(BATCH, 3, 6, 6)
        moved = x + 0.01 * torch.randn(BATCH, 3, 6, 6)
    variances: list[Tensor] = []

    class Noted(ByHand):
        def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
            weight = self.w[f"{name}.weight"]
            y = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
            variances.append(torch.stack([channel.var(unbiased=False) for channel in y.unbind(1)]))
            return norm(y)

    first = Noted(weights).features(x, links=False)
    given_back = sum(math.log(math.sqrt(float(own.mean()))) for own in variances)
    assert len(variances) == 5
    second = ByHand(weights).features(moved, links=False)
    change = np.mean(
        [float((a - b).pow(2).sum().sqrt()) for a, b in zip(first, second, strict=True)]
    )
    assert STEP == 0.01
    assert zen(RESIDUAL, SEED) == pytest.approx(math.log(change) + given_back, rel=1e-5)


def by_channel(x: np.ndarray) -> float:
    return float(np.mean([np.var(x[:, c]) for c in range(x.shape[1])]))


def by_position(x: np.ndarray) -> float:
    places = product(range(len(x)), range(x.shape[2]), range(x.shape[3]))
    return float(np.mean([np.var(x[n, :, i, j]) for n, i, j in places]))


def by_half(x: np.ndarray) -> float:
    half = x.shape[1] // 2
    return float(np.mean([np.var(part) for n in x for part in (n[:half], n[half:])]))


@pytest.mark.parametrize(
    ("kind", "variance"),
    [(BatchNorm(), by_channel), (LayerNorm(), by_position), (GroupNorm(2), by_half)],
)
def test_zen_score_sees_what_each_norm_divides_by(
    kind: Operator, variance: Callable[[np.ndarray], float]
) -> None:
    block = ConvNormAct(6, norm=kind)
    chain = Architecture(None, (Stage.of(block, 2),), Classifier(3), (3, 6, 6))
    with seeded(SEED), torch.no_grad():
        net, _ = fresh(chain, nn.init.normal_)
        x = torch.randn(4, 3, 6, 6)
        seen: list[Tensor] = []
        last = features(net, chain.trace(), x, seen.append)
        torch.testing.assert_close(last, net.forward_features(x))
        first = net.get_submodule("stages.0.0.conv")(x)
        second = net.get_submodule("stages.0.1.conv")(net.get_submodule("stages.0.0")(x))
    expected = [variance(y.double().numpy()) for y in (first, second)]
    assert [float(each) for each in seen] == pytest.approx(expected, rel=1e-4)


def test_zen_score_leaves_out_residual_links_and_squeezed_gates() -> None:
    block = InvertedResidual(4, expansion=2, squeeze_excitation=SqueezeExcitation())
    root = replace(RESIDUAL, stages=(Stage((Run(block),)),)).trace()
    (head,) = [part for part in root.children if part.name == "head"]
    steps = main_layers(root, head.inputs[0].name)
    inner = [node.name.removeprefix("stages.0.0.") for node, _ in steps[3:]]
    assert inner == [
        "expand", "expand_norm", "expand_act", "conv", "conv_norm", "conv_act", "se.scale",
        "project", "project_norm", "add",
    ]  # fmt: skip
    reads = {node.name: names for node, names in steps}
    assert reads["stages.0.0.add"] == ("stages.0.0.project_norm",)
    assert reads["stages.0.0.se.scale"] == ("stages.0.0.conv_act",)


def test_naswot_counts_hamming_distances() -> None:
    x, labels = a_batch()
    by_hand = ByHand(drawn())
    by_hand(x)
    codes = [[bit for layer in by_hand.before for bit in (layer[i] > 0).flatten().tolist()]
             for i in range(len(x))]  # fmt: skip
    units = len(codes[0])
    kernel = [
        [units - sum(p != q for p, q in zip(a, b, strict=True)) for b in codes] for a in codes
    ]
    sign, expected = np.linalg.slogdet(np.array(kernel, dtype=float))
    assert sign > 0
    assert naswot(RESIDUAL, SEED, (x, labels)) == pytest.approx(expected, rel=1e-9)


def test_naswot_does_not_mind_the_order_of_inputs_and_knows_equal_ones() -> None:
    x, labels = a_batch()
    value = naswot(RESIDUAL, SEED, (x, labels))
    turned = (x.flip(0), labels.flip(0))
    assert naswot(RESIDUAL, SEED, turned) == pytest.approx(value, rel=1e-6)
    twins = (x[[0, 1, 2, 3, 4, 5, 6, 6]], labels)
    assert naswot(RESIDUAL, SEED, twins) == -math.inf


def test_naswot_of_other_activations() -> None:
    """Signs of what they get, counted on a network that has one layer of them."""
    for act in (SiLU(), Tanh()):
        chain = Architecture(
            None, (Stage.of(ConvNormAct(5, norm=None, activation=act)),), Classifier(2), (2, 4, 4)
        )
        with seeded(SEED):
            net, _ = fresh(chain)
            x, _ = normal_batch(chain)
        on = net.get_submodule("stages.0.0.conv")(x) > 0
        same = (on[:, None] == on[None]).flatten(2).sum(2)
        expected = np.linalg.slogdet(same.numpy().astype(float))[1]
        assert naswot(chain, SEED) == pytest.approx(expected, rel=1e-9)
    linear = (Stage.of(ConvNormAct(5, activation=None)),)
    assert naswot(Architecture(None, linear, Classifier(2), (2, 4, 4)), SEED) == -math.inf


def test_synflow_of_a_chain_is_the_product_of_absolute_weights() -> None:
    block = ConvNormAct(4, conv=Convolution(), norm=None)  # it has a bias, which is left out
    stages = tuple(Stage.of(replace(block, width=w)) for w in (4, 7, 5))
    chain = Architecture(None, stages, Classifier(3), (2, 1, 1))
    with seeded(SEED):
        _, weights = fresh(chain)
    flow = np.ones(2)
    for weight in weights.values():
        matrix = weight.detach().numpy().astype(float)
        flow = np.abs(matrix.reshape(len(matrix), -1)) @ flow
    assert len(weights) == 4
    expected = math.log(4 * flow.sum())  # each of the four layers carries the whole flow
    assert synflow(chain, SEED) == pytest.approx(expected, rel=1e-12)


def test_synflow_of_a_residual_network_without_norms() -> None:
    weights = {
        name: tensor.double().abs().requires_grad_()
        for name, tensor in contracting(drawn()).items()
    }
    total = ByHand(weights, normalised=False)(torch.ones(1, 3, 6, 6, dtype=torch.float64)).sum()
    total.backward()
    expected = sum(float((w.detach() * w.grad).sum()) for w in weights.values())
    assert synflow(RESIDUAL, SEED) == pytest.approx(math.log(expected), rel=1e-12)


def test_synflow_of_a_deep_network_does_not_overflow() -> None:
    """Its flow is beyond single precision."""
    deep = Architecture(None, (Stage.of(ConvNormAct(64), 60),), Classifier(3), (3, 2, 2))
    assert math.log(torch.finfo(torch.float32).max) < synflow(deep) < math.inf


def test_grad_norm() -> None:
    batch = a_batch()
    weights = {name: tensor.requires_grad_() for name, tensor in drawn().items()}
    loss(ByHand(weights)(batch[0]), batch[1]).backward()
    norms = [math.sqrt(float(w.grad.square().sum())) for w in contracting(weights).values()]
    assert len(norms) == 7
    assert grad_norm(RESIDUAL, SEED, batch) == pytest.approx(sum(norms), rel=1e-4)


def test_snip_by_finite_differences() -> None:
    """How the loss changes with a factor on each weight, weight by weight."""
    small = Architecture(None, (Stage.of(ConvNormAct(3)),), Classifier(2), (2, 3, 3))
    x, _ = a_batch(6)
    batch = (x[:, :2, :3, :3], torch.tensor([0, 1, 1, 0, 1, 0]))
    with seeded(SEED):
        _, found = fresh(small, nn.init.kaiming_normal_)
    conv, last = (weight.detach().double() for weight in found.values())

    def lost() -> float:
        y = norm(functional.conv2d(batch[0].double(), conv, padding=1)).clamp(min=0)
        return float(loss(y.mean((2, 3)) @ last.T, batch[1]))

    total, step = 0.0, 1e-5
    for weight in (conv, last):
        for place in product(*map(range, weight.shape)):
            kept = float(weight[place])
            changed = []
            for factor in (1 + step, 1 - step):
                weight[place] = kept * factor
                changed.append(lost())
            weight[place] = kept
            total += abs(changed[0] - changed[1]) / (2 * step)
    assert snip(small, SEED, batch) == pytest.approx(total, rel=1e-4)


def test_zico_from_the_gradients_of_two_batches() -> None:
    batch = a_batch(12)
    grads = []
    for part in (slice(0, 6), slice(6, 12)):
        weights = {name: tensor.requires_grad_() for name, tensor in drawn().items()}
        loss(ByHand(weights)(batch[0][part]), batch[1][part]).backward()
        grads.append({n: w.grad.flatten().tolist() for n, w in contracting(weights).items()})
    expected = 0.0
    for name in grads[0]:
        ratios = 0.0
        for a, b in zip(grads[0][name], grads[1][name], strict=True):
            mean, size = (a + b) / 2, (abs(a) + abs(b)) / 2
            deviation = math.sqrt(((a - mean) ** 2 + (b - mean) ** 2) / 2)
            ratios += size / deviation if deviation else 0.0
        expected += math.log(ratios)
    assert zico(RESIDUAL, SEED, batch) == pytest.approx(expected, rel=1e-3)


def test_gradients_are_those_of_the_network() -> None:
    """Also where a proxy draws its batch itself: inputs and labels are standard normal and even."""
    with seeded(SEED):
        net, weights = fresh(RESIDUAL)
        x, labels = normal_batch(RESIDUAL, 600)
    assert abs(float(x.mean())) < 0.01 and abs(float(x.std()) - 1) < 0.01
    assert min(labels.bincount(minlength=3)) > 150
    functional.cross_entropy(net(x), labels).backward()
    for name, gradient in gradients(net, weights, (x, labels)).items():
        torch.testing.assert_close(gradient, weights[name].grad)


# -- what is counted -----------------------------------------------------------------------------
def fields() -> list[Architecture]:
    """Networks without activations, so that every weight in reach has a gradient."""
    plain, found = ConvNormAct(2, norm=None, activation=None), []
    for kernel, stride, dilation in ((3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 2)):
        conv = Convolution(kernel_size=kernel, dilation=dilation)
        own = Stage.of(replace(plain, conv=conv), 2, stride=stride)
        found.append(Architecture(plain, (own,), Classifier(2), (1, 41, 41)))
    pooled = replace(plain, pool=AvgPool(3, 2, padding=1))
    stages = Stage.of(replace(plain, conv=depthwise(7))), Stage.of(plain, stride=2)
    return [*found, Architecture(pooled, stages, Classifier(2), (1, 61, 61))]


@pytest.mark.parametrize("network", fields())
def test_receptive_field_is_how_far_gradients_reach(network: Architecture) -> None:
    net = build(network).double()
    x = torch.zeros(1, *network.input, dtype=torch.float64, requires_grad=True)
    y = net.forward_features(x)
    y[0, :, y.shape[2] // 2, y.shape[3] // 2].sum().backward()
    for dimension in (0, 1):
        places = x.grad[0, 0].abs().sum(dimension).nonzero().flatten()
        assert int(places.max() - places.min()) + 1 == cost(network).receptive_field


# -- any network, any batch ----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["mobilenetv3_large_100", "emo_1m"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_published_networks_can_be_judged(name: str, proxy: Callable[..., float]) -> None:
    network = replace(models.get(name), input=(3, 32, 32)).with_classes(10)
    assert math.isfinite(proxy(network, 0))


@pytest.mark.parametrize("proxy", PROXIES)
def test_networks_that_give_maps_and_networks_of_one_dimension(proxy: Callable[..., float]) -> None:
    maps = replace(models.get("espcn_x3"), input=(1, 8, 8))
    assert not math.isnan(proxy(maps, 0))
    line = Architecture(ConvNormAct(4), (Stage.of(ConvNormAct(4)),), Classifier(3), (2, 16))
    assert math.isfinite(proxy(line, 0))


@pytest.mark.parametrize("proxy", [naswot, grad_norm, snip, zico])
def test_a_batch_that_does_not_fit_is_refused(proxy: Callable[..., float]) -> None:
    x, labels = a_batch()
    for batch, words in (
        ((x[:1], labels[:1]), "the batch has 1 inputs"),
        ((x[:, :, :5], labels), "inputs of 3x5x6, the network takes 3x6x6"),
        ((x, labels[:4]), "labels of the batch are 4, not 8"),
        ((x, labels + 1), "labels go from 1 to 3; the network tells 3 classes apart"),
    ):
        with pytest.raises(UserError, match=words):
            proxy(RESIDUAL, 0, batch)
