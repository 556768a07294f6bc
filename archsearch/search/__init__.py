"""Searches: candidates are proposed, evaluated side by side, and kept, whatever happens.

from archsearch import search
found = search("tiny", "accuracy", budgets="20k-params", data="digits", trials=50)
"""

from .machines import Machines
from .run import Searched, resume_search, search

__all__ = ["Machines", "Searched", "resume_search", "search"]
