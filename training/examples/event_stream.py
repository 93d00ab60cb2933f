"""Turns a recording or an archive into one stream of records in the order of the log. Never folds them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

from streaming.archive.reader import Archive
from streaming.replay import Replay
from streaming.topics import CHAT, IMPRESSIONS, ROOMS, VIEWER_EVENTS

READ = (ROOMS, VIEWER_EVENTS, CHAT, IMPRESSIONS)  # records of one millisecond come in this order


class StreamRecord(NamedTuple):
    """One record. at_ms: append time, which never runs backwards; offset: rises within a topic's partition."""

    at_ms: int
    topic: str
    offset: int
    record: Any


def from_replay(replay: Replay) -> Iterator[StreamRecord]:
    """The records that `tidecast replay` would send, appended when they happened. Raises InputFileError."""
    for offset, (at_ms, topic, record) in enumerate(replay.records()):
        yield StreamRecord(at_ms, topic, offset, record)


def from_archive(archive: Archive, from_ms: int | None = None, until_ms: int | None = None) -> Iterator[StreamRecord]:
    """What the archive holds of the topics that examples are made of, from_ms ≤ append time < until_ms.

    What cannot be read is left out and counted by the archive's reader. Raises ArchiveError.
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
