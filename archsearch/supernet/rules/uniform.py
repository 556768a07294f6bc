"""Several random members from each batch (Cai et al., Once-for-All, ICLR 2020, as its authors' code
does within a phase, "dynamic batch size").

``MEMBERS`` random members each learn the whole batch from its labels before one step of the
optimiser, whose direction so suits more than one of them. None is larger or smaller than chance has
it, and none teaches: no member is favoured, which a ranking needs more than accuracy. Gradients are
averaged, so that learning rate and clipping, which are meant for one network, fit.
"""

from __future__ import annotations

from . import Step

MEMBERS = 4
"""As the authors have in their last phase."""


def uniform(step: Step) -> None:
    for point in step.members.draw(step.rng, MEMBERS):
        step.learn(point, share=1 / MEMBERS)
