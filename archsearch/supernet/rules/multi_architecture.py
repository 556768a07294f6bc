"""Several members in one batch (Liao et al., Searching for Efficient Multi-Stage Vision
Transformers, ICCV 2021 workshop on neural architectures: ViT-ResNAS).

The batch is cut into groups of about ``GROUP`` pictures, each learnt by a random member of its own,
so that one step costs no more than that of one network. The authors mask channels, so that one
forward pass holds all groups, which layer normalisation allows; here every group has its pass, as
batch normalisation would mix the statistics of several members. They deal out the options of every
layer among the groups, and begin with the widest ones only; here each member is drawn by itself, so
that budgets are kept, and from the whole space at once.
"""

from __future__ import annotations

from . import Step

GROUP = 32
"""Pictures of a group, at least: the authors' 64 would leave two groups of the usual batch of 128,
and batch statistics of fewer pictures are coarse. A smaller batch is one group."""


def multi_architecture(step: Step) -> None:
    groups = max(1, step.pictures // GROUP)
    ends = [step.pictures * i // groups for i in range(groups + 1)]
    for point, start, end in zip(
        step.members.draw(step.rng, groups), ends[:-1], ends[1:], strict=True
    ):
        step.learn(point, part=slice(start, end), share=(end - start) / step.pictures)
