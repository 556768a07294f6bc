"""``archsearch export ARCH``: a network, or one of those a search found, as a file for others."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from ..errors import UserError, suggestion
from .commands import Parser
from .options import ARCH_HELP, add_network_options, add_option, whole
from .pick import add_pick, chosen, folder_of

INHERITED = ""
"""The value of --weights where no file is named."""

STUDY = "optuna"
"""The format that is not a network's: a study of all trials of a search."""


def arguments(parser: Parser) -> None:
    from ..nets.export import FORMATS

    parser.add_argument("architecture", metavar="ARCH", help=ARCH_HELP)
    add_pick(parser)
    parser.add_argument(
        "--format", default="pytorch", metavar="FORMAT",
        help=f"{', '.join(FORMATS)}; of a search also {STUDY}: all its trials as a study for "
        "optuna-dashboard (default: pytorch)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", nargs="?", const=INHERITED, metavar="FILE",
        help="safetensors to export with; without FILE, of a search over a supernet, the weights "
        "that the network was judged with, beside PyTorch code too (default: fresh weights)",
    )  # fmt: skip
    add_option(
        parser, "--finetune-epochs", whole, metavar="N", help="train inherited weights further"
    )
    parser.add_argument(
        "--deploy", action="store_true",
        help="norms and branches merged into convolutions, for running; with --weights, PyTorch "
        "code gets its merged weights beside it (model.safetensors beside model.py)",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="FILE",
        help="where to; an existing file is replaced (default: named after ARCH, in this folder; "
        "- prints PyTorch code)",
    )  # fmt: skip
    add_network_options(parser)


def run(args: Namespace) -> int:
    from ..nets.export import FORMATS, export

    if args.format == STUDY:
        return _study(args)
    if args.format not in FORMATS:
        known = suggestion(args.format, (*FORMATS, STUDY))
        raise UserError(f"--format {args.format[:40]}: unknown; {known}")
    if args.weights == INHERITED:
        return _inherited(args)
    if args.finetune_epochs is not None:
        raise UserError(
            "--finetune-epochs: only weights inherited from a supernet are trained here; give"
            " --weights without a file, or see archsearch train --weights"
        )
    network = chosen(args.architecture, args)
    if args.output == "-":
        if args.format != "pytorch":
            raise UserError(f"--output -: only pytorch is text; name a file for {args.format}")
        if args.deploy and args.weights is not None:
            raise UserError("--output -: merged weights need a file beside the code; name a file")
        from ..nets.source import source

        sys.stdout.write(source(network, deployed=args.deploy))
        return 0
    paths = _outputs(args)
    net = None
    if args.weights is not None:
        from ..nets.build import build
        from ..nets.weights import load_weights

        net = build(network)
        load_weights(args.weights, net)
    export(network, paths[0], args.format, net, args.deploy)
    print(*paths, sep="\n")
    return 0


def _inherited(args: Namespace) -> int:
    """Write a network of a search over a supernet with the weights it has there."""
    from ..nets.export import export
    from ..search.product import fine_tune, fine_tuned, inherited_product, supernet_of
    from . import train

    if args.output == "-":
        raise UserError("--output -: weights need a file beside the code; name a file")
    if args.input is not None or args.classes is not None:
        raise UserError(
            "--input and --classes are the supernet's, with its weights; leave them out"
        )
    trained = supernet_of(folder_of(args.architecture))
    paths = _outputs(args)
    product = inherited_product(trained, chosen(args.architecture, args))
    if args.finetune_epochs is not None:
        command = ["archsearch", *args.argv]
        run = fine_tune(
            trained, product, args.finetune_epochs, command=command, **train.talk(False)
        )
        if status := train.end(run, False):
            return status
        product = fine_tuned(product, run)
    export(product.architecture, paths[0], args.format, product.net, args.deploy)
    if args.format == "pytorch" and not args.deploy:
        product.save(paths[1])
    print(*paths, sep="\n")
    return 0


def _study(args: Namespace) -> int:
    """Write the trials of a search into a new database of Optuna's."""
    from ..search.study import study

    folder = folder_of(args.architecture)
    path = Path(args.output or f"{folder.absolute().name}.db")
    if path.exists():
        raise UserError(f"{path} exists; name another file with --output")
    part = path.with_name(f".{path.name}.part")
    try:
        study(folder, f"sqlite:///{part}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    print(path)
    return 0


def _outputs(args: Namespace) -> list[Path]:
    """The files to write, the network first. Raises ``UserError`` where one must not be."""
    from ..nets.export import weights_beside

    path = _output(args)
    given = args.weights
    if args.format != "pytorch" or given is None or not (args.deploy or given == INHERITED):
        return [path]
    beside = weights_beside(path)
    if given != INHERITED and beside.exists() and beside.samefile(given):
        raise UserError(f"{path}: its merged weights would replace {beside}; name another file")
    if beside.exists() and args.output is None:
        raise UserError(f"{beside} exists; say --output {path} to replace it, or name another file")
    return [path, beside]


def _output(args: Namespace) -> Path:
    """Where the network goes: as given, or a new file named after it."""
    if args.output is not None:
        return Path(args.output)
    from ..nets.export import SUFFIXES

    given = Path(args.architecture)
    name = given.parent.resolve().name if given.name == "architecture.json" else given.stem
    name = name or "model"
    if args.pick is not None:
        name += f"-{args.pick}"
    path = Path(f"{name}{SUFFIXES[args.format]}")
    if path.exists():
        raise UserError(f"{path} exists; say --output {path} to replace it, or name another file")
    return path
