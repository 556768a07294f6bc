"""Training rules: which members they let learn from what, recorded without a network; and that a
supernet learns by each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from spaces import TINY

import archsearch.supernet.rules
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import parse_budgets
from archsearch.convolutions.separable import Separable
from archsearch.loading import find_space
from archsearch.members import Members
from archsearch.members.within import SpaceMembers
from archsearch.operators.convolution import depthwise
from archsearch.points import DEPTH
from archsearch.space import Point, SearchSpace, StageSpace, choice, leaves
from archsearch.supernet.draws import largest, most_options, smallest
from archsearch.supernet.rules import attentive, multi_architecture, sandwich, strict_fairness
from archsearch.supernet.rules import progressive_shrinking as shrinking
from archsearch.supernet.rules.named import RULES

NAMES = list(RULES)


@cache
def members_of(name: str, budgets: str = "") -> SpaceMembers:
    return SpaceMembers(find_space(name), parse_budgets(budgets) if budgets else ())


@cache
def ends_of(members: Members) -> tuple[Point, Point]:
    return largest(members), smallest(members)


class Learnt(NamedTuple):
    point: Point
    part: slice
    hints: Any
    share: float


@dataclass
class Recorder:
    """A step in which nothing is learnt, only written down. Logits are the number of the call."""

    members: Members
    rng: Random
    progress: float = 0.99
    pictures: int = 128
    learnt: list[Learnt] = field(default_factory=list)
    asked: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.largest, self.smallest = ends_of(self.members)

    def learn(
        self, point: Point, part: slice = slice(None), hints: Any = None, share: float = 1.0
    ) -> Any:
        self.learnt.append(Learnt(point, part, hints, share))
        return len(self.learnt)

    def loss(self, point: Point) -> float:
        self.asked.append(point)
        return -float(self.members.costs([point])["params"][0])


def recorded(
    rule: str, members: Members, seed: int = 0, progress: float = 0.99, pictures: int = 128
) -> Recorder:
    step = Recorder(members, Random(seed), progress, pictures)
    RULES[rule](step)
    return step


# -- what all rules keep ---------------------------------------------------------------------------
@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize(
    ("space", "budgets"), [("mobile", "2M-params,150M-macs"), ("small", "200k-params")]
)
def test_only_members_learn(rule: str, space: str, budgets: str) -> None:
    members = members_of(space, budgets)
    for seed in range(4):
        for progress in (0.0, 0.4, 0.6, 0.9):
            for own in recorded(rule, members, seed, progress).learnt:
                assert own.point in members


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("progress", [0.0, 0.4, 0.6, 0.9])
def test_every_picture_counts_once(rule: str, progress: float) -> None:
    """The shares of those that learn from a picture add up to one."""
    for pictures in (1, 33, 100, 128):
        weight = np.zeros(pictures)
        for own in recorded(rule, members_of("mobile"), 0, progress, pictures).learnt:
            count = len(range(pictures)[own.part])
            weight[own.part] += own.share * pictures / count
        np.testing.assert_allclose(weight, 1.0)


@pytest.mark.parametrize("rule", NAMES)
def test_a_step_is_decided_by_its_generator(rule: str) -> None:
    members = members_of("mobile")
    for progress in (0.4, 0.9):
        steps = [recorded(rule, members, seed, progress).learnt for seed in (1, 1, 2)]
        assert steps[0] == steps[1]
        assert steps[0] != steps[2]


def test_every_rule_has_the_name_of_its_file() -> None:
    folder = Path(archsearch.supernet.rules.__path__[0])
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "named"}
    assert {name.replace("-", "_") for name in RULES} == files
    for name, rule in RULES.items():
        assert rule.__name__ == name.replace("-", "_")


# -- one by one ------------------------------------------------------------------------------------
def test_single_path_is_one_member_on_the_labels_of_the_whole_batch() -> None:
    members = SpaceMembers(TINY["resnet"]())
    counts: Counter[Point] = Counter()
    for seed in range(200):
        ((point, part, hints, share),) = recorded("single-path", members, seed).learnt
        assert (part, hints, share) == (slice(None), None, 1.0)
        counts[point] += 1
    assert len(counts) > 50


@pytest.mark.parametrize(("name", "most"), [("mobile", 4), ("tiny", 35), ("mobile-widths", 29)])
def test_strict_fairness_uses_every_option_equally(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, in spaces without budgets whose choices are independent."""
    members = members_of(name)
    assert most_options(members.space) == most
    if name != "mobile":  # these bend: widths may not fall
        monkeypatch.setattr(SpaceMembers, "repaired", lambda self, point, rng: point)
    for seed in range(5):
        learnt = recorded("strict-fairness", members, seed).learnt
        assert len(learnt) == min(most, strict_fairness.MOST)
        assert all(own.hints is None and own.part == slice(None) for own in learnt)
        for i, part in enumerate(members.space.parts):
            picks = [own.point[i] for own in learnt]
            choices: list[tuple[Sequence[Any], list[Any]]] = [
                (leaf.options(None), [pick.mapping[path] for pick in picks])
                for path, leaf in leaves(part.block)
            ]
            for options, values in [*choices, (part.depth, [pick.depth for pick in picks])]:
                counts = [values.count(option) for option in options]
                assert sum(counts) == len(learnt)
                assert max(counts) - min(counts) <= 1


def test_the_sandwich_begins_with_the_largest_that_teaches_the_others() -> None:
    for name in ("sandwich", "attentive"):
        step = recorded(name, members_of("mobile"))
        assert len(step.learnt) == 2 + sandwich.RANDOM
        assert step.learnt[0].point == step.largest
        assert step.learnt[0].hints is None
        assert step.learnt[-1].point == step.smallest
        assert all(own.hints == 1 for own in step.learnt[1:])  # the answers of the first
        assert all(own.part == slice(None) for own in step.learnt)
        assert {own.share for own in step.learnt} == {1 / 4}
        between = [own.point for own in step.learnt[1:-1]]
        assert step.largest not in between and step.smallest not in between


def test_the_random_members_of_a_sandwich_change() -> None:
    members = members_of("mobile")
    between = {
        own.point for seed in range(10) for own in recorded("sandwich", members, seed).learnt[1:-1]
    }
    assert len(between) == 10 * sandwich.RANDOM


@pytest.mark.parametrize("name", ["mobile", "tiny"])
def test_attentive_members_are_the_best_of_about_equal_cost(name: str) -> None:
    members, spreads = members_of(name), []
    for seed in range(10):
        step = recorded("attentive", members, seed)
        assert len(step.asked) == sandwich.RANDOM * attentive.CANDIDATES
        for i, own in enumerate(step.learnt[1:-1]):
            some = step.asked[i * attentive.CANDIDATES : (i + 1) * attentive.CANDIDATES]
            params = members.costs(some)["params"].tolist()  # the recorder's loss is less of these
            assert own.point == some[params.index(max(params))]
            macs = members.costs(some)["macs"]
            spreads.append(macs.std() / macs.mean())
        drawn = members.costs(members.draw(Random(seed), 100))["macs"]
    assert np.median(spreads) < 0.1 * drawn.std() / drawn.mean() + 0.02


def test_shrinking_opens_kernel_sizes_then_depths_then_everything() -> None:
    """In the space of mobile networks every choice can differ from the largest's by itself."""
    members = members_of("mobile")
    changed: dict[float, set[str]] = {}
    for progress in (0.0, 0.29, 0.3, 0.49, 0.5, 0.74, 0.75, 0.99):
        changed[progress] = set()
        for seed in range(20):
            step = recorded("progressive-shrinking", members, seed, progress)
            teacher, *pupils = step.learnt
            assert (teacher.point, teacher.hints) == (step.largest, None)
            assert len(pupils) == (0 if progress < 0.3 else shrinking.PUPILS)
            for own in pupils:
                assert own.hints == 1
                for pick, full in zip(own.point, step.largest, strict=True):
                    changed[progress] |= {DEPTH} if pick.depth != full.depth else set()
                    pairs = zip(pick.values, full.values, strict=True)
                    changed[progress] |= {a[0] for a, b in pairs if a != b}
    kernel = {"conv.kernel_size"}
    everything = kernel | {DEPTH, "expansion", "squeeze_excitation", "width"}
    assert list(changed.values()) == [
        *[set()] * 2,
        *[kernel] * 2,
        *[kernel | {DEPTH}] * 2,
        *[everything] * 2,
    ]


def test_what_counts_as_a_kernel() -> None:
    assert shrinking.is_kernel("conv.kernel_size", (3, 5))
    assert shrinking.is_kernel("mlp_conv.small_kernel_size", (3, 5))
    assert shrinking.is_kernel("conv", (depthwise(3), Separable()))
    assert not shrinking.is_kernel("mlp_conv", (None, depthwise(3)))
    assert not shrinking.is_kernel("width", (8, 16))
    assert not shrinking.is_kernel("block", (InvertedResidual(8), InvertedResidual(16)))


@pytest.mark.parametrize("pictures", [1, 2, 31, 32, 63, 64, 100, 128, 129, 500])
def test_several_members_share_the_pictures_of_a_batch(pictures: int) -> None:
    learnt = recorded("multi-architecture", members_of("mobile"), pictures=pictures).learnt
    seen = [place for own in learnt for place in range(pictures)[own.part]]
    assert seen == list(range(pictures))
    sizes = [len(range(pictures)[own.part]) for own in learnt]
    assert len(sizes) == max(1, pictures // multi_architecture.GROUP)
    assert max(sizes) - min(sizes) <= 1
    assert [own.share for own in learnt] == [size / pictures for size in sizes]
    assert len({own.point for own in learnt}) == len(learnt)


# -- with a network --------------------------------------------------------------------------------
def little_space() -> SearchSpace:
    block = InvertedResidual(choice(8, 16), expansion=choice(1, 2), conv=depthwise(choice(3, 5)))
    stages = (StageSpace(block, (1, 2), 2),)
    return SearchSpace("little", ConvNormAct(choice(4, 8)), stages, Classifier(4), (1, 8, 8))


@pytest.mark.parametrize("rule", NAMES)
def test_a_supernet_learns_by_every_rule(rule: str) -> None:
    import torch
    from test_training import drawn_data

    from archsearch.supernet.layout import Layout
    from archsearch.supernet.training import SupernetTraining
    from archsearch.supernet.weights import Supernet
    from archsearch.training.recipe import Recipe

    space = little_space()
    recipe = Recipe(epochs=4, batch_size=32, learning_rate=0.04, ema=0.0, label_smoothing=0.0)
    training = SupernetTraining(
        Supernet(Layout(space), 0),
        drawn_data(256),
        recipe,
        0,
        members=SpaceMembers(space),
        rule=RULES[rule],
    )
    start = {name: tensor.detach().clone() for name, tensor in training.supernet.shared.items()}
    assert training.run() == "finished"
    losses = [row["train_loss"] for row in training.history]
    assert losses[-1] < 0.6 * losses[0]
    touched = [
        name
        for name, tensor in training.supernet.shared.items()
        if not torch.equal(tensor.detach(), start[name])
    ]
    assert len(touched) == len(start)
