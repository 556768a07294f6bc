"""The training rules by their names on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import Rule
from .attentive import attentive
from .multi_architecture import multi_architecture
from .progressive_shrinking import progressive_shrinking
from .sandwich import sandwich
from .single_path import single_path
from .strict_fairness import strict_fairness
from .uniform import uniform

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "single-path": single_path,
        "uniform": uniform,
        "strict-fairness": strict_fairness,
        "sandwich": sandwich,
        "progressive-shrinking": progressive_shrinking,
        "multi-architecture": multi_architecture,
        "attentive": attentive,
    }
)
