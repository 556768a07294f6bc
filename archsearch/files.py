"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from secrets import token_hex


def write_atomically(path: Path | str, content: str | bytes) -> None:
    """Write ``content`` (text as UTF-8) so that no one ever sees a part of it.

    The bytes go to a new file in the same folder, are forced to disk, and take the name in one
    step. Raises ``OSError``, and then leaves nothing behind.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is a folder or device, not a file", str(path))
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
