"""A user's own network, read, grown and exported: it answers as the user's module does."""

from __future__ import annotations

import random

import pytest
import torch
from users_networks import NETS

from archsearch.cost import cost
from archsearch.growth.carry import grown_state
from archsearch.growth.edits import parse_step, random_step
from archsearch.growth.plan import plan
from archsearch.imported import import_network
from archsearch.nets.build import build, compile_text
from archsearch.nets.source import source

STEPS = 3


@pytest.mark.parametrize("name", NETS)
def test_imported_networks_grow(name: str) -> None:
    make, shape = NETS[name]
    torch.manual_seed(0)
    module = make().double().eval()
    found = import_network(module, shape)
    now, state, rng = found.architecture, dict(found.state), random.Random(0)
    for _ in range(STEPS):
        drawn = random_step(now, rng)
        assert drawn is not None
        _, growth = drawn
        state = grown_state(growth, state)
        now = growth.new
    assert cost(now).params > cost(found.architecture).params
    net = build(now).double().eval()
    net.load_state_dict(state)
    x = torch.randn(2, *shape, dtype=torch.double)
    with torch.no_grad():
        expected, grown = module(x), net(x)
    assert (grown - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_a_residual_network_as_torchvision_writes_it() -> None:
    """All of it: read, widened, deepened, written as a file that needs no archsearch."""
    name = next(name for name in NETS if "resnet" in name.lower())
    make, shape = NETS[name]
    module = make().double().eval()
    found = import_network(module, shape)
    larger = found.architecture
    for edit in (("widen", "stage2:1.5x"), ("deepen", "stage1:+1"), ("expansion", "stage1:1.5x")):
        larger = parse_step(*edit).apply(larger)
    growth = plan(found.architecture, larger)
    assert growth.in_training
    net = compile_text(source(larger)).Net().double()
    net.load_state_dict(grown_state(growth, found.state))
    x = torch.randn(4, *shape, dtype=torch.double)
    for mode in (False, True):
        with torch.no_grad():
            expected, answer = module.train(mode)(x), net.train(mode)(x)
        assert (answer - expected).abs().max() <= 1e-12 * expected.abs().max()
