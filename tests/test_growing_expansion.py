"""Growing while training: the score, and whether it grows where that pays and only there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.growth.carry import grown_state
from archsearch.growth.expansion import (
    Expansion,
    Scored,
    best_expansion,
    diagonal_score,
    natural_score,
)
from archsearch.growth.plan import plan
from archsearch.nets.build import build

SIZE = (2, 6, 6)


def network(width: int, depth: int = 1) -> Architecture:
    """A stem, which all widening is in, and blocks that do not change it."""
    runs = (Run(BasicBlock(width), depth),)
    return Architecture(ConvNormAct(width), (Stage(runs),), Classifier(4), SIZE)


def hidden(width: int) -> Architecture:
    """One hidden layer of ``width`` features before the classifier."""
    return Architecture(None, (Stage((Run(ConvNormAct(width)),)),), Classifier(4), SIZE)


def test_the_published_example() -> None:
    gradients = torch.tensor([[1.0, 0, 2], [1, 1, 0], [1, -1, 1]])
    assert diagonal_score(gradients.mean(0), gradients.square().mean(0), 0) == pytest.approx(1.6)


def test_scores_are_those_of_gradients_one_by_one() -> None:
    """Against autograd, a picture at a time, in eval mode; nothing of the network changes."""
    torch.manual_seed(0)
    net = build(network(4, 2)).train()
    images, labels = torch.randn(37, *SIZE), torch.randint(4, (37,))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    score = natural_score(net, images, labels)
    assert net.training
    assert all(torch.equal(before[name], own) for name, own in net.state_dict().items())
    net.eval()
    weights = list(net.parameters())
    rows = []
    for image, label in zip(images, labels, strict=True):
        loss = functional.cross_entropy(net(image[None]), label[None])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
    stacked = torch.stack(rows).double()
    expected = diagonal_score(stacked.mean(0), stacked.square().mean(0))
    assert score == pytest.approx(expected, rel=1e-4)


def data(count: int, seed: int, told: bool) -> tuple[Tensor, Tensor]:
    """Pictures whose channels are bright or dark, and which of the four it is; or, not ``told``,
    labels that nothing can be learnt about."""
    generator = torch.Generator().manual_seed(seed)
    bright = torch.randint(2, (count, 2), generator=generator)
    images = torch.randn(count, *SIZE, generator=generator) + 2.0 * bright[:, :, None, None] - 1
    labels = 2 * bright[:, 0] + bright[:, 1]
    return images, labels if told else torch.randint(4, (count,), generator=generator)


def trained(architecture: Architecture, images: Tensor, labels: Tensor, steps: int) -> nn.Module:
    torch.manual_seed(1)
    net = build(architecture).train()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-2)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps + 1)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        optimiser.step()
        rate.step()
    return net


def best(
    old: Architecture, net: nn.Module, widths: Sequence[int], *data: Tensor, **more: Any
) -> Scored:
    found = best_expansion(net, *data, (plan(old, hidden(width)) for width in widths), **more)
    assert found is not None
    return found


@pytest.mark.parametrize("told", [True, False])
def test_it_widens_where_that_pays(told: bool) -> None:
    """One feature tells four classes apart badly, and more of them help; unless there is
    nothing to tell apart."""
    old = hidden(1)
    net = trained(old, *data(512, 0, told), steps=150)
    found = best(old, net, [4], *data(512, 1, told))
    assert Expansion().worth(found) == told
    assert found.growth.new == hidden(4) and found.present > 0


def test_the_best_of_several_is_taken() -> None:
    net = trained(hidden(1), *data(128, 0, True), steps=20)
    some = data(64, 1, True)
    every = [best(hidden(1), net, [width], *some) for width in (2, 8, 3)]
    found = best(hidden(1), net, [2, 8, 3], *some)
    assert found.score == max(own.score for own in every)
    assert found.growth.new in [own.growth.new for own in every if own.score == found.score]
    assert {own.present for own in every} == {found.present} == {natural_score(net, *some)}


def test_what_is_scored_is_what_the_network_becomes() -> None:
    """With the same draws it has that score."""
    net = trained(hidden(1), *data(128, 0, True), steps=20)
    some = data(64, 1, True)
    found = best(hidden(1), net, [8], *some, seed=5)
    larger = build(hidden(8))
    larger.load_state_dict(grown_state(found.growth, net.state_dict(), 5))
    assert natural_score(larger, *some) == found.score
    assert best(hidden(1), net, [8], *some, seed=6).score != found.score


def test_weights_that_are_added_can_count_against_it() -> None:
    net = trained(hidden(1), *data(128, 0, True), steps=20)
    some = data(64, 1, True)
    for width in (2, 16):
        before = best(hidden(1), net, [width], *some)
        after = best(hidden(1), net, [width], *some, penalty=0.1)
        share = cost(hidden(width)).params / cost(hidden(1)).params - 1
        assert after.score == pytest.approx(before.score * math.exp(-0.1 * share**2))


def test_after_an_expansion_it_waits() -> None:
    """As published: ten epochs, and twice the score."""
    rule = Expansion()
    assert rule.first(None) == 1 and rule.first(1) == 12 and Expansion(wait=0).first(3) == 4
    growth = plan(hidden(1), hidden(2))
    assert rule.worth(Scored(growth, 2.1, 1.0)) and not rule.worth(Scored(growth, 2.0, 1.0))


def test_without_candidates_there_is_none() -> None:
    assert best_expansion(build(hidden(1)), *data(4, 0, True), []) is None


def test_what_cannot_be_scored_is_refused() -> None:
    net, (images, labels) = build(hidden(3)), data(4, 0, True)
    with pytest.raises(UserError, match="2 or more"):
        natural_score(net, images[:1], labels[:1])
    with pytest.raises(UserError, match="of another network"):
        best(hidden(2), net, [4], images, labels)
