"""The user's network by name, ``module:function``, and its weights from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadFile, UserError
from ..nets.weights import read_tensors
from ..own import call_own, is_own

INSIDE = ("state_dict", "model_state_dict", "model", "net")
"""Where checkpoints of many programs keep the weights."""
WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before all names."""


def own_network(source: str) -> nn.Module:
    """What ``module:function`` returns, called without arguments; a class will do.

    The module is found as by ``python -m``: the current folder first. Raises ``UserError`` where
    there is none, or no such function, and ``BadFile`` for an error inside it.
    """
    name = source.partition(":")[0]
    if not is_own(source):
        raise UserError(
            f"{source[:80]!r} names no function; write MODULE:FUNCTION, for nets.py and in it"
            " resnet() nets:resnet"
        )
    network = call_own(source, f"no module is named {name!r}, in this folder or installed")
    if not isinstance(network, nn.Module):
        raise UserError(f"{source}: returned a {type(network).__name__}, not an nn.Module")
    return network


def load_own(path: str | Path, network: nn.Module) -> None:
    """Put the weights of a file into a user's network: safetensors, or what ``torch.save`` wrote of
    a state dict. No code in the file is run. Raises ``BadFile``; the network is then as it was."""
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such weights file")
    state = read_tensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    for wrapper in WRAPPERS:
        if state and all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    expected = network.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        if name not in state:
            raise BadFile(f"{path} has no {name}: it is of another network")
        if name not in expected:
            raise BadFile(f"{path} has {name!r:.80}, which the network has not: it is of another")
        if state[name].shape != expected[name].shape:
            mine, theirs = tuple(expected[name].shape), tuple(state[name].shape)
            raise BadFile(f"{path}: {name} has the shape {theirs}, not {mine}")
    network.load_state_dict(state)


def _read_pickled(path: Path) -> Mapping[str, Tensor]:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadFile(
            f"{path}: not the tensors of a state dict alone, or damaged"
            f" ({type(error).__name__}); write it with torch.save(net.state_dict(), ...)"
        ) from None
    for name in INSIDE:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    named = isinstance(found, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    )
    if not named:
        raise BadFile(f"{path}: no state dict; write it with torch.save(net.state_dict(), ...)")
    return dict(found)
