"""What a training begins with that takes over another's: weights, their mean, and what an optimiser
knows of them, where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadFile
from ..serialization import to_json
from .saved import CHECKPOINT
from .seed import STATE, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from ..architecture import Architecture
    from ..training.loop import Training


def checkpoint_beside(weights: Path, architecture: Architecture) -> Path | None:
    """The checkpoint beside a run's weights file (or that is given itself), where it is of the same
    network."""
    from ..nets.weights import read_metadata

    path = weights.parent / CHECKPOINT
    if weights.name not in (WEIGHTS, CHECKPOINT) or not path.is_file():
        return None
    return path if read_metadata(path) == architecture else None


def state_file(weights: Path, architecture: Architecture) -> bytes:
    """A weights file, and the checkpoint beside it, as the tensors of a training (``STATE``)."""
    from ..nets.weights import METADATA, load_network, read_tensors, tensors_file
    from ..training.grown import AVERAGE, MODEL

    state = load_network(weights)[1].state_dict()
    beside = checkpoint_beside(weights, architecture)
    tensors = {f"{MODEL}{name}": tensor for name, tensor in state.items()}
    tensors |= {} if beside is None else read_tensors(beside)
    tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in state.items()}
    return tensors_file(tensors, {METADATA: to_json(architecture)})


def take_over(training: Training, folder: Path) -> None:
    """Set a training that has not begun to the state in its folder; raises ``BadFile``."""
    from ..nets.weights import read_tensors

    path = folder / STATE
    try:
        training.restore(_fitting(read_tensors(path), training), training.facts())
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadFile(f"{path} is of another network ({reason})") from None


def _fitting(tensors: Mapping[str, Tensor], training: Training) -> dict[str, Tensor]:
    """Of what another training left, what this one has a place for: its recipe may be another."""
    from ..training.grown import AVERAGE, MODEL, OPTIMISER

    weights = (MODEL, AVERAGE) if training.average is not None else (MODEL,)
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(weights)}
    moments = {name: t for name, t in tensors.items() if name.startswith(OPTIMISER)}
    known = {name.rpartition(".")[2] for name in moments}
    own = {"momentum_buffer"} if training.recipe.optimizer == "sgd" else {"exp_avg", "exp_avg_sq"}
    return kept | (moments if known - {"step"} == own else {})
