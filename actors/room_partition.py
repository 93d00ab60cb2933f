"""Owns the rooms of one partition: their folds, what of them is unpublished, and how far the log was read.

Never encodes, never commits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streaming.codec import Decoder, encode
from streaming.dead_letter import DeadLetters
from streaming.errors import RecordError
from streaming.events import RoomId, RoomState
from streaming.log import Log, Partition, Record, Sink
from streaming.outcome import MAX_AHEAD_MS, Outcome
from streaming.restore import last_values
from streaming.room import RoomFold
from streaming.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS
from streaming.window import ChatLine, WindowConfig

LOGGER = logging.getLogger(__name__)


class HeldRoom:
    """A room in a worker's memory. gone: dropped or moved away; what comes back for it is ignored."""

    __slots__ = ("audience", "fold", "gone", "home", "key", "lines", "segment_flying", "title_flying", "unseen")

    def __init__(self, fold: RoomFold, key: bytes, home: int) -> None:
        self.fold = fold
        self.key = key
        self.home = home  # index of the partition
        self.audience = 0
        self.lines: list[ChatLine] = []  # of the batch that is being applied
        self.unseen = 0  # messages since the last text was taken
        self.gone = False
        self.title_flying = False
        self.segment_flying = False


class Tally:
    """What the records of a batch did, summed for the metrics."""

    __slots__ = ("applied", "outcomes")

    def __init__(self) -> None:
        self.applied = {ROOMS: 0, CHAT: 0, ROOM_ACTIVITY: 0}
        self.outcomes = {topic: [0] * len(Outcome) for topic in self.applied}


class RoomPartition:
    """The rooms of partition `index` of rooms, chat, room-activity and room-states."""

    def __init__(self, index: int, window: WindowConfig, letters: DeadLetters) -> None:
        self.index = index
        self.rooms: dict[str, HeldRoom] = {}
        self.touched: dict[HeldRoom, int] = {}  # since the owner last cleared it → new messages
        self.head_ms = 0  # newest append time of chat
        self.next_offset: dict[str, int] = {}  # of each input topic, once a record was read
        self._window = window
        self._letters = letters
        self._decoders = {topic: Decoder(topic) for topic in (ROOMS, CHAT, ROOM_ACTIVITY)}

    def restore(self, log: Log) -> None:
        """Rebuilds the rooms from room-states. Raises LogUnavailable."""
        decode = Decoder(ROOM_STATES)
        for key, value in last_values(log, Partition(ROOM_STATES, self.index)).items():
            try:
                state: RoomState = decode(value)
            except RecordError as err:  # only a newer build can have written it: it is not ours to refuse
                LOGGER.warning("room-states partition %d: a state is not readable: %s", self.index, err)
                continue
            fold = RoomFold(state.room, self._window)
            fold.restore(state)
            held = self.rooms[state.room] = HeldRoom(fold, key, self.index)
            held.audience = max(0, state.entered - state.left)

    def apply(self, topic: str, records: Sequence[Record], tally: Tally) -> None:
        """Folds records of one input topic, in offset order."""
        tally.applied[topic] += len(records)
        outcomes = tally.outcomes[topic]
        if topic == CHAT:
            self._apply_chat(records, outcomes)
        elif topic == ROOMS:
            self._apply_rooms(records, outcomes)
        else:
            self._apply_activity(records, outcomes)
        self.next_offset[topic] = records[-1].offset + 1

    def _apply_chat(self, records: Sequence[Record], outcomes: list[int]) -> None:
        rooms, touched = self.rooms, self.touched
        spoken: list[HeldRoom] = []
        appended_ms = self.head_ms
        for record, message in self._letters.decoded(records, self._decoders[CHAT]):  # where there is much: no calls
            appended_ms = record.timestamp
            held = rooms.get(message.room)
            if held is None or record.key != held.key or message.at_ms > appended_ms + MAX_AHEAD_MS:
                held = self._admitted(record, message)
                if held is None:
                    continue
            if not held.lines:
                spoken.append(held)
            held.lines.append((message.viewer, message.text, message.at_ms, record.offset, appended_ms))
        for held in spoken:
            held.fold.apply_chats(held.lines, outcomes)
            touched[held] = touched.get(held, 0) + len(held.lines)
            held.lines.clear()
        self.head_ms = max(self.head_ms, appended_ms)

    def _apply_rooms(self, records: Sequence[Record], outcomes: list[int]) -> None:
        decode = self._decoders[ROOMS]
        for record in records:
            if record.value is None:  # a producer tidies its compacted topic: says nothing of the room's life
                continue
            try:
                event = decode(record.value)
            except RecordError as err:
                self._letters.refuse(record, err)
                continue
            held = self._admitted(record, event)
            if held is not None:
                outcomes[held.fold.apply_lifecycle(event, record.offset, record.timestamp)] += 1
                self.touched.setdefault(held, 0)

    def _apply_activity(self, records: Sequence[Record], outcomes: list[int]) -> None:
        decode = self._decoders[ROOM_ACTIVITY]
        for record in records:
            try:
                activity = decode(record.value or b"")
            except RecordError as err:
                self._letters.refuse(record, err)
                continue
            held = self.rooms.get(activity.room) or self._hold(activity.room)
            outcome = held.fold.apply_activity(activity, record.offset, record.timestamp)
            outcomes[outcome] += 1
            if outcome is not Outcome.REPLAYED:
                held.audience = max(0, held.audience + activity.entered - activity.left)
            self.touched.setdefault(held, 0)

    def _admitted(self, record: Record, event: Any) -> HeldRoom | None:
        """The room of a record, held from now on; None where the record is refused."""
        if record.key != event.room.encode():
            self._letters.refuse(record, f"the record's key must be its room, {event.room!r}, as UTF-8")
            return None
        if event.at_ms > record.timestamp + MAX_AHEAD_MS:
            self._letters.refuse(record, f"at_ms {event.at_ms} is over a minute after it arrived, {record.timestamp}")
            return None
        return self.rooms.get(event.room) or self._hold(event.room)

    def _hold(self, room: str) -> HeldRoom:
        held = HeldRoom(RoomFold(RoomId(room), self._window), room.encode(), self.index)
        self.rooms[room] = held
        return held

    def drop(self, held: HeldRoom) -> None:
        """Forgets a room."""
        held.gone = True
        self.rooms.pop(held.fold.room, None)

    def publish(self, held: HeldRoom, sink: Sink, now_ms: int) -> bool:
        """Sends the room's state; False where it has none yet."""
        state = held.fold.state(now_ms)
        if state is None:
            return False
        # To this very partition, whatever partitioner its producer uses: a restart looks for it here.
        sink.send(ROOM_STATES, held.key, encode(state), self.index)
        held.fold.mark_published()
        return True

    def bury(self, held: HeldRoom, sink: Sink) -> None:
        """Sends a tombstone and forgets the room."""
        sink.send(ROOM_STATES, held.key, None, self.index)
        self.drop(held)

    def positions(self) -> Mapping[Partition, int]:
        """Where a restart must read on: as far as was read, held back by what is not published yet. O(rooms)."""
        held_back = dict(self.next_offset)
        for topic, offset in self._needed():
            if topic in held_back and offset < held_back[topic]:
                held_back[topic] = offset
        return {Partition(topic, self.index): offset for topic, offset in held_back.items()}

    def _needed(self) -> Iterator[tuple[str, int]]:
        head_ms = self.head_ms
        for held in self.rooms.values():
            fold = held.fold
            chat = fold.retained_offset(head_ms)
            if chat is not None:
                yield CHAT, chat
            if fold.unpublished_rooms_offset is not None:
                yield ROOMS, fold.unpublished_rooms_offset
            if fold.unpublished_activity_offset is not None:
                yield ROOM_ACTIVITY, fold.unpublished_activity_offset
