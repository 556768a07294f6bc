"""Lines that know whether they are whole: JSON objects whose last entry is the CRC-32 of the rest.

What stands in front of ``,"crc":"`` is what the checksum is of. It is ASCII without line breaks, so
that a file of such lines is JSON Lines to every other tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_END = re.compile(rb',"crc":"[0-9a-f]{8}"\}')
_END_SIZE = len(',"crc":"01234567"}')


def line_of(data: Mapping[str, Any]) -> bytes:
    """The line of JSON data, its line break included. Raises ``ValueError`` for a number that is
    not finite, ``TypeError`` for what is no JSON data."""
    body = _ENCODER.encode(data)[:-1].encode("ascii")
    return body + _end(body) + b"\n"


def is_whole(line: bytes) -> bool:
    """Whether a line, without its line break, is as it was written."""
    return line[-_END_SIZE:] == b',"crc":"%08x"}' % crc32(line[:-_END_SIZE])


def pieces(line: bytes, start: bytes) -> list[bytes]:
    """The whole lines that stand inside a damaged one, such as two whose line break was lost.

    Each begins with ``start``, which a quotation mark in it keeps out of the texts of others.
    """
    found, begin = [], 0
    for end in _END.finditer(line):
        for own in re.finditer(re.escape(start), line[begin : end.start()]):
            piece = line[begin + own.start() : end.end()]
            if is_whole(piece):
                found.append(piece)
                begin = end.end()
                break
    return found


def _end(body: bytes) -> bytes:
    return b',"crc":"%08x"}' % crc32(body)
