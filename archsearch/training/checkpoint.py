"""Checkpoints: one safetensors file that holds all a training needs to go on, and says of what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..architecture import Architecture
from ..errors import BadFile
from ..files import write_atomically
from ..nets.weights import read_notes, read_tensors, tensors_file
from ..serialization import key, to_json
from ..space import SearchSpace, digest
from .loop import Training

FACTS = "training"
"""The metadata entry with the training's facts, as JSON."""

Subject = Architecture | SearchSpace
"""What is trained: a network, or the supernet of a space."""


def save_checkpoint(path: str | Path, training: Training, subject: Subject) -> None:
    """Write what the training needs to go on, in one step; raises ``OSError``."""
    kind, text, _ = _told(subject)
    notes = {kind: text, FACTS: json.dumps(training.facts())}
    write_atomically(path, tensors_file(training.tensors(), notes))


def load_checkpoint(path: str | Path, training: Training, subject: Subject) -> None:
    """Set the training to where a checkpoint was taken.

    Raises ``BadFile`` for a file that is damaged or of another architecture, space or recipe.
    """
    notes = read_notes(path)
    kind, text, name = _told(subject)
    if FACTS not in notes or kind not in notes:
        raise BadFile(f"{path} is no checkpoint of a training")
    if notes[kind] != text:
        raise BadFile(f"{path} is a checkpoint of another {kind} than {name}")
    facts = _facts(path, notes[FACTS])
    try:
        training.restore(read_tensors(path), facts)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadFile(f"{path} is a checkpoint of another training ({reason})") from None


def _told(subject: Subject) -> tuple[str, str, str]:
    """The metadata entry that says what a checkpoint is of, its text, and a name for people."""
    if isinstance(subject, SearchSpace):
        return "space", digest(subject), subject.name
    return "architecture", to_json(subject), key(subject)


def _facts(path: str | Path, text: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise BadFile(f"{path}: what it says of its training is no JSON object")
    return facts
