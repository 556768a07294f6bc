"""A training that is saved while it runs: checkpoints, history, and Ctrl-C between two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadFile, UserError
from ..files import write_atomically
from ..interrupts import interrupts
from .record import DIVERGED, OUTCOME, STOPPED, Outcome, as_json

if TYPE_CHECKING:
    from ..training.checkpoint import Subject
    from ..training.loop import Row, Training

CHECKPOINT = "checkpoint.safetensors"

CHECKPOINT_SECONDS = 30.0
"""What a kill may cost, about."""

OnEpoch = Callable[[int, "Row", int, float], None]
"""Called after every epoch with the seed, the epoch's row, how many epochs there are, and about how
many seconds are left of this seed."""


def take_up(training: Training, own: Path, subject: Subject) -> None:
    """Set a training to its last checkpoint in the folder ``own``, where there is one."""
    from ..training.checkpoint import load_checkpoint

    checkpoint = own / CHECKPOINT
    if checkpoint.exists():
        try:
            load_checkpoint(checkpoint, training, subject)
        except BadFile as error:
            raise BadFile(f"{error}; delete it to begin anew") from None


def run_saved(
    training: Training, own: Path, subject: Subject, every: float, on_epoch: OnEpoch | None
) -> None:
    """Run a training to its end or its interruption, with a checkpoint about ``every`` so many
    seconds in the folder ``own``."""
    from ..training.checkpoint import save_checkpoint
    from ..training.tensorboard import TensorBoardLog

    log = TensorBoardLog(own / "tensorboard", len(training.history))
    saved = -every

    def save() -> None:
        nonlocal saved
        save_checkpoint(own / CHECKPOINT, training, subject)
        saved = training.seconds

    def after_epoch(row: Row) -> None:
        log.epoch(row)
        write_atomically(own / "history.csv", _history_text(training.history))
        if on_epoch is not None:
            left = training.seconds / training.step * (training.steps - training.step)
            on_epoch(training.seed, row, training.recipe.epochs, left)

    with interrupts() as interrupt:

        def after_step(now: Training) -> None:
            if interrupt.asked:
                raise _Stopped
            if now.seconds - saved >= every:
                save()

        try:
            if training.step == 0:
                save()
            training.run(after_epoch, after_step)
        except _Stopped:
            training.state, training.reason = STOPPED, "interrupted"
        finally:
            log.close()
        if training.state != DIVERGED:
            save()


def write_outcome(
    training: Training, own: Path, judged: Mapping[str, Mapping[str, Any] | None]
) -> None:
    """Leave what a training came to; ``judged`` are its judgements by split."""
    outcome = Outcome(
        training.seed,
        training.state,
        training.reason,
        training.history,
        training.seconds,
        **judged,
    )
    write_atomically(own / OUTCOME, as_json(vars(outcome)))


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """A full disk, or a file that cannot be written, is said in one line: the run can go on."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"{folder}: {named}{error.strerror or error}; put it right, then archsearch resume"
            f" {folder}"
        ) from None


def _history_text(history: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in history for column in row))
    lines = [",".join(columns)]
    lines += [",".join(str(row.get(column, "")) for column in columns) for row in history]
    return "\n".join(lines) + "\n"


class _Stopped(Exception):
    """Ends a training between two steps."""
