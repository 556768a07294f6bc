"""Growing while training: the score, and whether it grows where that pays and only there."""

from __future__ import annotations

import math

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
from archsearch.growth.channels import CannotGrow
from archsearch.growth.expansion import (
    Expansions,
    diagonal_score,
    expand_if_worth,
    natural_score,
)
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


@pytest.mark.parametrize("told", [True, False])
def test_it_widens_where_that_pays(told: bool) -> None:
    """One feature tells four classes apart badly, and more of them help; unless there is
    nothing to tell apart."""
    old = hidden(1)
    net = trained(old, *data(512, 0, told), steps=150)
    images, labels = data(512, 1, told)
    found = expand_if_worth(old, net, images, labels, [hidden(4)])
    assert (found is not None) == told
    if found is not None:
        assert found.score > 2 * found.present > 0
        torch.testing.assert_close(found.net.eval()(images), net.eval()(images))


def test_the_best_of_several_is_taken() -> None:
    net = trained(hidden(1), *data(128, 0, True), steps=20)
    images, labels = data(64, 1, True)
    candidates = [hidden(width) for width in (2, 8, 3)]
    every = [expand_if_worth(hidden(1), net, images, labels, [c], threshold=0) for c in candidates]
    best = max((own for own in every if own), key=lambda own: own.score)
    found = expand_if_worth(hidden(1), net, images, labels, candidates, threshold=0)
    assert found is not None and found.growth.new == best.growth.new and found.score == best.score


def test_weights_that_are_added_can_count_against_it() -> None:
    net = trained(hidden(1), *data(128, 0, True), steps=20)
    images, labels = data(64, 1, True)
    wide, wider = hidden(2), hidden(16)
    plain = [expand_if_worth(hidden(1), net, images, labels, [c], threshold=0)
             for c in (wide, wider)]  # fmt: skip
    held = [expand_if_worth(hidden(1), net, images, labels, [c], threshold=0, penalty=0.1)
            for c in (wide, wider)]  # fmt: skip
    for before, after, new in zip(plain, held, (wide, wider), strict=True):
        assert before is not None and after is not None
        share = cost(new).params / cost(hidden(1)).params - 1
        assert after.score == pytest.approx(before.score * math.exp(-0.1 * share**2))


def test_after_an_expansion_it_waits() -> None:
    """As published: ten epochs. Whatever it compares would be taken."""
    images, labels = data(8, 1, True)
    expansions = Expansions(lambda old: [wider(old)], threshold=0.0)
    now, net = hidden(1), build(hidden(1))
    for epoch in range(1, 30):
        found = expansions.after_epoch(epoch, now, net, images, labels)
        if found is not None:
            now, net = found.growth.new, found.net
    assert [epoch for epoch, _ in expansions.history] == [1, 12, 23]
    assert now == expansions.history[-1][1] == hidden(4)


def wider(old: Architecture) -> Architecture:
    ((run,),) = (stage.runs for stage in old.stages)
    assert isinstance(run.block, ConvNormAct)
    return hidden(run.block.width + 1)


def test_what_cannot_be_grown_is_refused() -> None:
    net, (images, labels) = build(hidden(3)), data(4, 0, True)
    with pytest.raises(CannotGrow):
        expand_if_worth(hidden(3), net, images, labels, [hidden(2)])
    with pytest.raises(UserError, match="2 or more"):
        natural_score(net, images[:1], labels[:1])
    with pytest.raises(UserError, match="of another network"):
        expand_if_worth(hidden(2), net, images, labels, [hidden(4)])
