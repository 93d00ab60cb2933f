"""HAProxy's error texts that no configuration reaches: for heads that are unreadable or never come. Never runs it.

HAProxy reads `errorfile` only once it has a request. Its responses before that, to nonsense (400), to a head that does
not arrive in time (408) or has an unknown transfer encoding (422), are HTML texts in its binary. A copy of the binary
gets ours in their place, of the same length. A text that is not found, as in another HAProxy, stays as it is. Standard
library only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SHORT = {
    400: ("Bad Request", "not HTTP"),
    408: ("Request Timeout", "not in time"),
    413: ("Content Too Large", "too large"),
    422: ("Unprocessable Content", "coding unknown"),
    500: ("Internal Server Error", "retry"),
    501: ("Not Implemented", "not taken here"),
}


def with_our_words(binary: Path, folder: Path) -> Path:
    """A copy in `folder` with the texts in our form, or the binary itself. Raises OSError."""
    program = binary.read_bytes()
    for status in SHORT:
        found = re.search(rb"HTTP/1\.[01] %d [^\0]*</html>\s*\0" % status, program)
        ours = problem_text(status, found.end() - found.start() - 1) if found else None
        if found is not None and ours is not None:
            program = program[: found.start()] + ours + program[found.end() - 1 :]
    copy = folder / binary.name
    unfinished = folder / f"{binary.name}.{os.getpid()}"
    unfinished.write_bytes(program)
    unfinished.chmod(0o700)
    libraries = folder / "lib"  # the binary looks for its libraries beside itself
    if not libraries.is_symlink() and (binary.parent / "lib").is_dir():
        libraries.symlink_to(binary.parent / "lib")
    unfinished.replace(copy)
    return copy


def problem_text(status: int, length: int) -> bytes | None:
    """A whole HTTP response of exactly `length` bytes, None where it needs more."""
    title, detail = SHORT[status]
    body = f'{{"type":"/docs#problems","title":"{title}","status":{status},"detail":"{detail}"}}'
    head = f"HTTP/1.1 {status} {title}\r\nContent-Type:application/problem+json\r\nConnection:close\r\nContent-Length:"
    spare = length - len(f"{head}000\r\n\r\n{body}")
    if spare < 0:
        return None
    return f"{head}{len(body) + spare:03}\r\n\r\n{body}{' ' * spare}".encode()
