"""A snapshot of all viewers' profiles and rooms' states at one time, from the archive. Never aggregates events.

Examples that begin there have the past that was served then, and weeks of events need no second aggregation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from streaming.archive.erasures import erased_viewers
from streaming.archive.reader import Archive
from streaming.errors import RecordError
from streaming.events import RoomState
from streaming.log.codec import Decoder
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.room.vectors import with_numbers_only


@dataclass(frozen=True, slots=True, eq=False)
class ArchiveSnapshot:
    """The state at one time. profiles: encoded, by viewer's key, to be decoded on demand. states: of rooms."""

    profiles: Mapping[bytes, bytes]
    states: tuple[RoomState, ...]


def snapshot_at(archive: Archive, at_ms: int) -> ArchiveSnapshot:
    """The state of all that was appended before at_ms. A state that this build cannot read is left out.

    So are profiles of viewers who were erased, also later than at_ms. Raises ArchiveError.
    """
    decode, states = Decoder(ROOM_STATES), []
    for value in _last_values(archive, ROOM_STATES, at_ms).values():
        try:
            states.append(with_numbers_only(decode(value)))
        except RecordError:
            continue
    erased = erased_viewers(archive)
    profiles = {
        key: value
        for key, value in _last_values(archive, VIEWER_PROFILES, at_ms).items()
        if not erased.covers_profile(key, value)
    }
    return ArchiveSnapshot(profiles, tuple(states))


def _last_values(archive: Archive, topic: str, until_ms: int) -> dict[bytes, bytes]:
    """The newest value of each key. Within a partition records come in their order.

    A key belongs to one partition, and to another once the topic has grown: it has a tombstone in the first then.
    """
    last: dict[int, dict[bytes, bytes | None]] = {}
    for batch in archive.read(topic, until_ms=until_ms):
        row = {key: place for place, key in enumerate(batch.column("key").to_pylist()) if key is not None}
        values = batch.column("value").take(pa.array(list(row.values()), pa.int64())).to_pylist()
        last.setdefault(batch.column("partition")[0].as_py(), {}).update(zip(row, values, strict=True))
    found = [one for partition in last.values() for one in partition.items()]
    return {key: value for key, value in found if value is not None}
