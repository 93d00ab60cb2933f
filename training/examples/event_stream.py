"""The event stream of a recording or an archive: its records in the order of the log. Never aggregates them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

from streaming.archive.reader import Archive
from streaming.log.topics import CHAT, IMPRESSIONS, ROOMS, VIEWER_EVENTS
from streaming.recorded.replay import Replay

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


def from_archive(archive: Archive, from_ms: int | None = None, until_ms: int | None = None) -> Iterator[StreamRecord]:
    """The stream of an archive's records with from_ms ≤ append time < until_ms, of the topics that examples need.

    The archive's reader counts records that cannot be read, and they are left out. Raises ArchiveError.
    """
    streams = [_topic(archive, topic, rank, from_ms, until_ms) for rank, topic in enumerate(READ)]
    latest_ms = 0
    for at_ms, _, offset, topic, record in heapq.merge(*streams, key=_order):
        latest_ms = max(latest_ms, at_ms)
        yield StreamRecord(latest_ms, topic, offset, record)


def _topic(
    archive: Archive, topic: str, rank: int, from_ms: int | None, until_ms: int | None
) -> Iterator[tuple[int, int, int, str, Any]]:
    for found in archive.records(topic, from_ms, until_ms):
        if found.record is not None:
            yield found.timestamp_ms, rank, found.offset, topic, found.record


def _order(found: tuple[int, int, int, str, Any]) -> tuple[int, int]:
    return found[:2]
