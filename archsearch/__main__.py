"""``python -m archsearch`` is the command ``archsearch``."""

from .cli import entry

entry()
