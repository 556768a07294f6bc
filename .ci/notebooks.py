"""Run every notebook from top to bottom, in a folder that is thrown away; the first error ends it.

``ARCHSEARCH_SMALL=1`` is set, which notebooks read to take their small setting.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
MOST_SECONDS = 300


def main() -> None:
    os.environ["ARCHSEARCH_SMALL"] = "1"
    for path in sorted(p for p in FOLDER.glob("*") if p.suffix in (".py", ".ipynb")):
        start = time.monotonic()
        with TemporaryDirectory() as place:
            client = NotebookClient(
                jupytext.read(path),
                timeout=MOST_SECONDS,
                kernel_name="python3",
                resources={"metadata": {"path": place}},
            )
            client.execute()
        print(f"{path.name}: {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
