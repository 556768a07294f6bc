"""``python -m archsearch.workers SOCKET``: the server of a slot."""

from .server import main

main()
