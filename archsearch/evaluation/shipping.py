"""An evaluation on its way to workers that may see neither this machine's disk nor its modules.

The user's own files travel as text and are run again; what refers to them is pickled by the names
they have there, so that it need not be picklable itself (a lambda in an objective). This is for
processes of one user's search alone: nothing here reads a file.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from io import BytesIO
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.dataset import Data
from ..errors import UserError
from ..loading import SourceFile, assigning_file, load, loaded_file
from .judge import Judge

PROTOCOL = 5
"""Of pickle: from this one on arrays may be handed over without a copy."""


@dataclass(frozen=True, eq=False)
class Shipped:
    """An ``Evaluation``: ``content`` is a pickled ``Judge`` without its data and the ``tensors`` of
    its supernet, which travel beside it, and ``files`` are what it refers to. ``threads`` is how
    many torch may use."""

    files: tuple[SourceFile, ...]
    content: bytes
    data: Data | None
    tensors: Mapping[str, npt.NDArray[Any]]
    threads: int
    builds: bool

    def prepare(self) -> Judge:
        """Run the files, open the data, import what every candidate needs. No GPU is touched, as
        candidates may run in forks of the process."""
        for file in self.files:
            load(file)
        judge: Judge = pickle.loads(self.content)
        if self.builds:
            import torch

            from ..nets import build  # noqa: F401
            from ..training import loop  # noqa: F401

            torch.set_num_threads(self.threads)
            if judge.inherited is None:
                # the first step of an optimiser imports torch's compiler: seconds for every fork
                torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()
        if self.data is not None:
            for split in (self.data.train, self.data.validation):
                split.images.batch(np.zeros(1, np.int64))
        judge = replace(judge, data=self.data)
        if judge.inherited is not None:
            judge = replace(judge, inherited=replace(judge.inherited, tensors=self.tensors))
            judge.prepare()
        return judge


def shipped(judge: Judge, threads: int, builds: bool) -> Shipped:
    """A judge as it travels. Raises ``UserError`` for what exists in this process only."""
    stream = BytesIO()
    pickler = _Pickler(stream)
    own = judge.inherited
    bare = None if own is None else replace(own, tensors={})
    try:
        pickler.dump(replace(judge, data=None, inherited=bare))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        told = " ".join(str(error).split())[:200]
        raise UserError(
            f"an objective or the space cannot be sent to workers ({told}): write it to a file and"
            " give the file's path"
        ) from None
    files = tuple(pickler.files.values())
    tensors = {} if own is None else own.tensors
    return Shipped(files, stream.getvalue(), judge.data, tensors, threads, builds)


class _Pickler(pickle.Pickler):
    """Pickles what loaded files define by name, and collects these files."""

    def __init__(self, stream: BytesIO) -> None:
        super().__init__(stream, PROTOCOL)
        self.files: dict[str, SourceFile] = {}

    def reducer_override(self, thing: Any) -> Any:
        file = assigning_file(thing)
        if file is not None:
            return self._named(file, file.kind)
        if not isinstance(thing, FunctionType | type):
            return NotImplemented
        if thing.__module__ == "__main__":
            raise pickle.PicklingError(f"{thing.__qualname__} is defined in __main__")
        file = loaded_file(thing.__module__)
        if file is None:
            return NotImplemented
        if "<" in thing.__qualname__:
            raise pickle.PicklingError(f"{thing.__qualname__} of {file.place} has no name there")
        return self._named(file, thing.__qualname__)

    def _named(self, file: SourceFile, name: str) -> tuple[Callable[..., Any], tuple[str, str]]:
        self.files[file.module] = file
        return named, (file.module, name)


def named(module: str, name: str) -> Any:
    """What a loaded file defines under a name, which may have dots."""
    return reduce(getattr, name.split("."), sys.modules[module])
