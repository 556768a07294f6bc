"""Objectives fitted to measured networks, and their files."""

from .file import FORMAT, from_json, read_fitted, to_json
from .model import (
    ABSENT,
    KINDS,
    Evidence,
    Fitted,
    FloatArray,
    Known,
    Link,
    Measure,
    Rank,
    Sum,
    Term,
    knows,
)

__all__ = [
    "ABSENT",
    "FORMAT",
    "KINDS",
    "Evidence",
    "Fitted",
    "FloatArray",
    "Known",
    "Link",
    "Measure",
    "Rank",
    "Sum",
    "Term",
    "from_json",
    "knows",
    "read_fitted",
    "to_json",
]
