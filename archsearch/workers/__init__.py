"""Workers: where candidates are evaluated, beside the process that decides which.

``local.LocalWorkers`` runs them on this machine without Ray, ``ray.RayWorkers`` on Ray, here or on
a cluster, ``tune.run_with_tune`` lets Ray Tune stop the weak ones early. All of them evaluate every
candidate in a process of its own (``isolation``), so that nothing it does reaches its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ..trials import Outcome, Task


@dataclass(frozen=True)
class Limits:
    """What one candidate may use.

    ``seconds`` of wall time from its start to its result. ``memory_bytes`` of memory, all its
    processes together; None is an equal share of nine tenths of the machine it runs on.
    """

    seconds: float | None = None
    memory_bytes: int | None = None


class Closing:
    """A context manager that is closed at its end."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Workers(Protocol):
    """Evaluate candidates, several at a time, in any order.

    Every task that is submitted comes back as one outcome, whatever becomes of it: of a candidate
    that raises, hangs or brings its process down, as a failed one with the reason. Only tasks that
    are still out at ``close`` do not come back.

    Made ready, or refused with a ``UserError``, by the time the constructor returns; where workers
    start later, ``outcomes`` raises it.
    """

    @property
    def slots(self) -> int:
        """How many candidates run side by side now; more that are submitted wait. It changes where
        a cluster grows or loses a node."""
        ...

    def submit(self, task: Task) -> None:
        """Evaluate a candidate; returns at once."""
        ...

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        """What came back since the last call. Waits until there is something, or until ``timeout``
        seconds have passed, and then is empty. With nothing submitted it is empty at once."""
        ...

    def close(self) -> None:
        """Stop now: what is still out is killed. May be called more than once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
