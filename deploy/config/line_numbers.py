"""The line of each key in a TOML text, for messages. Never parses values; `tomllib` does."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_.\-\s]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\-]+)\s*=")


def key_lines(text: str) -> dict[str, int]:
    """Line numbers, from 1, by dotted key, of keys written at the start of a line. Others are left out."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = "".join(header[1].split()) + "."
        elif key := _KEY.match(line):
            lines[section + key[1]] = number
    return lines
