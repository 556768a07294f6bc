"""Weights on disk: safetensors, with the architecture they belong to in the file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..errors import BadFile
from ..files import write_atomically
from ..serialization import from_json, to_json

if TYPE_CHECKING:
    from torch import Tensor, nn

METADATA = "architecture"
"""The metadata entry that holds the architecture's JSON."""
FORM = "form"
"""The metadata entry that says ``DEPLOYED`` where the weights are of the deployed form."""
DEPLOYED = "deployed"


def save_weights(
    path: str | Path,
    net: nn.Module,
    architecture: Architecture,
    deployed: bool = False,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write the state of ``net`` (parameters and buffers) in one step; raises ``OSError``.

    ``deployed`` says that ``net`` is the deployed form; ``notes`` go into the file's metadata.
    """
    write_atomically(path, weights_file(net, architecture, deployed, notes))


def weights_file(
    net: nn.Module,
    architecture: Architecture,
    deployed: bool = False,
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """What ``save_weights`` writes."""
    form = {FORM: DEPLOYED} if deployed else {}
    said = {**(notes or {}), METADATA: to_json(architecture), **form}
    return tensors_file(net.state_dict(), said)


def tensors_file(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    """A safetensors file of these tensors, wherever and however they lie in memory."""
    import torch
    from safetensors.torch import save

    # copies, as layers may share a tensor
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return save(plain, dict(notes))


def load_weights(path: str | Path, net: nn.Module) -> None:
    """Put the weights of a file into ``net``.

    Raises ``BadFile`` naming the first tensor whose name, shape or type is not the network's; the
    network is then as it was.
    """
    state = read_tensors(path)
    form = read_notes(path).get(FORM)
    other = "a deployed form" if form == DEPLOYED else "another architecture"
    expected = net.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        if name not in state:
            raise BadFile(f"{path} has no {name}: it is of {other}")
        if name not in expected:
            raise BadFile(f"{path} has {name!r:.80}, which the network has not: it is of {other}")
        mine, theirs = expected[name], state[name]
        if mine.shape != theirs.shape:
            shapes = f"{tuple(theirs.shape)}, not {tuple(mine.shape)}"
            raise BadFile(f"{path}: {name} has the shape {shapes}; it is of {other}")
        if mine.dtype != theirs.dtype:
            raise BadFile(
                f"{path}: {name} is {theirs.dtype}, not {mine.dtype}; convert one of them"
            )
    net.load_state_dict(state)


def load_network(path: str | Path) -> tuple[Architecture, nn.Module]:
    """The architecture a weights file belongs to, built in the form (trained or deployed) that it
    is of, and filled; raises ``BadFile``."""
    from .build import build

    architecture = read_metadata(path)
    net = build(architecture, deployed=read_notes(path).get(FORM) == DEPLOYED)
    load_weights(path, net)
    return architecture, net


def read_metadata(path: str | Path) -> Architecture:
    """The architecture in a weights file; raises ``BadFile``."""
    text = read_notes(path).get(METADATA)
    if text is None:
        raise BadFile(f"{path} does not say its architecture: archsearch did not write it")
    return from_json(text, str(path))


def read_notes(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file; raises ``BadFile``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadFile(
            f"{path} is not a safetensors file, or damaged ({_first_line(error)})"
        ) from None


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; raises ``BadFile``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise BadFile(
            f"{path} is not a safetensors file, or damaged ({_first_line(error)})"
        ) from None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__
