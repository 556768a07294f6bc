"""From a search over a supernet to a network with weights: inherited, then fine-tuned if asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from ..architecture import Architecture
from ..errors import UserError
from ..nets.weights import save_weights
from ..train import Trained as Training
from ..train import train
from ..train.seed import WEIGHTS, preprocessing_note
from .setup import RECORD, read_record
from .supernets import data_of, open_again

if TYPE_CHECKING:
    from torch import nn

    from ..supernet.files import Trained
    from ..training.recipe import Recipe


class Product(NamedTuple):
    """A network with weights; ``notes`` are what a weights file says of the pictures it reads."""

    architecture: Architecture
    net: nn.Module
    notes: dict[str, str]

    def save(self, path: str | Path) -> None:
        """Write its weights; raises ``UserError`` where that cannot be."""
        try:
            save_weights(path, self.net, self.architecture, notes=self.notes)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UserError(f"{path}: cannot be written ({reason}); choose another place") from None


def supernet_of(folder: Path) -> Trained:
    """The supernet that a search was over; raises ``UserError`` where it was over none."""
    if not (folder / RECORD).is_file():
        raise UserError(
            f"--weights: {folder} is not the run of a search over a supernet; name a weights file"
        )
    _, setup = read_record(folder)
    if setup.supernet is None:
        raise UserError(
            f"--weights: {folder} was not a search over a supernet, and its networks have no"
            f" weights to inherit; archsearch train {folder}, then --weights and the file in its"
            " run"
        )
    return open_again(setup.supernet)


def inherited_product(trained: Trained, architecture: Architecture) -> Product:
    """A member with the weights that a search judged it with, and the statistics of its norms taken
    from the same pictures; raises ``UserError`` for a network that is no member."""
    from ..supernet.score import Scorer

    data = data_of(trained)
    net = Scorer(trained.supernet, data).network(architecture)
    return Product(architecture, net, preprocessing_note(data))


def fine_tune(trained: Trained, product: Product, epochs: int, **told: Any) -> Training:
    """Train a product further, in a run of its own, by the recipe of the supernet; ``told`` are
    more arguments of ``train``."""
    recipe = replace(_recipe(trained), epochs=epochs)
    with TemporaryDirectory() as folder:
        start = Path(folder, WEIGHTS)
        product.save(start)
        return train(product.architecture, trained.source, recipe, weights=start, **told)


def fine_tuned(product: Product, run: Training) -> Product:
    """The product with the weights that its training, which is finished, came to."""
    from ..nets.weights import load_network

    return product._replace(net=load_network(run.folder / WEIGHTS)[1].eval())


def _recipe(trained: Trained) -> Recipe:
    from ..training.recipe import Recipe

    return Recipe.from_dict(trained.record["recipe"])
