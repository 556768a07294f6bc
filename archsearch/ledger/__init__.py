"""The ledger of a search, ``runs/<name>/ledger.jsonl``: every evaluation, whatever happens.

It is text to which lines are only ever added, one for each evaluation behind a first one that says
what is searched. Every line ends with its own checksum, so that a damaged one costs itself alone.
One process appends at a time (``runs.locked``); any number may read meanwhile.
"""

from __future__ import annotations

from ..space import digest
from .file import NAME, Contents, Ledger, create, read
from .history import choice_names, record_of, trials_of
from .record import FORMAT, Header, Record, first_line, write_record

__all__ = [
    "FORMAT",
    "NAME",
    "Contents",
    "Header",
    "Ledger",
    "Record",
    "choice_names",
    "create",
    "digest",
    "first_line",
    "read",
    "record_of",
    "trials_of",
    "write_record",
]
