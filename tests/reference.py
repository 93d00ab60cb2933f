"""Computes what workers must have published, from the input topics alone: pure folds, record after record.

For tests that disturb workers: whatever was killed and whenever, `published(...)` must equal `expected_...(...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RecordError, Unreadable
from streaming.events import RoomEnded, RoomId, RoomState, ViewerErased, ViewerId, ViewerProfile
from streaming.log.codec import Decoder
from streaming.log.log import Log, Partition, Record
from streaming.log.restore import last_values
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.patience import Patience
from streaming.room.activity import ActivityBook
from streaming.room.room import RoomAggregate
from streaming.room.vectors import to_bytes
from streaming.room.window_config import WindowConfig
from streaming.time_unit import misplaced
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig

Encode = Callable[[Sequence[str]], NDArray[np.float16]]
Facts = dict[str, Any]
HELD_S = 90.0  # longer than any transaction in these tests may stay open
SUMMED = ("entered", "newcomers", "left", "lapsed", "watch_ms", "likes", "gifts", "follows")


def records_of(log: Log, partition: Partition) -> Iterator[Record]:
    """Every committed record of a partition that is still there, in order."""
    if log.ends([partition])[partition] == 0:
        return
    reader = log.reader([partition])
    try:
        while reader.lag().get(partition, 1) > 0:
            yield from reader.poll(0.05).records.get(partition, ())
    finally:
        reader.close()


def decoded(log: Log, partition: Partition, key: str) -> Iterator[tuple[Record, Any]]:
    """The records that a worker accepts. key: the field that a record's key must hold, "" to accept any."""
    decode = Decoder(partition.topic)
    for record in records_of(log, partition):
        if record.value is None:
            continue
        try:
            event = decode(record.value)
        except RecordError:
            continue
        if key and not (record.key == getattr(event, key).encode() and _is_believed(event, record.timestamp)):
            continue
        yield record, event


def _is_believed(event: Any, appended_ms: int) -> bool:
    """An end is, and an erasure, whatever its clock says."""
    return isinstance(event, RoomEnded | ViewerErased) or not misplaced(event.at_ms, appended_ms)


def expected_states(log: Log, encode: Encode, version: str, window: WindowConfig) -> dict[str, Facts]:
    """Room states once everything is read and encoded, by room; of rooms that ever started."""
    states: dict[str, Facts] = {}
    for partition in log.partitions(ROOMS):
        aggregates: dict[str, RoomAggregate] = {}
        head_ms = 0

        def aggregate_of(room: str, aggregates: dict[str, RoomAggregate] = aggregates) -> RoomAggregate:
            return aggregates.setdefault(room, RoomAggregate(RoomId(room), window))

        for record, event in decoded(log, partition, "room"):
            aggregate_of(event.room).apply_lifecycle(event, record.offset, record.timestamp)
        for record, event in decoded(log, Partition(CHAT, partition.index), "room"):
            aggregate_of(event.room).apply_chat(event, record.offset, record.timestamp)
            head_ms = max(head_ms, record.timestamp)
        for record, event in decoded(log, Partition(ROOM_ACTIVITY, partition.index), ""):
            aggregate_of(event.room).apply_activity(event, record.offset, record.timestamp)
        for room, aggregate in aggregates.items():
            aggregate.close_idle(head_ms)
            if aggregate.started:
                encode_all(aggregate, encode, version)
                state = aggregate.state(0)
                assert state is not None
                states[room] = facts_of(state)
    return states


def encode_all(aggregate: RoomAggregate, encode: Encode, version: str) -> None:
    """Gives a room every vector that it waits for."""
    for segment in aggregate.closed_segments():
        aggregate.add_segment(segment.index, to_bytes(encode([segment.text])[0]), version)
    if (title := aggregate.title_text()) is not None:
        aggregate.set_title_vector(title, to_bytes(encode([title.text])[0]), version)
    if (chat := aggregate.chat_text()) is not None:
        aggregate.set_chat_vector(chat, to_bytes(encode([chat.text])[0]), version)


def expected_profiles(log: Log, config: ProfileConfig, now_ms: int = 0) -> dict[str, ViewerProfile]:
    """Profiles once every viewer event is read, by viewer. now_ms: whoever was silent for too long by then is gone."""
    return {viewer: aggregate.profile() for viewer, aggregate in _viewers(log, config, ActivityBook(), now_ms).items()}


def expected_activity(log: Log, config: ProfileConfig, now_ms: int = 0) -> dict[tuple[str, int], Facts]:
    """Sums of room activity once every viewer event is read, by room and bucket."""
    book = ActivityBook()
    _viewers(log, config, book, now_ms)
    return _summed(book.drain())


def published_activity(log: Log) -> dict[tuple[str, int], Facts]:
    """The same sums as they stand on room-activity."""
    events = [event for p in log.partitions(ROOM_ACTIVITY) for _, event in decoded(log, p, "")]
    return _summed(events)


def committed_values(log: Log, partition: Partition) -> dict[bytes, bytes]:
    """The last value of every key, once no transaction hides newer ones.

    `last_values` gives up after 1.5 s of an open transaction. On a busy machine that is no failure: its process works.
    """
    patience = Patience(HELD_S)
    while True:
        try:
            return last_values(log, partition)
        except Unreadable as err:
            if err.trouble.kind != "held" or patience.is_over():
                raise


def published_states(log: Log) -> dict[str, Facts]:
    """The last state of every room on room-states, tombstones left out."""
    decode = Decoder(ROOM_STATES)
    values = [value for p in log.partitions(ROOM_STATES) for value in committed_values(log, p).values()]
    return {state.room: facts_of(state) for state in map(decode, values)}


def published_profiles(log: Log) -> dict[str, ViewerProfile]:
    """The last profile of every viewer on viewer-profiles."""
    decode = Decoder(VIEWER_PROFILES)
    values = [value for p in log.partitions(VIEWER_PROFILES) for value in committed_values(log, p).values()]
    return {profile.viewer: profile for profile in map(decode, values)}


def facts_of(state: RoomState) -> Facts:
    """A state's fields, without when it was written and of which making of its topics its offsets are."""
    return {name: getattr(state, name) for name in state.__struct_fields__ if name not in ("published_ms", "inputs")}


def _viewers(log: Log, config: ProfileConfig, book: ActivityBook, now_ms: int) -> dict[str, ProfileAggregate]:
    aggregates: dict[str, ProfileAggregate] = {}
    for partition in log.partitions(VIEWER_EVENTS):
        for record, event in decoded(log, partition, "viewer"):
            aggregate = aggregates.setdefault(event.viewer, ProfileAggregate(ViewerId(event.viewer), config))
            if isinstance(event, ViewerErased):
                aggregate.erase(event.at_ms, record.timestamp, book)
            else:
                aggregate.apply(event, record.timestamp, book)
    for aggregate in aggregates.values():
        aggregate.lapse(now_ms, book)
    return aggregates


def _summed(activities: Sequence[Any]) -> dict[tuple[str, int], Facts]:
    sums: dict[tuple[str, int], Facts] = {}
    for activity in activities:
        found = sums.setdefault((activity.room, activity.bucket_ms), dict.fromkeys(SUMMED, 0))
        for name in SUMMED:
            found[name] += getattr(activity, name)
    return sums
