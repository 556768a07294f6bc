"""Whether a network and data go together."""

from __future__ import annotations

from ..architecture import Architecture
from ..errors import UserError
from .dataset import Data


def check_fits(architecture: Architecture, data: Data) -> None:
    """Raise ``UserError`` where the network cannot read the pictures or tell the classes apart."""
    given, taken = "x".join(map(str, data.shape)), "x".join(map(str, architecture.input))
    if architecture.input != data.shape:
        raise UserError(
            f"{data.name} gives pictures of {given} and the network takes {taken}; say"
            f" --input {given}, or design a network with it"
        )
    output = architecture.trace().output.shape
    classes = len(data.classes)
    if output.size or output.channels != classes:
        gives = "x".join(map(str, (output.channels, *output.size)))
        raise UserError(
            f"{data.name} has {classes} classes and the network gives {gives}; say"
            f" --classes {classes}"
        )
