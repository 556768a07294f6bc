"""``archsearch import MODULE:FUNCTION``: a PyTorch network of the user's own as a run."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .commands import Parser
from .options import add_option, shape

if TYPE_CHECKING:
    from ..imported import Imported

RECORD = "import.json"
FORMAT = 1
"""Version of import.json."""


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "network", metavar="MODULE:FUNCTION", help="your function (or class) that gives the network"
    )
    add_option(
        parser, "--input", shape, required=True, metavar="3x224x224", help="what the network reads"
    )
    parser.add_argument(
        "--weights", metavar="FILE",
        help="its weights: safetensors, or a state dict that torch.save wrote (default: those that "
        "the function gives)",
    )  # fmt: skip
    add_option(
        parser, "--mean", per_channel, metavar="X,Y,Z",
        help="what was subtracted from its pictures, in units of [0, 1]",
    )  # fmt: skip
    add_option(
        parser, "--deviation", per_channel, metavar="X,Y,Z", help="and what they were divided by"
    )
    parser.add_argument("--output", metavar="DIR", help="the run's folder (default: runs/FUNCTION)")
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


def run(args: Namespace) -> int:
    from ..cost import cost
    from ..imported import import_network
    from ..imported.own import load_own, own_network
    from ..report.numbers import exact
    from ..runs import check_output, create_run, default_name

    _check_statistics(args)
    name = default_name(args.network.rpartition(":")[2])
    folder = Path("runs", name) if args.output is None else Path(args.output)
    if folder.exists():
        raise UserError(f"--output {folder}: it exists; name another folder or delete it")
    check_output(folder.parent, folder.name)
    network = own_network(args.network)
    if args.weights is not None:
        load_own(args.weights, network)
    imported = import_network(network, args.input)
    files = run_files(imported, args, type(network).__name__)
    create_run(folder.parent, files, folder.name)
    if not args.quiet:
        total = cost(imported.architecture)
        print(f"{exact(total.params)} parameters, {exact(total.macs)} multiply-accumulates")
        if imported.unused:
            print(f"left out, as the network does not use it: {', '.join(imported.unused)}")
    print(folder)
    return 0


def run_files(imported: Imported, args: Namespace, name: str) -> dict[str, str | bytes]:
    """The files of the run: as those of a training, as far as there are any."""
    import torch

    from ..nets.source import source
    from ..nets.weights import METADATA, tensors_file
    from ..save import versions
    from ..serialization import key, to_json, to_pretty_json
    from ..train.record import as_json
    from ..train.seed import WEIGHTS
    from ..training.initial import PREPROCESSING

    network = imported.architecture
    notes = {METADATA: to_json(network)}
    if args.mean is not None:
        notes[PREPROCESSING] = json.dumps({"mean": args.mean, "deviation": args.deviation})
    state = {
        name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        for name, tensor in imported.state.items()
    }
    record = {
        "format": FORMAT,
        "command": ["archsearch", *args.argv],
        "architecture": key(network),
        "network": args.network,
        "class": name,
        "weights": args.weights,
        "names": dict(imported.origins),
        "unused": list(imported.unused),
        "versions": versions(("torch", "numpy")),
    }
    return {
        "architecture.json": to_pretty_json(network),
        "model.py": source(network, docstring_extra=f"Imported from {args.network}."),
        WEIGHTS: tensors_file(state, notes),
        RECORD: as_json(record),
    }


def per_channel(option: str, text: str) -> list[float]:
    """``0.485,0.456,0.406``: a number for every channel."""
    parts = text.split(",")
    if all(re.fullmatch(r"\s*-?[0-9]*\.?[0-9]+\s*", part) for part in parts):
        return [float(part) for part in parts]
    raise UserError(f"{option} {text[:60]!r}: write a number per channel, as in 0.485,0.456,0.406")


def _check_statistics(args: Namespace) -> None:
    given = {"--mean": args.mean, "--deviation": args.deviation}
    missing = [option for option, value in given.items() if value is None]
    if len(missing) == 1:
        raise UserError(f"{missing[0]} is missing; give both, or neither")
    for option, value in given.items():
        if value is not None and len(value) != args.input[0]:
            raise UserError(f"{option}: {len(value)} numbers for {args.input[0]} channels")
    if args.deviation is not None and not all(0 < n < inf for n in args.deviation):
        raise UserError("--deviation: a number is not above zero; nothing can be divided by it")
