"""Searches: candidates are proposed, evaluated side by side, and kept, whatever happens.

from archsearch import search
found = search("tiny", "accuracy", budgets="20k-params", data="digits", trials=50)
"""

from .run import Machines, Searched, resume_search, search

__all__ = ["Machines", "Searched", "resume_search", "search"]
