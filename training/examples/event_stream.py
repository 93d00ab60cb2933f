"""The event stream of a recording or an archive: its records in the order of the log. Never aggregates them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from streaming.archive.erasures import ErasedViewers, erased_viewers
from streaming.archive.reader import Archive, ArchivedRecord
from streaming.events import Speech, ViewerErased
from streaming.log.topics import CHAT, IMPRESSIONS, ROOMS, VIEWER_EVENTS
from streaming.recorded.replay import Replay

NAMING_VIEWERS = frozenset((VIEWER_EVENTS, CHAT, IMPRESSIONS))
READ = (ROOMS, VIEWER_EVENTS, CHAT, IMPRESSIONS)  # records of one millisecond come in this order


class StreamRecord(NamedTuple):
    """A record of the event stream. at_ms: append time, which never decreases; offset: rises within a partition."""

    at_ms: int
    topic: str
    offset: int
    record: Any


def from_replay(replay: Replay) -> Iterator[StreamRecord]:
    """The stream of the records that `tidecast replay` would send, with their event times as append times.

    Raises InputFileError.
    """
    for offset, (at_ms, topic, record) in enumerate(replay.records()):
        yield StreamRecord(at_ms, topic, offset, record)


def from_archive(
    archive: Archive, from_ms: int | None = None, until_ms: int | None = None, topics: Sequence[str] = READ
) -> Iterator[StreamRecord]:
    """The stream of an archive's records with from_ms ≤ append time < until_ms, by default of those that examples need.

    Records of one millisecond come in the order of `topics`.

    The archive's reader counts records that cannot be read, and they are left out. So is all of viewers who were
    erased, also where that is still in the files, and also where it was before their erasure. Raises ArchiveError.
    """
    erased = erased_viewers(archive)
    streams = [
        _topic(archive.records(topic, from_ms, until_ms), erased, topic, rank) for rank, topic in enumerate(topics)
    ]
    latest_ms = 0
    for at_ms, _, offset, topic, record in heapq.merge(*streams, key=_order):
        latest_ms = max(latest_ms, at_ms)
        yield StreamRecord(latest_ms, topic, offset, record)


def _topic(
    records: Iterator[ArchivedRecord], erased: ErasedViewers, topic: str, rank: int
) -> Iterator[tuple[int, int, int, str, Any]]:
    for found in records:
        record = found.record
        if record is None or (topic in NAMING_VIEWERS and _is_erased(erased, record, found.timestamp_ms)):
            continue
        yield found.timestamp_ms, rank, found.offset, topic, found.record


def _is_erased(erased: ErasedViewers, record: Any, appended_ms: int) -> bool:
    return not isinstance(record, ViewerErased | Speech) and erased.cover(record.viewer, record.at_ms, appended_ms)


def _order(found: tuple[int, int, int, str, Any]) -> tuple[int, int]:
    return found[:2]
