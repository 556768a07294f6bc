"""FairNAS: every option learns equally often (Chu et al., FairNAS: Rethinking Evaluation Fairness
of Weight Sharing Neural Architecture Search, ICCV 2021).

As many members as the largest choice has options learn from the batch, then follows one step of the
optimiser; every option of every choice is in as many of them as any other of that choice, or in one
more, by a random permutation for each choice. The authors' choices all have the same number of
options, so that each is in exactly one member, and they add up gradients; here the gradients are
averaged, so that learning rate and clipping, which are meant for one network, fit. A choice of more
than ``MOST`` options has each of these at most once in a step. Where the members so dealt are not
legal or exceed a budget, the nearest ones that do not take their place, and fairness bends: little
where choices are independent of each other, much where few combinations of widths are legal.
"""

from __future__ import annotations

from ..draws import deal, most_options
from . import Step

MOST = 8
"""Members in one step, at most: a step takes as long as so many steps of one network."""


def strict_fairness(step: Step) -> None:
    space = step.members.space
    count = min(MOST, most_options(space))
    for point in deal(space, count, step.rng):
        step.learn(step.members.repaired(point, step.rng), share=1 / count)
