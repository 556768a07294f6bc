"""AttentiveNAS: the sandwich rule, attending to the best members for their cost (Wang et al.,
AttentiveNAS: Improving Neural Architecture Search via Attentive Sampling, CVPR 2021, "BestUp").

Each random member of the sandwich is the one with the least loss on the batch among ``CANDIDATES``
of about equally many multiply-accumulates. The authors draw a cost, then members of that cost from
statistics of a million networks collected before, and predict their accuracy by a random forest
or, in the code they published, by the loss on the batch as here. Here a random member sets the
cost, and the candidates are those of ``DRAWN`` random ones that come closest to it: no statistics
are collected, and costs are met as often as the members within the budgets have them.
"""

from __future__ import annotations

from . import Step
from .sandwich import RANDOM, taught

CANDIDATES = 3
"""As the authors have ("BestUp-3"); each costs a forward pass, a third of what learning does."""

DRAWN = 32
"""Of so many, three lie within some percent of the cost of one."""


def attentive(step: Step) -> None:
    drawn = step.members.draw(step.rng, DRAWN)
    macs = step.members.costs(drawn)["macs"]
    best = []
    for cost in macs[:RANDOM]:
        near = abs(macs - cost).argsort(kind="stable")[:CANDIDATES]
        best.append(min((drawn[i] for i in near.tolist()), key=step.loss))
    taught(step, [*best, step.smallest])
