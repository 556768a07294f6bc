"""Channels in order of importance: the largest network computes what it did, over every space."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from inheriting import SPACE
from spaces import TINY
from supernets import FEW, ROWS, assert_equal, little, same, small_form, supernet_of, two_forms
from test_training import drawn_data
from torch import Tensor, nn

from archsearch import read_supernet, resume_supernet, train_supernet
from archsearch.architecture import Architecture
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import parse_budgets
from archsearch.cli import main
from archsearch.convolutions.dcls import DCLS
from archsearch.loading import shipped_names
from archsearch.members.within import SpaceMembers
from archsearch.operator import Kind
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, choice
from archsearch.supernet.draws import deal, largest
from archsearch.supernet.layout import Layout
from archsearch.supernet.order import (
    SortingTraining,
    permute_supernet,
    sort_by_importance,
)
from archsearch.supernet.rules import Step
from archsearch.supernet.rules.progressive_shrinking import DEPTH, is_kernel
from archsearch.supernet.ties import tied
from archsearch.supernet.weights import Supernet
from archsearch.training.augment import Augment
from archsearch.training.job import Source
from archsearch.training.recipe import Recipe

torch.set_num_threads(1)


# -- what the largest network computes -----------------------------------------------------------
def answer(net: Supernet, architecture: Architecture, training: bool) -> Tensor:
    """Of a member, for drawn pictures; without dropout, which falls on places, not on channels."""
    subnet = net.train(training).subnet(architecture)
    for layer in subnet.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, *architecture.input, dtype=torch.double, generator=generator)
    with torch.no_grad():
        found = subnet(x)
    return found.clone()


def check_sorted(space: SearchSpace, widest: Architecture) -> Supernet:
    """The largest network's answers are what they were, in training and with the statistics of
    that."""
    net = supernet_of(space)
    before = [answer(net, widest, training) for training in (True, False)]
    sort_by_importance(net, widest)
    after = [answer(net, widest, training) for training in (False, True)]
    for found, expected in zip(reversed(after), before, strict=True):
        assert_equal(found, expected)
    return net


def widest_of(space: SearchSpace, budget: str = "") -> Architecture:
    """The member that a training takes for the largest."""
    return space.build(largest(SpaceMembers(space, parse_budgets(budget or ()))))


@pytest.mark.parametrize("name", shipped_names("space"))
def test_a_network_of_every_space_computes_what_it_did(name: str) -> None:
    """Any member can be the largest of those that learn; two stages show how they meet."""
    space = small_form(name)
    space = replace(space, stages=space.stages[: 1 if name == "anyconv" else 2])
    check_sorted(space, space.build(space.sample(random.Random(0))))


@pytest.mark.parametrize("name", sorted(TINY.keys() - {"rounded"}))
def test_members_as_wide_as_the_largest_compute_what_they_did(name: str) -> None:
    """With other kernel sizes, convolutions and depths: what has learnt before widths shrink."""
    space = TINY[name]()
    members = SpaceMembers(space)
    base = largest(members)
    widest = space.build(base)

    def free(path: str, options: Any) -> bool:
        return path == DEPTH or is_kernel(path, options)

    rng = random.Random(0)
    points = {members.repaired(p, rng) for p in deal(space, 12, rng, base, free)}
    net = supernet_of(space)
    wide = [own for own in map(space.build, points) if as_wide(net, own, widest)]
    assert len(wide) > 1
    before = [answer(net, own, True) for own in wide]
    sort_by_importance(net, widest)
    for own, expected in zip(wide, before, strict=True):
        assert_equal(answer(net, own, True), expected)


def as_wide(net: Supernet, architecture: Architecture, widest: Architecture) -> bool:
    """Whether all weights have as many channels as in another network, or all that there are."""
    mine, theirs = (channels_of(net, own) for own in (architecture, widest))
    return all(
        n >= theirs.get((name, dim), net.layout.tensors[name].weight.axes[dim].size)
        for (name, dim), n in mine.items()
    )


def channels_of(net: Supernet, architecture: Architecture) -> dict[tuple[str, int], int]:
    return {
        (leaf.shared, dim): int(axis.size)
        for leaf in net.subnet(architecture).leaves()
        for dim, axis in enumerate(leaf.weight.axes)
        if axis.kind is not Kind.TAP
    }


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_networks_of_any_block_compute_what_they_did(name: str, data: st.DataObject) -> None:
    """Two drawn forms of a row behind a stem, whose channels are sorted too where that can be."""
    forms, stage = two_forms(data, name)
    heads = [form.head for form in forms]
    if any(isinstance(head, Classifier) for head in heads):  # of whole maps, which have an order
        heads = [Classifier(4)]
    channels, *size = forms[0].input
    space = SearchSpace(
        "row",
        ConvNormAct(channels, conv=Convolution()),
        (stage,),
        choice(*dict.fromkeys(heads)),
        (3, *size),
        nondecreasing=False,
    )
    check_sorted(space, space.build(space.sample(random.Random(0))))


def test_channels_of_layers_that_share_positions_stay_in_place() -> None:
    """What a layer lends to others is permuted neither with it nor with them."""
    dcls = DCLS(kernel_size=5, taps=3)
    stage = StageSpace(
        ConvNormAct(8, conv=replace(dcls, shares_positions=True)),
        before=ConvNormAct(8, conv=dcls),
        stride=1,
    )
    space = SearchSpace("sharing", ConvNormAct(choice(4, 8)), (stage,), Classifier(4), (1, 8, 8))
    check_sorted(space, widest_of(space))


# -- the tests above see whatever is forgotten ---------------------------------------------------
MOBILE = little(ConvNormAct(choice(16, 24), conv=Convolution(bias=True)))


def test_channels_inside_blocks_and_between_them_are_sorted() -> None:
    """Of the stem; of two blocks their inner ones, and those of their squeeze; of both stages, of
    which the second has no shortcut: what ties its blocks is that there may be one or two."""
    net, widest = supernet_of(MOBILE), widest_of(MOBILE)
    sets = tied(net.layout, widest)
    assert sorted(own.channels for own in sets) == sorted([8, 16, 32, 2, 4, 16, 24])
    order = sort_by_importance(net, widest)
    orders = [(name, dim) for name, own in order.items() for dim, _ in own]
    assert sorted(orders) == sorted(own for axes, _ in sets for own in axes)


def test_one_forgotten_tensor_is_seen() -> None:
    """Channels turned round, for no order that happens to be the old one hides anything."""
    widest, net = widest_of(MOBILE), supernet_of(MOBILE)
    turned: dict[str, list[tuple[int, Tensor]]] = {}
    for axes, channels in tied(net.layout, widest):
        for name, dim in axes:
            turned.setdefault(name, []).append((dim, torch.arange(channels).flip(0)))
    answer(net, widest, True)
    before = answer(net, widest, False)  # in training norms hide summands of norms before them
    permute_supernet(net, turned)
    assert_equal(answer(net, widest, False), before)
    used = channels_of(net, widest)
    forgotten = [(name, dim) for name, own in turned.items() for dim, _ in own]
    assert len(used.keys() & forgotten) > 40
    for name, dim in used.keys() & forgotten:
        part = {name: [own for own in turned[name] if own[0] == dim]}
        permute_supernet(net, part)
        error = (answer(net, widest, False) - before).abs().max() / before.abs().max()
        assert error > 1e-6, f"{name} along {dim} may be forgotten"
        permute_supernet(net, part)


def test_forgotten_statistics_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.supernet.order._permute_statistics", lambda *given: None)
    with pytest.raises(AssertionError, match="they differ by"):
        check_sorted(MOBILE, widest_of(MOBILE))


# -- importance ----------------------------------------------------------------------------------
def test_the_first_channels_are_read_with_the_largest_weights() -> None:
    """Inner channels by the L1 norm of the projection's weights, as in once-for-all's code; here
    with those of the squeeze, which reads them too."""
    net, widest = supernet_of(MOBILE), widest_of(MOBILE)
    old = {name: p.detach().clone() for name, p in net.subnet(widest).named_parameters()}
    sort_by_importance(net, widest)
    new = dict(net.subnet(widest).named_parameters())
    block = "stages.0.1"
    readers = [old[f"{block}.{name}.weight"] for name in ("project", "se.reduce")]
    order = sum(own.abs().sum((0, 2, 3)) for own in readers).argsort(descending=True)
    assert not torch.equal(order, torch.arange(32))
    assert torch.equal(new[f"{block}.conv.weight"], old[f"{block}.conv.weight"][order])


def test_every_channel_is_as_important_as_those_behind_it() -> None:
    net, widest = supernet_of(MOBILE), widest_of(MOBILE)
    sort_by_importance(net, widest)
    kernels = {leaf.shared: leaf for leaf in net.subnet(widest).leaves() if leaf.weight.contracts}
    for axes, channels in tied(net.layout, widest):
        total = torch.zeros(channels, dtype=torch.double)
        for name, dim in axes:
            if name in kernels and kernels[name].weight.axes[dim].kind is Kind.IN:
                total += norms(kernels[name].parameter, dim)
        assert total.min() > 0
        assert (total.diff() <= 1e-12).all()


def norms(tensor: Tensor, dim: int) -> Tensor:
    return tensor.detach().movedim(dim, 0).reshape(tensor.shape[dim], -1).abs().sum(1)


def test_channels_that_no_member_within_the_budget_has_stay_in_place() -> None:
    space = TINY["mobile"]()
    narrow = widest_of(space, "4k-params")
    before, net = supernet_of(space), check_sorted(space, narrow)
    cut = 0
    for axes, channels in tied(net.layout, narrow):
        for name, dim in axes:
            found, expected = norms(net.shared[name], dim), norms(before.shared[name], dim)
            assert_equal(found[channels:], expected[channels:])
            assert_equal(found[:channels].sort().values, expected[:channels].sort().values)
            cut += channels < len(found)
    assert cut


# -- in a training -------------------------------------------------------------------------------
@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.2), ("adamw", 0.01)])
def test_a_training_goes_on_as_if_nothing_had_been_sorted(optimizer: str, rate: float) -> None:
    """While the largest network learns alone: momentum, moments and the mean of the weights go with
    the weights. (They differ by 1e-7 of the largest number; without one of the three by 1e-2.)"""
    recipe = Recipe(
        epochs=2,
        batch_size=16,
        augment=Augment(),
        optimizer=optimizer,
        learning_rate=rate,
        warmup=0.0,
        ema=0.8,
    )

    def alone(step: Step) -> None:
        step.learn(step.largest)

    found = []
    for sorts_at in (None, 0.5):
        training = SortingTraining(
            Supernet(Layout(MOBILE)),
            drawn_data(64),
            recipe,
            3,
            members=SpaceMembers(MOBILE),
            rule=alone,
            sorts_at=sorts_at,
        )
        assert training.run() == "finished"
        nets = [cast("Supernet", net).double() for net in (training.net, training.result)]
        found.append([answer(net, widest_of(MOBILE), True) for net in nets])
    for plain, in_order in zip(*found, strict=True):
        assert (in_order - plain).abs().max() <= 1e-4 * plain.abs().max()


def trained(space: Path, output: Path, **changes: Any) -> Path:
    recipe = Recipe(epochs=2, batch_size=16, augment=Augment(), ema=0.8)
    settings = {"rule": "progressive-shrinking", "sort_channels": True, "name": "own"} | changes
    return train_supernet(space, Source(limit=64), recipe, output=output, **settings).folder


def test_cut_off_before_or_after_it_is_sorted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight steps, of which the seventh begins with the sorting; cut off after each of them."""
    space = tmp_path / "few.py"
    space.write_text(SPACE)
    step = SortingTraining._step
    sorts: list[int] = []
    sort = SortingTraining._sort

    class Cut(Exception):
        pass

    def cut(self: SortingTraining, *given: Any) -> None:
        if self.step == most:
            raise Cut
        step(self, *given)

    def counted(self: SortingTraining) -> None:
        sorts.append(self.step)
        sort(self)

    monkeypatch.setattr(SortingTraining, "_sort", counted)
    whole = trained(space, tmp_path / "whole")
    assert sorts == [6]
    assert json.loads((whole / "supernet.json").read_text())["supernet"]["sort_channels"] is True
    unsorted = trained(space, tmp_path / "unsorted", sort_channels=False)
    assert sorts == [6] and not same(unsorted, whole)
    for most in (5, 6, 7):
        sorts.clear()
        monkeypatch.setattr(SortingTraining, "_step", cut)
        with pytest.raises(Cut):
            trained(space, tmp_path / f"cut{most}", checkpoint_seconds=0.0)
        monkeypatch.setattr(SortingTraining, "_step", step)
        resume_supernet(tmp_path / f"cut{most}" / "own")
        assert sorts == [6]
        assert same(tmp_path / f"cut{most}" / "own", whole)


def test_only_progressive_shrinking_has_a_moment_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["supernet", "--space", "tiny", "--rule", "sandwich", "--sort-channels"]
    assert main([*words, "--output", str(tmp_path)]) == 2
    assert "sandwich has no such moment" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_runs_from_before_the_option_are_read(tmp_path: Path) -> None:
    space = tmp_path / "few.py"
    space.write_text(SPACE)
    run = trained(space, tmp_path, sort_channels=False)
    record = json.loads((run / "supernet.json").read_text())
    del record["supernet"]["sort_channels"]
    (run / "supernet.json").write_text(json.dumps(record))
    assert not read_supernet(run).setup.sort_channels
