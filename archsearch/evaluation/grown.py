"""Candidates that begin with grown weights: what a search and its workers share in a folder.

The search hands a candidate out with the network that it grows from (Elsken et al. 2017: children
inherit weights); whoever trains it to its end leaves its weights for its own children.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..errors import BadFile, UserError
from ..files import write_atomically
from ..serialization import key

if TYPE_CHECKING:
    from torch import nn

WEIGHTS, NOTE = ".safetensors", ".json"

_OWN = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Growing:
    """``folder`` is one that the search and all of its workers see. Of every candidate that was
    handed out it holds ``KEY.json``, which says what it grows from, and of some that were trained
    to their end ``KEY.safetensors``, their weights. ``epochs`` is how long a grown one is trained
    (None: as long as the others)."""

    folder: Path
    epochs: int | None = None

    # -- the side of the search ------------------------------------------------------------------
    def hand_out(self, candidate: str, parent: str | None) -> None:
        """Note which network a candidate grows from (keys); None: it begins anew. Raises
        ``OSError``."""
        self.folder.mkdir(exist_ok=True)
        write_atomically(self._note(candidate), json.dumps({"parent": parent}) + "\n")

    def kept(self) -> frozenset[str]:
        """The networks whose weights are here."""
        found = (path.name.removesuffix(WEIGHTS) for path in self.folder.glob(f"*{WEIGHTS}"))
        return frozenset(filter(_OWN.fullmatch, found))

    def keep_only(self, networks: Collection[str]) -> None:
        """Delete what belongs to other networks."""
        for path in self.folder.glob("*"):
            name = path.name.partition(".")[0]
            if _OWN.fullmatch(name) and name not in networks and path.suffix in (WEIGHTS, NOTE):
                path.unlink(missing_ok=True)

    # -- the side of a worker --------------------------------------------------------------------
    def parent_of(self, architecture: Architecture) -> str | None:
        """The network that a candidate grows from. Raises ``UserError`` where the folder is not on
        this machine, ``BadFile`` for a note that is none."""
        path = self._note(key(architecture))
        try:
            parent = json.loads(path.read_text(encoding="utf-8"))["parent"]
        except FileNotFoundError:
            raise UserError(
                f"{path}: not on this machine; for candidates to grow, let every worker have the"
                " run's folder under this path"
            ) from None
        except (OSError, ValueError, TypeError, KeyError):
            raise BadFile(f"{path}: damaged; resume the search") from None
        if parent is not None and not (isinstance(parent, str) and _OWN.fullmatch(parent)):
            raise BadFile(f"{path}: its parent is no network; resume the search")
        return parent

    def start(self, net: nn.Module, architecture: Architecture, parent: str, seed: int) -> None:
        """Give a candidate the weights that its parent has, grown. Raises ``UserError`` for
        weights of another network, and where it cannot be grown from its parent."""
        from ..growth.carry import grown_state
        from ..growth.plan import plan
        from ..nets.weights import read_metadata, read_tensors

        path = self.weights(parent)
        known = read_metadata(path)
        if key(known) != parent:
            raise BadFile(f"{path} is of another network than its name says; delete it")
        growth = plan(known, architecture)
        net.load_state_dict(grown_state(growth, read_tensors(path), seed))

    def keep(self, net: nn.Module, architecture: Architecture) -> None:
        """Leave the weights of a network for its children; raises ``UserError``."""
        from ..nets.weights import save_weights

        path = self.weights(key(architecture))
        try:
            save_weights(path, net, architecture)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None

    def weights(self, network: str) -> Path:
        """The file of a network's weights."""
        return self.folder / f"{network}{WEIGHTS}"

    def _note(self, network: str) -> Path:
        return self.folder / f"{network}{NOTE}"
