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
from .loop import Training

FACTS = "training"
"""The metadata entry with the training's facts, as JSON."""


def save_checkpoint(path: str | Path, training: Training, architecture: Architecture) -> None:
    """Write what the training needs to go on, in one step; raises ``OSError``."""
    notes = {"architecture": to_json(architecture), FACTS: json.dumps(training.facts())}
    write_atomically(path, tensors_file(training.tensors(), notes))


def load_checkpoint(path: str | Path, training: Training, architecture: Architecture) -> None:
    """Set the training to where a checkpoint was taken.

    Raises ``BadFile`` for a file that is damaged or of another architecture or recipe.
    """
    notes = read_notes(path)
    if FACTS not in notes or "architecture" not in notes:
        raise BadFile(f"{path} is no checkpoint of a training")
    if notes["architecture"] != to_json(architecture):
        raise BadFile(f"{path} is a checkpoint of another architecture than {key(architecture)}")
    facts = _facts(path, notes[FACTS])
    try:
        training.restore(read_tensors(path), facts)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadFile(f"{path} is a checkpoint of another training ({reason})") from None


def _facts(path: str | Path, text: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise BadFile(f"{path}: what it says of its training is no JSON object")
    return facts
