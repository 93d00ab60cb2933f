"""Records as bodies of requests: a record a line, compressed, within the API's bounds. Never sends one."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tidecast_client.call import KEY, Call
from tidecast_client.types import Verdict, Verdicts

MAX_RECORDS = 5_000  # half of what the API takes at once, by default
MAX_BYTES = 1_500_000  # before compression: below the API's 2 MiB even where nothing can be compressed
WORTH_PACKING = 1_000  # bytes: below that gzip saves nothing that matters
NOTHING_TAKEN = 422  # every record was refused: the verdicts say why, as they do in other answers


def new_key() -> str:
    """A new Idempotency-Key."""
    return str(uuid.uuid4())


def bodies(records: Iterable[Any], max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """Records as NDJSON, in as many bodies as the bounds need; their order stays. Reads no further than it gives.

    The same records make the same bodies. A record longer than `max_bytes` is a body of its own.
    """
    encode = msgspec.json.Encoder().encode
    lines: list[bytes] = []
    size = 0
    for record in records:
        line = encode(record)
        if lines and (len(lines) == max_records or size + len(line) >= max_bytes):
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield b"\n".join(lines)


def calls(path: str, records: Iterable[Any], key: str) -> Iterator[Call[Verdicts]]:
    """The requests that write these records. key: the Idempotency-Key of the first; the next have it with a number."""
    for number, body in enumerate(bodies(records)):
        packed = len(body) >= WORTH_PACKING
        headers = {"content-type": "application/x-ndjson", KEY: f"{key}.{number}" if number else key}
        if packed:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)  # noqa: PLW2901  the same body, smaller
        yield Call("POST", path, Verdicts, body=body, headers=headers, also=(NOTHING_TAKEN,))


class Tally:
    """The verdicts of several requests as those of one: each record's index is its place in all of them."""

    def __init__(self) -> None:
        self._found: list[Verdict] = []
        self._accepted = 0

    def add(self, verdicts: Verdicts) -> None:
        """Adds what became of the next records."""
        before = len(self._found)
        self._accepted += verdicts.accepted
        if before:
            moved = (msgspec.structs.replace(one, index=one.index + before) for one in verdicts.verdicts)
            self._found.extend(moved)
        else:
            self._found.extend(verdicts.verdicts)

    def total(self) -> Verdicts:
        """What became of all of them."""
        return Verdicts(accepted=self._accepted, refused=len(self._found) - self._accepted, verdicts=self._found)
