"""Where a network is trained: the device, its number format, and how many processes share it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import UserError
from .recipe import Recipe

NUMBERS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Place:
    """One process of a training: its device, its rank, and how many there are."""

    device: torch.device
    rank: int = 0
    processes: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that judges, reports and writes."""
        return self.rank == 0


def find_device(name: str | None = None) -> torch.device:
    """The device of that name, or without one the GPU where there is one.

    Raises ``UserError`` for one that is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name[:40]}: unknown; use cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        found = torch.cuda.device_count()
        if not found:
            raise UserError(f"--device {name}: torch sees no GPU here; use cpu")
        if device.index is not None and device.index >= found:
            raise UserError(f"--device {name}: there are {found}; use cuda:0 to cuda:{found - 1}")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("--device mps: torch cannot use it here; use cpu")
    elif device.type != "cpu":
        raise UserError(f"--device {name[:40]}: use cpu, cuda, cuda:N or mps")
    return device


def number_format(recipe: Recipe, device: torch.device) -> torch.dtype:
    """What activations are computed in; raises ``UserError`` for one the device has not."""
    if recipe.precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if recipe.precision == "float16" and device.type == "cpu":
        raise UserError("--precision float16: not on a CPU; use float32 or bfloat16")
    return NUMBERS[recipe.precision]


def layout(device: torch.device, net: nn.Module, channels_last: bool = True) -> torch.memory_format:
    """How maps and kernels lie in memory: channels last, where that is asked for and safe.

    On a CPU it is not where a strided 1x1 convolution reads fewer than 16 channels: its gradient is
    then written past the end of its memory (oneDNN issue 6035, seen with torch 2.13).
    """
    if not channels_last or (device.type == "cpu" and any(map(_unsafe, net.modules()))):
        return torch.contiguous_format
    return torch.channels_last


def _unsafe(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and max(layer.kernel_size) == 1
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < 16
    )


def on(device: torch.device, net: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """The network itself, moved to the device, its kernels laid out like this in memory."""
    net.to(device)
    net.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's own stub lacks it
    return net


def autocast(device: torch.device, numbers: torch.dtype) -> AbstractContextManager[object]:
    """Mixed precision (Micikevicius et al. 2018), where it is asked for."""
    if numbers == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, numbers)
