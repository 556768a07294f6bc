"""Whether a network can be grown from another."""

from __future__ import annotations

from archsearch.architecture import Architecture
from archsearch.growth.channels import CannotGrow
from archsearch.growth.plan import plan


def can_grow(old: Architecture, new: Architecture) -> bool:
    try:
        plan(old, new)
    except CannotGrow:
        return False
    return True
