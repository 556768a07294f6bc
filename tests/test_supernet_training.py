"""Training a supernet: steps on pieces, exact statistics, and scores, against PyTorch by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from supernets import little
from test_training import drawn_data
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from archsearch.blocks.basic import BasicBlock
from archsearch.errors import UserError
from archsearch.members.within import SpaceMembers
from archsearch.nets.build import build
from archsearch.operators.convolution import Convolution
from archsearch.space import Point, choice
from archsearch.supernet.calibrate import calibrate
from archsearch.supernet.layout import Layout
from archsearch.supernet.rules import Rule, Step
from archsearch.supernet.score import Scorer
from archsearch.supernet.slices import sliced
from archsearch.supernet.step import Gradients, Stepper
from archsearch.supernet.training import SupernetTraining
from archsearch.supernet.weights import Supernet
from archsearch.training.loop import Training
from archsearch.training.optimiser import make_optimiser
from archsearch.training.recipe import Recipe

GROUPED = Convolution(kernel_size=3, group_size=choice(2, 4))
SPACE = little(BasicBlock(choice(16, 24), conv=GROUPED))
MEMBERS = SpaceMembers(SPACE)
SGD = {"optimizer": "sgd", "learning_rate": 0.05}


def supernet(double: bool = True) -> Supernet:
    own = Supernet(Layout(SPACE), 0)
    return own.double() if double else own


def points(count: int, seed: int = 0) -> list[Point]:
    return MEMBERS.draw(Random(seed), count)


def batch(size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 1, 8, 8, generator=generator, dtype=torch.float64)
    return x, torch.arange(size) % 4


def training_of(rule: Rule, recipe: Recipe, **more: Any) -> SupernetTraining:
    own = supernet(double=False)
    return SupernetTraining(own, drawn_data(256), recipe, 3, members=MEMBERS, rule=rule, **more)


# -- steps -----------------------------------------------------------------------------------------
def learnt(net: Supernet, gradients: Gradients, point: Point, seed: int) -> None:
    x, labels = batch(seed=seed)
    subnet = net.subnet(SPACE.build(point))
    functional.cross_entropy(subnet(x), labels).backward()
    gradients.take(subnet)


def by_autograd(net: Supernet, some: list[Point]) -> dict[str, Tensor]:
    """Gradients of the shared tensors when each network by itself takes its weights from them."""
    for seed, point in enumerate(some):
        architecture = SPACE.build(point)
        own = build(architecture).double()
        weights = {}
        modules = dict(net.subnet(architecture).named_parameters())
        leaves = {id(leaf.parameter): leaf for leaf in net.subnet(architecture).leaves()}
        for name, parameter in modules.items():
            leaf = leaves.get(id(parameter))
            if leaf is None:
                return {}
            large = net.layout.tensors[leaf.shared].weight
            weights[name] = sliced(net.shared[leaf.shared], large, leaf.weight)
        x, labels = batch(seed=seed)
        logits = functional_call(own, weights, (x,))
        functional.cross_entropy(logits, labels).backward()
    found = {n: p.grad for n, p in net.shared.items() if p.grad is not None}
    for parameter in net.shared.values():
        parameter.grad = None
    return found


def ungathered(seed: int, count: int) -> list[Point]:
    """Members whose groups are of the largest size, so that all their weights are views."""
    some = []
    for point in points(200, seed):
        if SPACE.build(point).stages[1].runs[-1].block.conv.group_size == 4:  # type: ignore[attr-defined]
            some.append(point)
    return some[:count]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_members_add_up_in_the_shared_tensors(count: int, seed: int) -> None:
    net = supernet().train()
    some = ungathered(seed, count)
    gradients = Gradients(net)
    for number, point in enumerate(some):
        learnt(net, gradients, point, number)
    expected = by_autograd(net, some)
    assert expected
    found = gradients.sums()
    assert {leaf.shared for leaf in found} == set(expected)
    for leaf in found:
        whole = expected[leaf.shared]
        own = sliced(whole, net.layout.tensors[leaf.shared].weight, leaf.weight)
        assert leaf.parameter.grad is not None
        torch.testing.assert_close(leaf.parameter.grad, own, rtol=1e-10, atol=1e-13)
        rest = whole.clone()
        sliced(rest, net.layout.tensors[leaf.shared].weight, leaf.weight).zero_()
        assert not rest.any()
    assert not gradients.sums()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_no_member_of_a_step_uses_stays_as_it_is(optimizer: str) -> None:
    net = supernet().train()
    recipe = Recipe(optimizer=optimizer, learning_rate=0.1, weight_decay=0.1)  # type: ignore[arg-type]
    optimiser = make_optimiser(net, recipe, strided=True)
    start = {name: p.detach().clone() for name, p in net.shared.items()}
    stepper, gradients = Stepper(net, optimiser), Gradients(net)
    assert all(p.grad is None for p in net.shared.values())
    assert all(torch.equal(p, start[name]) for name, p in net.shared.items())
    whole = max(points(50), key=lambda p: MEMBERS.costs([p])["params"][0])
    small = min(points(50), key=lambda p: MEMBERS.costs([p])["params"][0])
    for number, point in enumerate((whole, small, small)):
        before = {name: p.detach().clone() for name, p in net.shared.items()}
        memory = {
            (name, key): value.clone()
            for name, p in net.shared.items()
            for key, value in optimiser.state[p].items()
            if isinstance(value, Tensor) and value.dim()
        }
        learnt(net, gradients, point, number)
        pieces = gradients.sums()
        with stepper.on(pieces):
            optimiser.step()
        moved = False
        used = {leaf.shared: leaf for leaf in pieces}
        for name, parameter in net.shared.items():
            changed = parameter.detach() != before[name]
            kept = [v != memory[name, k] for k, v in optimiser.state[parameter].items() if v.dim()]
            if name in used:
                large, leaf = net.layout.tensors[name].weight, used[name]
                moved |= bool(sliced(changed, large, leaf.weight).any())
                for own in (changed, *kept):
                    sliced(own, large, leaf.weight).zero_()
            assert not changed.any()
            assert not any(own.any() for own in kept)
        assert moved
    assert set(optimiser.state) == set(net.shared.values())


def test_what_an_optimiser_remembers_is_as_large_as_the_tensors() -> None:
    recipe = Recipe(epochs=1, batch_size=32, ema=0.0)
    training = training_of(lambda step: drop(step.learn(step.members.draw(step.rng, 1)[0])), recipe)
    training.run()
    tensors = sum(p.numel() for p in training.supernet.shared.values())
    remembered = sum(
        value.numel()
        for state in training.optimiser.state.values()
        for value in state.values()
        if value.dim()
    )
    assert remembered == 2 * tensors
    assert all(p.grad is None for p in training.supernet.shared.values())


def drop(answer: object) -> None:
    """A rule gives nothing back."""


@pytest.mark.parametrize("seed", range(3))
def test_one_member_learns_as_the_network_by_itself(seed: int) -> None:
    (point,) = points(1, seed)
    recipe = Recipe(epochs=2, batch_size=32, ema=0.0, clip=0.5, **SGD)  # type: ignore[arg-type]
    training = training_of(lambda step: drop(step.learn(point)), recipe)
    network = build(SPACE.build(point))
    network.load_state_dict(training.supernet.subnet(SPACE.build(point)).state_dict())
    alone = Training(network, drawn_data(256), recipe, 3)
    assert training.run() == alone.run() == "finished"
    for own, other in zip(training.history, alone.history, strict=True):
        assert own["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)
    subnet = training.supernet.subnet(SPACE.build(point))
    trained = dict(network.named_parameters())
    for name, parameter in subnet.named_parameters():
        torch.testing.assert_close(parameter, trained[name], rtol=2e-2, atol=2e-4)


def test_a_step_is_decided_by_weights_seed_and_number() -> None:
    drawn: list[list[Point]] = []

    def rule(step: Step) -> None:
        drawn[-1].append(step.members.draw(step.rng, 1)[0])
        step.learn(drawn[-1][-1])

    recipe = Recipe(epochs=2, batch_size=64, ema=0.0)
    results = []
    for _ in range(2):
        drawn.append([])
        training = training_of(rule, recipe)
        training.run()
        results.append([p.detach().clone() for p in training.supernet.shared.values()])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# -- statistics ------------------------------------------------------------------------------------
def batches(unequal: bool = True) -> list[Tensor]:
    """Batches whose means differ: what is lost by averaging their variances is large."""
    generator = torch.Generator().manual_seed(1)
    sizes = (8, 4, 5) if unequal else (8, 8)
    return [
        torch.randn(size, 3, 4, 4, generator=generator, dtype=torch.float64) + 3 * i
        for i, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("unequal", [True, False])
def test_statistics_are_those_of_all_batches_as_one(unequal: bool) -> None:
    norm = nn.BatchNorm2d(3).double()
    norm.running_mean = torch.full((3,), 7.0, dtype=torch.float64)
    calibrate(norm, batches(unequal))
    together = torch.cat(batches(unequal)).transpose(0, 1).flatten(1)
    assert norm.running_mean is not None and norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, together.mean(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(norm.running_var, together.var(1), rtol=1e-12, atol=0)


class Fails(Exception):
    pass


@pytest.mark.parametrize("fails", [True, False])
def test_modes_and_momenta_are_as_before_whatever_happens(fails: bool) -> None:
    frozen = nn.BatchNorm2d(3, momentum=0.3).eval()
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3, momentum=None), frozen).double()
    net[1].running_mean.fill_(0.5)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [layer.training for layer in net.modules()]

    def some() -> Iterator[Tensor]:
        yield from batches()
        if fails:
            raise Fails

    with pytest.raises(Fails) if fails else torch.no_grad():
        calibrate(net, some())
    assert [layer.training for layer in net.modules()] == modes
    assert [net[1].momentum, net[2].momentum] == [None, 0.3]
    assert not any(layer._forward_hooks for layer in net.modules())
    same = all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert same == fails
    assert torch.equal(net[1].weight, before["1.weight"])


def test_dropout_is_off_where_statistics_are_taken() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3)).double().train()
    calibrate(net, batches())
    plain = nn.BatchNorm2d(3).double()
    calibrate(plain, batches())
    assert torch.equal(net[1].running_var, plain.running_var)


# -- scores ----------------------------------------------------------------------------------------
def test_statistics_come_from_training_pictures_alone() -> None:
    data, net = drawn_data(256), supernet(double=False)
    other = replace(data, validation=data.validation.select(np.arange(10)))
    (point,) = points(1)
    first, second = (
        Scorer(net, each, pictures=64).network(SPACE.build(point)).state_dict()
        for each in (data, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = Scorer(net, data, pictures=64, seed=1).network(SPACE.build(point)).state_dict()
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_a_network_answers_as_its_score_says() -> None:
    data, net = drawn_data(256), supernet(double=False)
    scorer = Scorer(net, data, judged=None)
    some = [SPACE.build(point) for point in points(4)]
    scores = scorer.scores(some)
    images = torch.from_numpy(data.validation.images.batch(np.arange(len(data.validation))))
    mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in (data.mean, data.deviation))
    x, labels = (images / 255 - mean) / deviation, torch.from_numpy(data.validation.labels)
    for architecture, score in zip(some, scores, strict=True):
        with torch.no_grad():
            logits = scorer.network(architecture)(x)
        assert score.accuracy == float((logits.argmax(1) == labels).double().mean())
        loss = float(functional.cross_entropy(logits, labels))
        assert score.loss == pytest.approx(loss, rel=1e-4)
    assert scorer.scores(some[::-1]) == scores[::-1]


def test_there_have_to_be_pictures_to_judge_by() -> None:
    data = drawn_data(64)
    empty = replace(data, validation=data.validation.select(np.arange(0)))
    with pytest.raises(UserError, match="no validation pictures"):
        Scorer(supernet(double=False), empty)
