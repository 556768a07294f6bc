"""``archsearch export ARCH``: a network as a file for others."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from ..errors import UserError, suggestion
from .commands import Parser
from .options import ARCH_HELP, add_network_options, architecture


def arguments(parser: Parser) -> None:
    from ..nets.export import FORMATS

    parser.add_argument("architecture", metavar="ARCH", help=ARCH_HELP)
    parser.add_argument(
        "--format", default="pytorch", metavar="FORMAT",
        help=f"{', '.join(FORMATS)} (default: pytorch)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", metavar="FILE", help="safetensors to export with (default: fresh weights)"
    )
    parser.add_argument(
        "--output", metavar="FILE",
        help="where to; an existing file is replaced (default: named after ARCH, in this folder; "
        "- prints PyTorch code)",
    )  # fmt: skip
    add_network_options(parser)


def run(args: Namespace) -> int:
    from ..nets.export import FORMATS, export

    if args.format not in FORMATS:
        raise UserError(f"--format {args.format[:40]}: unknown; {suggestion(args.format, FORMATS)}")
    network = architecture(args.architecture, args)
    if args.output == "-":
        if args.format != "pytorch":
            raise UserError(f"--output -: only pytorch is text; name a file for {args.format}")
        from ..nets.source import source

        sys.stdout.write(source(network))
        return 0
    net = None
    if args.weights is not None:
        from ..nets.build import build
        from ..nets.weights import load_weights

        net = build(network)
        load_weights(args.weights, net)
    path = _output(args)
    export(network, path, args.format, net)
    print(path)
    return 0


def _output(args: Namespace) -> Path:
    """The file to write: as given, or a new one named after the network."""
    if args.output is not None:
        return Path(args.output)
    from ..nets.export import SUFFIXES

    given = Path(args.architecture)
    name = given.parent.resolve().name if given.name == "architecture.json" else given.stem
    path = Path(f"{name or 'model'}{SUFFIXES[args.format]}")
    if path.exists():
        raise UserError(f"{path} exists; say --output {path} to replace it, or name another file")
    return path
