"""A network as a file for others: Python source, ONNX, or PyTorch's own exported program.

What is written in a binary format is run once, and compared with the network, before it is written.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..errors import UserError, suggestion
from ..files import write_atomically
from .source import source
from .weights import weights_file

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-3
"""The largest difference between two runtimes, relative to the largest output, in float32."""

BATCHES = (1, 3)
"""Batch sizes with which a dynamic batch axis is tried."""

LARGEST_ONNX = 2**31
"""Bytes that one ONNX file can hold; the format is a protocol buffer."""


class RuntimesDiffer(UserError, ArithmeticError):
    """An exported network that does not compute what PyTorch computes, for these weights."""


def export(
    architecture: Architecture,
    path: str | Path,
    format: str = "pytorch",
    net: nn.Module | None = None,
    deployed: bool = False,
) -> None:
    """Write the network, or its deployed form, in one of ``FORMATS``.

    ``net`` is the trained network, else weights are fresh. Its deployed form is run and compared
    with it first. Raises ``UserError`` for an unknown format, a missing package, or a place it
    cannot write to, ``RuntimesDiffer`` where two forms of the network disagree.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r:.40}; {suggestion(format, FORMATS)}")
    FORMATS[format](architecture, path, net, deployed)


def export_pytorch(
    architecture: Architecture,
    path: str | Path,
    net: nn.Module | None = None,
    deployed: bool = False,
) -> None:
    """Write the stand-alone Python file, and where a ``net`` is to be deployed its merged weights
    beside it: ``model.safetensors`` beside ``model.py``."""
    if deployed and net is not None:
        merged, _ = _ready(architecture, net, deployed)
        _write(weights_beside(path), weights_file(merged, architecture, deployed=True))
    _write(path, source(architecture, deployed=deployed))


def weights_beside(path: str | Path) -> Path:
    """Where the weights of a deployed Python file go; raises ``UserError`` where that is itself."""
    beside = Path(path).with_suffix(".safetensors")
    if beside == Path(path):
        raise UserError(f"{path}: the weights beside the code are called that; choose {path}.py")
    return beside


def export_onnx(
    architecture: Architecture,
    path: str | Path,
    net: nn.Module | None = None,
    deployed: bool = False,
) -> None:
    """Write an ONNX file with input ``x``, output ``scores`` and any batch size.

    It is run by onnxruntime and compared with PyTorch first. Raises ``UserError`` where optional
    packages are missing, ``RuntimesDiffer`` where the two disagree.
    """
    _need("onnx", "onnxruntime", "onnxscript")
    import torch

    net, x = _ready(architecture, net, deployed)
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}}
    with _quiet():
        program = torch.onnx.export(
            net,
            (x,),
            input_names=["x"],
            output_names=["scores"],
            dynamo=True,
            verbose=False,
            dynamic_shapes=shapes,
        )
    if program is None:  # only where a path was given
        raise TypeError("torch.onnx.export gave no program")
    content = program.model_proto
    if content.ByteSize() >= LARGEST_ONNX:
        raise UserError("the network is larger than 2 GB: one ONNX file cannot hold it")
    data = content.SerializeToString()
    _compare(net, architecture, _onnx_runner(data), "onnxruntime")
    _write(path, data)


def export_torch_program(
    architecture: Architecture,
    path: str | Path,
    net: nn.Module | None = None,
    deployed: bool = False,
) -> None:
    """Write a ``torch.export`` program (read by ``torch.export.load``) for any batch size."""
    import torch

    net, x = _ready(architecture, net, deployed)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: batch},))
    buffer = BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    _compare(net, architecture, torch.export.load(buffer).module(), "the exported program")
    _write(path, buffer.getvalue())


FORMATS: dict[str, Callable[[Architecture, str | Path, nn.Module | None, bool], None]] = {
    "pytorch": export_pytorch,
    "onnx": export_onnx,
    "torch-export": export_torch_program,
}
SUFFIXES = {"pytorch": ".py", "onnx": ".onnx", "torch-export": ".pt2"}


def _ready(
    architecture: Architecture, net: nn.Module | None, deployed: bool
) -> tuple[nn.Module, Tensor]:
    import torch

    from .build import build
    from .deploy import deploy

    ready = (deepcopy(net).cpu() if net is not None else build(architecture)).eval()
    if deployed:
        trained, ready = ready, deploy(ready, architecture)
        _compare(trained, architecture, ready, "the deployed form")
    # a batch of 2: torch.export takes a size of 1 for a constant
    return ready, torch.zeros(2, *architecture.input)


def _compare(
    net: nn.Module, architecture: Architecture, other: Callable[[Tensor], Tensor], name: str
) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    for size in BATCHES:
        x = torch.randn(size, *architecture.input, generator=generator)
        with torch.no_grad():
            mine, theirs = net(x), other(x)
        error = (mine - theirs).abs().max() / mine.abs().max().clamp(min=1e-12)
        if not error <= TOLERANCE:
            raise RuntimesDiffer(
                f"{name} differs from the network in PyTorch by {error:.1e} of the largest number;"
                " nothing is written"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about other packages and its own deprecated parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _onnx_runner(data: bytes) -> Callable[[Tensor], Tensor]:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        (scores,) = session.run(None, {"x": x.numpy()})
        return torch.from_numpy(scores)

    return run


def _need(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise UserError(
            f"the onnx format needs {', '.join(missing)}: pip install 'archsearch[onnx]'"
        )


def _write(path: str | Path, content: str | bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path}: cannot be written ({reason}); choose another place") from None
