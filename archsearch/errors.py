"""What can go wrong, in one tree.

ArchsearchError
    UserError                  what a person gave cannot be used: one line, exit code 2
        BadFile                a file or text that does not describe what it should
        InfeasibleBudget       a budget that nothing in the space can meet
        IllegalArchitecture    (legality.py) a description that no network can have
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ArchsearchError(Exception):
    """Anything this package raises on purpose."""


class UserError(ArchsearchError):
    """What was given cannot be used; the message is one line that names it and the way out."""


class BadFile(UserError, ValueError):
    """A file that cannot be read as what it should be; the message names file, field and value."""


class InfeasibleBudget(UserError, ValueError):
    """A budget that nothing in the space can meet; the message names the smallest reachable one."""


MOST_LISTED = 400
"""Characters of a list of names in a message; what is longer is cut."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """The way out of an unknown name: the nearest known one, or all of them."""
    names = {known_name.lower(): known_name for known_name in sorted(known)}
    near = get_close_matches(name[:80].lower(), names, 1)
    everything = ", ".join(names.values()) or "none"
    if near:
        return f"did you mean {names[near[0]]}?"
    if len(everything) > MOST_LISTED:
        everything = everything[: everything.rindex(",", 0, MOST_LISTED)] + ", ..."
    return f"known: {everything}"
