"""The command line. This file imports next to nothing, so that Ctrl-C finds ``main`` in charge."""

from __future__ import annotations

import sys
from io import TextIOWrapper

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
REFUSED = 2
NO_READER = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: done; 2: what was given cannot be used, said in one line on stderr; 130: Ctrl-C; 141: whoever
    read the output went away.
    """
    try:
        from .commands import run

        status = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _end("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _leave_pipe()
    except Exception as error:
        message = _for_a_person(error)
        if message is None:
            raise
        return _end(message, REFUSED)
    return status


def entry() -> None:
    """The installed command: like ``main``; characters the terminal lacks are escaped, and after
    the end Ctrl-C says nothing any more."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = main()
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


def _for_a_person(error: Exception) -> str | None:
    """What to say about an error; None for a defect of archsearch, which keeps its trace."""
    from ..errors import ArchsearchError

    if isinstance(error, ArchsearchError):
        return str(error)
    from ..loading import told_by_file

    told = told_by_file(error)
    if told is None and isinstance(error, OSError) and not error.filename:
        return f"cannot write the output: {error.strerror}"  # standard output on a full disk
    return told


def _end(message: str, status: int) -> int:
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    print(f"archsearch: {line}", file=sys.stderr)
    return status


def _leave_pipe() -> int:
    """Point stdout elsewhere: Python flushes it once more on the way out."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NO_READER
